import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.vision.image import Picture, Preprocessing, preprocess

LITE0 = Preprocessing()


def photo(width: int, height: int) -> Image.Image:
    """Smooth, as photos are when they are large: of blocks of four pixels."""
    rough = np.random.default_rng(0).integers(0, 255, (-(-height // 4), -(-width // 4), 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def pillows(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.int16]:
    size = (preprocessing.crop, preprocessing.crop)
    box = preprocessing.box(*image.size)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=box), np.int16)


@pytest.mark.parametrize(
    "size",
    [
        *[(224, 224), (299, 299), (375, 500), (500, 375), (487, 499), (252, 350), (640, 427), (1280, 720)],
        *[(3024, 4032), (256, 323), (1023, 768), (10, 17), (3, 3), (2, 2), (1, 1), (1, 5000), (5000, 1), (7, 400)],
    ],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
@pytest.mark.parametrize("preprocessing", [LITE0, Preprocessing(292, 260), Preprocessing(224, 224)], ids=str)
def test_a_canvas_is_what_pillow_makes_of_the_box(size: tuple[int, int], preprocessing: Preprocessing) -> None:
    image = photo(*size)
    canvas = Picture("PNG", *size, image).canvas(preprocessing)
    differences = np.abs(canvas - pillows(image, preprocessing))
    assert canvas.shape == (preprocessing.crop, preprocessing.crop, 3)
    assert canvas.flags.c_contiguous
    assert differences.mean() < 1.2  # of 255, in a picture that is nothing but edges
    assert np.quantile(differences, 0.99) <= 8


def test_a_picture_and_its_pixels_make_the_same_canvas() -> None:
    image = photo(700, 1300)
    canvas = Picture("PNG", 700, 1300, image).canvas(LITE0)
    assert np.array_equal(canvas, preprocess(np.asarray(image), LITE0))


def test_a_mirrored_square_makes_the_mirrored_canvas() -> None:
    image = photo(640, 640)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    canvases = [Picture("PNG", 640, 640, one).canvas(LITE0).astype(np.int16) for one in (image, mirrored)]
    assert np.abs(canvases[0][:, ::-1] - canvases[1]).max() <= 3
