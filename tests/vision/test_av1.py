from contextlib import suppress
from io import BytesIO
from random import Random

import numpy as np
import pytest
from PIL import Image

from app.vision.av1 import Av1Error, _Bits, _size, as_picture, coded_sizes
from app.vision.image import ImageLimits, ImageTooLargeError, Picture


def avif(*images: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    first, *others = images
    first.save(file, "AVIF", speed=10, save_all=bool(others), append_images=others, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (64, 48), (255, 257), (1920, 1080)])
def test_sizes_are_those_of_the_sequence_headers(size: tuple[int, int]) -> None:
    assert coded_sizes(avif(Image.new("RGB", size))) == [size]
    assert coded_sizes(avif(Image.new("RGBA", size, (1, 2, 3, 4)))) == [size, size], (
        "its transparency is a picture, too"
    )


def test_of_a_film_the_picture_that_stands_for_it_is_shown() -> None:
    film = avif(Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue"))
    assert film[8:12] == b"avis"
    assert set(coded_sizes(film)) == {(64, 48)}
    assert as_picture(film)[8:12] == b"avif"
    shown = Picture.read(film, ImageLimits())
    assert (shown.width, shown.height) == (64, 48)
    assert np.abs(shown.pixels()[10, 10].astype(int) - (255, 0, 0)).max() < 20


def test_the_parts_of_a_picture_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clear = avif(Image.new("RGBA", (100, 100), (1, 2, 3, 4)))
    assert Picture.read(clear, ImageLimits(max_pixels=10_000)).width == 100
    monkeypatch.setattr("app.vision.image.coded_sizes", lambda _: [(100, 100)] * 4)  # as tiles of one picture are
    with pytest.raises(ImageTooLargeError, match="40,000 pixels"):
        Picture.read(clear, ImageLimits(max_pixels=10_000))


def header(*fields: tuple[int, int]) -> _Bits:
    """Of (value, bits)."""
    text = "".join(f"{value:0{bits}b}" for value, bits in fields)
    return _Bits(int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big"))


FULL = ((0, 3), (0, 1), (0, 1))
"""The beginning of a header that is not reduced."""
POINT = ((0, 1), (0, 5), (0, 12), (9, 5), (1, 1))
"""No delay, and one operating point of a level that has a tier."""


def sized(width: int, height: int, bits: int) -> tuple[tuple[int, int], ...]:
    return ((bits - 1, 4), (bits - 1, 4), (width - 1, bits), (height - 1, bits))


def test_a_full_header_says_its_size_behind_what_else_it_may_have() -> None:
    assert _size(header(*FULL, (0, 1), *POINT, *sized(4000, 3000, 12))) == (4000, 3000)
    timing = ((1, 1), (1, 32), (1, 32), (1, 1), (0b001, 3), (0, 2), (1, 1), (3, 5), (0, 42))
    point = ((1, 1), (0, 5), (0, 12), (1, 5), (1, 1), (0, 9), (1, 1), (5, 4))
    assert _size(header(*FULL, *timing, *point, *sized(4000, 3000, 12))) == (4000, 3000)


def test_a_header_that_lets_frames_be_larger_counts_as_large_as_they_may_be() -> None:
    assert _size(header(*FULL, (0, 1), *POINT, *sized(64, 64, 16))) == (65_536, 65_536)


def test_what_is_no_avif_is_told_so_whatever_is_broken() -> None:
    whole, random = avif(Image.new("RGB", (40, 30), "red")), Random(0)
    with pytest.raises(Av1Error):
        coded_sizes(b"")
    with pytest.raises(Av1Error, match="no picture"):
        coded_sizes(whole.replace(b"av01", b"av02", 1))
    for number in range(2000):
        wrong = bytearray(whole)
        for _ in range(random.choice((1, 3, 9))):
            wrong[random.randrange(len(wrong))] = random.randrange(256)
        if number % 4 == 0:
            del wrong[random.randrange(len(wrong)) :]
        with suppress(Av1Error):
            assert coded_sizes(bytes(wrong))


def test_the_limit_holds_for_the_largest_picture_of_a_file() -> None:
    with pytest.raises(ImageTooLargeError, match="40×30"):
        Picture.read(avif(Image.new("RGB", (40, 30))), ImageLimits(max_pixels=1_199))
