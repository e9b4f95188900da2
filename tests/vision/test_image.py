import io
import json
import struct
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from pillow_heif import from_pillow

from app.vision.image import (
    FORMATS,
    ImageLimits,
    ImageTooLargeError,
    InvalidImageError,
    Picture,
    Preprocessing,
    UnsupportedImageError,
)
from tests.support.paths import ROOT

LIMITS = ImageLimits()
FIT = Preprocessing()


def saved(image: Image.Image, format: str = "PNG", **choices: object) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    if format == "HEIC":
        from_pillow(image).save(buffer, **choices)
        return buffer.getvalue()
    image.save(buffer, format, **choices)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photo(cat_photo: Image.Image) -> Image.Image:
    return cat_photo


@pytest.fixture(scope="module")
def cat_photo() -> Image.Image:
    from tests.support.paths import SAMPLES

    with Image.open(SAMPLES / "cat.jpg") as image:
        return image.resize((640, 360))


def distance(first: bytes, second: bytes) -> float:
    """Mean difference of two uploads' canvases, in grey levels."""
    canvases = [Picture.read(data, LIMITS, preprocessing=FIT).canvas(FIT).astype(float) for data in (first, second)]
    return float(np.abs(canvases[0] - canvases[1]).mean())


def test_the_canvas_is_the_middle_of_the_picture() -> None:
    image = Image.new("RGB", (512, 256), "red")
    image.paste("blue", (256 - 110, 0, 256 + 110, 256))
    canvas = Picture.read(saved(image), LIMITS).canvas(FIT)
    assert canvas.shape == (224, 224, 3)
    assert (canvas[:, 4:-4] == (0, 0, 255)).all()
    assert (canvas[:, [0, -1], 0] > 128).all()  # a strip of red is left at both sides


def test_fitting_equals_resizing_and_then_cropping(photo: Image.Image) -> None:
    resized = photo.resize((455, 256), Image.Resampling.BICUBIC, box=(0, 0, 640, 360))
    left = (455 - 224) // 2
    cropped = np.asarray(resized.crop((left, 16, left + 224, 240))).astype(float)
    fitted = Picture.read(saved(photo), LIMITS).canvas(FIT).astype(float)
    assert np.abs(cropped - fitted).mean() < 4  # whole pixels there, a third of a pixel beside them here
    assert np.corrcoef(cropped.ravel(), fitted.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(photo: Image.Image, orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that lays an upright photo down
    stored = photo.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else photo
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Picture.read(saved(stored, exif=exif), LIMITS)
    assert (picture.width, picture.height) == photo.size
    assert np.array_equal(picture.pixels(), np.asarray(photo))


def test_deep_grey_is_scaled_and_not_clipped(photo: Image.Image) -> None:
    grey = photo.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert distance(saved(deep), saved(grey)) == 0


def test_transparency_lies_over_white() -> None:
    clear = Image.new("RGBA", (300, 300), (10, 20, 30, 0))
    assert (Picture.read(saved(clear), LIMITS).canvas(FIT) == 255).all()
    half = Image.new("LA", (300, 300), (0, 128))
    assert (np.abs(Picture.read(saved(half), LIMITS).canvas(FIT).astype(int) - 127) <= 1).all()


def test_a_transparent_grey_level_of_a_deep_png_is_white(photo: Image.Image) -> None:
    deep = Image.fromarray(np.full((8, 8), 1000, np.uint16))
    assert (Picture.read(saved(deep, transparency=1000), LIMITS).pixels() == 255).all()


def as_pillow_decodes(data: bytes, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch) -> Picture:
    with monkeypatch.context() as patch:
        patch.setattr("app.vision.image._of_plain_jpeg", lambda *_: None)
        return Picture.read(data, LIMITS, preprocessing=preprocessing)


@pytest.mark.parametrize("size", [(640, 360), (331, 597), (1, 40), (40, 1), (1301, 1087), (2900, 2203)])
@pytest.mark.parametrize("choices", [{"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"keep_rgb": True}])
def test_a_jpeg_in_colour_has_the_pixels_that_pillow_decodes(
    photo: Image.Image, size: tuple[int, int], choices: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(photo.resize(size), "JPEG", quality=71, **choices)
    for preprocessing in (FIT, Preprocessing(128, 112)):
        mine = Picture.read(data, LIMITS, preprocessing=preprocessing)
        assert isinstance(mine.decoded, np.ndarray)
        pillows = as_pillow_decodes(data, preprocessing, monkeypatch)
        assert isinstance(pillows.decoded, Image.Image)
        assert np.array_equal(mine.pixels(), pillows.pixels())
        assert mine.image.tobytes() == pillows.image.tobytes()
        assert np.array_equal(mine.canvas(preprocessing), pillows.canvas(preprocessing))


def test_a_damaged_jpeg_is_what_pillow_makes_of_it(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, random, ends = saved(photo.resize((120, 90)), "JPEG"), Random(5), set()
    for _ in range(200):
        data = bytearray(whole)
        data[random.randrange(2, len(data))] = random.randrange(256)
        data = data[: random.choice([len(data), random.randrange(2, len(data))])]
        found: list[object] = []
        for read in (partial(Picture.read, limits=LIMITS), partial(as_pillow_decodes, monkeypatch=monkeypatch)):
            try:
                found.append(read(bytes(data), preprocessing=FIT).pixels().tobytes())
            except InvalidImageError as error:
                found.append(str(error))
        assert found[0] == found[1]
        ends.add(type(found[0]))
    assert ends == {str, bytes}


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "RGBA"])
def test_every_mode_becomes_rgb(photo: Image.Image, mode: str) -> None:
    name = "JPEG" if mode == "CMYK" else "PNG"
    limit = 80 if mode == "1" else 25
    reference = photo.convert("L").convert("RGB") if mode in "L1" else photo
    assert distance(saved(photo.convert(mode), name), saved(reference)) < limit


def test_a_big_jpeg_is_decoded_reduced_and_looks_the_same(photo: Image.Image) -> None:
    big = photo.resize((4000, 3000), Image.Resampling.LANCZOS)
    data = saved(big, "JPEG", quality=95)
    reduced = Picture.read(data, LIMITS, preprocessing=FIT)
    assert (reduced.width, reduced.height) == (4000, 3000)
    assert reduced.image.size == (1000, 750)
    whole = Picture.read(data, LIMITS)
    assert whole.image.size == (4000, 3000)
    assert np.abs(reduced.canvas(FIT).astype(float) - whole.canvas(FIT)).mean() < 1


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 2)])
def test_extreme_shapes_cost_no_more_than_a_canvas(size: tuple[int, int]) -> None:
    assert (Picture.read(saved(Image.new("RGB", size, "red")), LIMITS).canvas(FIT) == (255, 0, 0)).all()


def test_a_moving_picture_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    for name in ("GIF", "WEBP", "PNG"):
        data = saved(
            frames[0], name, save_all=True, append_images=frames[1:], **({"lossless": True} if name == "WEBP" else {})
        )
        assert (Picture.read(data, LIMITS).canvas(FIT) == (255, 0, 0)).all()


def test_the_format_is_found_from_the_bytes_and_only_allowed_ones_are_decoded(photo: Image.Image) -> None:
    bitmap = saved(photo, "BMP")
    with pytest.raises(UnsupportedImageError, match="This is BMP; accepted are JPEG, PNG, WEBP, GIF"):
        Picture.read(bitmap, LIMITS)
    assert Picture.read(bitmap, ImageLimits(FORMATS)).format == "BMP"
    with pytest.raises(UnsupportedImageError, match="This is PNG"):
        Picture.read(saved(photo), ImageLimits(("JPEG",)))


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0", b"<svg xmlns='x'/>", b"PK\x03\x04", b"\0\0\0\x18ftypisom"]
)
def test_what_is_no_picture_is_named(data: bytes) -> None:
    with pytest.raises(UnsupportedImageError):
        Picture.read(data, LIMITS)


def test_a_cut_off_file_is_invalid(photo: Image.Image) -> None:
    for name in ("PNG", "JPEG", "WEBP", "AVIF", "HEIC"):
        data = saved(photo, name)
        with pytest.raises(InvalidImageError):
            Picture.read(data[: len(data) // 2], LIMITS)


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
def test_what_phones_write_is_read(photo: Image.Image, format: str) -> None:  # noqa: A002
    data = saved(photo, format, quality=90)
    picture = Picture.read(data, LIMITS, preprocessing=FIT)
    assert (picture.format, picture.width, picture.height) == (format, 640, 360)
    assert distance(data, saved(photo)) < 4
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Picture.read(saved(turned, format, quality=90, exif=exif.tobytes()), LIMITS)
    assert (upright.width, upright.height) == photo.size
    assert np.abs(upright.pixels().astype(float) - np.asarray(photo)).mean() < 6
    clear = Image.new("RGBA", (64, 64), (10, 20, 30, 0))
    assert (Picture.read(saved(clear, format), LIMITS).pixels() > 250).all()
    with pytest.raises(UnsupportedImageError, match=f"This is {format}"):
        Picture.read(data, ImageLimits(("JPEG",)))


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
def test_the_pixels_of_what_phones_write_are_bounded(photo: Image.Image, format: str) -> None:  # noqa: A002
    data = saved(photo, format)
    with pytest.raises(ImageTooLargeError, match="640×360 pixels; at most 200,000"):
        Picture.read(data, ImageLimits(max_pixels=200_000))
    lying = bytearray(data)
    place = data.index(b"ispe") + 8
    lying[place : place + 8] = struct.pack(">II", 10, 10)
    if format == "HEIC":
        with pytest.raises(InvalidImageError, match="Security limit exceeded"):
            Picture.read(bytes(lying), LIMITS)
    else:
        assert Picture.read(bytes(lying), LIMITS).image.size == (10, 10), "scaled to what it says"
        with pytest.raises(ImageTooLargeError, match="640×360 pixels; at most 200,000"):
            Picture.read(bytes(lying), ImageLimits(max_pixels=200_000))


def test_an_avif_that_lies_about_its_size_is_refused_before_its_pixels_take_memory() -> None:
    """In a process of its own: what one has ever taken cannot be taken back."""
    lying = bytearray(saved(Image.new("RGB", (8000, 8000), "red"), "AVIF", speed=10))
    place = lying.index(b"ispe") + 8
    lying[place : place + 8] = struct.pack(">II", 64, 64)
    code = """
import resource, sys
from app.vision.image import ImageLimits, ImageTooLargeError, Picture
Picture.read(sys.stdin.buffer.read(int(sys.argv[1])), ImageLimits())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    Picture.read(sys.stdin.buffer.read(), ImageLimits())
except ImageTooLargeError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    small = saved(Image.new("RGB", (64, 64)), "AVIF")
    command = [sys.executable, "-c", code, str(len(small))]
    done = subprocess.run(command, input=small + bytes(lying), capture_output=True, check=True, cwd=ROOT)
    told, megabytes = done.stdout.decode().splitlines()
    assert told == "The picture has 8000×8000 pixels; at most 25,000,000 are accepted."
    assert int(megabytes) < 20


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC"])
def test_a_damaged_file_is_a_picture_or_one_of_our_errors(photo: Image.Image, format: str) -> None:  # noqa: A002
    data, random = saved(photo.resize((64, 48)), format), Random(0)
    for number in range(300):
        wrong = bytearray(data)
        for _ in range(random.choice((1, 2, 5, 20))):
            wrong[random.randrange(len(wrong))] = random.randrange(256)
        if number % 4 == 0:
            del wrong[random.randrange(len(wrong)) :]
        with suppress(InvalidImageError):
            assert Picture.read(bytes(wrong), LIMITS, preprocessing=FIT).canvas(FIT).shape == (224, 224, 3)


def test_the_size_is_read_from_the_header_before_anything_is_decoded() -> None:
    bomb = saved(Image.new("1", (6_000, 6_000)))
    assert len(bomb) < 10_000
    with pytest.raises(ImageTooLargeError, match="6000×6000"):
        Picture.read(bomb, LIMITS)
    with pytest.raises(ImageTooLargeError, match="more than 25,000,000"):  # here Pillow refuses by itself
        Picture.read(saved(Image.new("1", (12_000, 12_000))), LIMITS)


@pytest.mark.parametrize("formats", [LIMITS.formats, FORMATS])
def test_the_hostile_corpus_is_answered_as_its_manifest_says(shared_data: Path, formats: tuple[str, ...]) -> None:
    manifest = json.loads((shared_data / "nasty/manifest.json").read_text(encoding="utf-8"))
    wrong = {}
    for name, entry in manifest.items():
        try:
            picture = Picture.read((shared_data / "nasty" / name).read_bytes(), ImageLimits(formats), preprocessing=FIT)
            assert picture.canvas(FIT).shape == (224, 224, 3)
            answer = "ok"
        except UnsupportedImageError:
            answer = "415"
        except InvalidImageError:
            answer = "4xx"
        allowed = {"ok": {"ok"}, "4xx": {"4xx", "415"}, "ok_or_415": {"ok", "415"}}.get(
            entry["expect"], {"ok", "4xx", "415"}
        )
        if answer not in allowed:
            wrong[name] = (entry["expect"], answer)
    assert len(manifest) == 97
    assert wrong == {}
