"""Pictures in all forms that people have them in, and folders to teach with."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageOps

from app.client import Client, PictureError, picture_bytes
from tests.support.http_server import answering
from tests.support.pictures import shapes, zipped


def decoded(source: Any) -> Image.Image:
    return Image.open(BytesIO(picture_bytes(source)))


def test_one_picture_gets_one_answer_whatever_it_comes_as(client: TestClient, dog: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dog.png"
    path.write_bytes(dog)
    image = Image.open(BytesIO(dog)).convert("RGB")
    array = np.asarray(image)
    with Client(http=client) as inkblot, path.open("rb") as opened:
        expected = inkblot.classify(dog)["predictions"]
        assert expected[0]["label"] == "basenji"
        for source in (path, str(path), bytearray(dog), memoryview(dog), opened, image, array, array / 255):
            assert inkblot.classify(source)["predictions"] == expected


def test_looking_explaining_and_fooling_take_them_too(client: TestClient, dog: bytes, tmp_path: Path) -> None:
    array = np.asarray(Image.open(BytesIO(dog)).convert("RGB"))
    with Client(http=client) as inkblot:
        assert inkblot.explain(array)["target"]["label"] == "basenji"
        assert inkblot.look(array, layer="_blocks.15", channels="0")["target"]["label"] == "basenji"
        assert inkblot.explain_drawn(array).startswith(b"\x89PNG")
        assert inkblot.look_drawn(array, layer="_blocks.15", channels="0").startswith(b"\x89PNG")
    other, asked = answering(httpx2.Response(202, json={"object": "job"}))
    other.fool(array, target="tabby")
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(asked[0].content))), array)


def test_a_photo_that_lies_on_its_side_is_sent_with_how_it_stands(tmp_path: Path) -> None:
    photo = Image.new("RGB", (6, 4), "blue")
    photo.putpixel((0, 0), (255, 0, 0))
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "photo.png", exif=exif)
    upright = ImageOps.exif_transpose(decoded(Image.open(tmp_path / "photo.png")))
    assert upright.size == (4, 6)
    assert upright.getpixel((3, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "F", "I;16"])
def test_images_of_every_mode_become_files(mode: str) -> None:
    sent = decoded(Image.new(mode, (5, 3)))
    assert (sent.format, sent.size) == ("PNG", (5, 3))


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 5, 2), (3, 5, 3), (3, 5, 4)])
def test_arrays_of_every_shape_become_files_without_loss(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(np.asarray(decoded(array)).reshape(shape), array)
    turned = array[::-1, ::2]  # not contiguous
    np.testing.assert_array_equal(np.asarray(decoded(turned)).reshape(turned.shape), turned)


def test_floats_and_truths_become_grey_levels() -> None:
    assert [*decoded(np.array([[0, 0.5, 1]], np.float32)).tobytes()] == [0, 128, 255]
    assert [*decoded(np.array([[False, True]])).tobytes()] == [0, 255]


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"not \(3, 8, 8\); move its channels to the end"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"has the shape \(H, W\) or \(H, W, 3\), not \(1, 8, 8, 3\)"),
        (np.zeros((0, 8), np.uint8), "has the shape"),
        (np.full((2, 2), 1.5), r"in \[0, 1\]"),
        (np.full((2, 2), np.nan), r"in \[0, 1\]"),
        (np.zeros((2, 2), np.uint16), "not uint16"),
        (np.zeros((2, 2), np.int64), "not int64"),
        (["dog.jpg"], "not list"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_picture_is_told_before_anything_is_sent(array: Any, told: str) -> None:
    client, asked = answering()
    with pytest.raises(PictureError, match=told):
        client.classify(array)
    assert asked == []


def test_a_file_that_is_not_there_is_told_as_a_sentence() -> None:
    with pytest.raises(PictureError, match="cannot be read: No such file"):
        picture_bytes(Path("nowhere.jpg"))


def sent_with(pictures: Any) -> dict[str, bytes]:
    """What the service gets when it is taught with these."""
    client, asked = answering(httpx2.Response(202, json={"object": "job", "id": "job_1"}))
    client.teach(pictures, name="shapes")
    with ZipFile(BytesIO(asked[0].read())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_folder_an_archive_and_its_bytes_teach_the_same(tmp_path: Path) -> None:
    pictures = shapes(2)
    folder = tmp_path / "shapes"
    for name, data in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "elsewhere").symlink_to(tmp_path)
    os.utime(folder / "red/0.png", (0, 0))  # before the first year of a zip
    archive = tmp_path / "shapes.zip"
    archive.write_bytes(zipped(pictures))
    with archive.open("rb") as opened:
        for source in (folder, str(folder), archive, str(archive), archive.read_bytes(), opened):
            assert sent_with(source) == pictures
        assert not opened.closed


def test_pictures_by_class_teach_too(tmp_path: Path) -> None:
    pictures = shapes(1)
    path = tmp_path / "disc.png"
    path.write_bytes(pictures["red/0.png"])
    image = Image.open(BytesIO(pictures["blue/0.png"]))
    sent = sent_with({"red": [path, str(path)], "blue": [image, np.asarray(image)]})
    assert list(sent) == ["red/1-disc.png", "red/2-disc.png", "blue/1.png", "blue/2.png"]
    assert sent["red/2-disc.png"] == path.read_bytes()
    np.testing.assert_array_equal(np.asarray(decoded(sent["blue/2.png"])), np.asarray(image))


def test_a_folder_that_cannot_be_read_is_told_as_a_sentence(tmp_path: Path) -> None:
    client, asked = answering()
    with pytest.raises(PictureError, match=r"nowhere cannot be read: No such file or directory\."):
        client.teach(tmp_path / "nowhere", name="shapes")
    with pytest.raises(PictureError, match="cannot be read"):
        client.teach({"red": [tmp_path / "nowhere.png"]}, name="shapes")
    assert asked == []


@pytest.mark.slow
def test_a_folder_teaches_a_model_that_answers(server: str, tmp_path: Path) -> None:
    for name, data in shapes().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with Client(server) as client:
        job = client.wait(client.teach(tmp_path, name="from-a-folder"))
        assert job["result"] is not None
        assert job["result"]["metrics"]["accuracy"] == 1
        seen = client.classify(tmp_path / "red/0.png", model="from-a-folder")
        assert seen["predictions"][0]["label"] == "red"
        client.delete_model("from-a-folder")
