"""Canvases by which an implementation shows whether it answers as float32 does, made of the photos that ship.

Five photos give hundreds of canvases: crops, blends of two photos, blurred, noisy, and turned ones with other colours.
The blends lie between classes, and so do many of the rest: they are harder than photos as people send them.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from app.vision.image import Preprocessing, preprocess

PICTURES: Final = 400
_PHOTOS: Final = Path(__file__).resolve().parents[2] / "web/samples"
_NAMES: Final = ("cat.jpg", "basenji.png", "bernese.png", "cat-eye.png", "papillon.png")
_SIDE: Final = 256
_LONGER_SIDE: Final = 640
_RECIPE: Final = 2
"""To be raised with every change of what is made here: verdicts on other canvases are no verdicts on these."""


def calibration_canvases(preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """`(PICTURES, crop, crop, 3)`, always the same ones."""
    return np.stack([preprocess(np.asarray(picture), preprocessing) for picture in _pictures()])


def calibration_digest() -> str:
    """Of all that decides what the canvases are, besides the preprocessing and the libraries."""
    digest = sha256(f"recipe {_RECIPE}, {PICTURES} pictures".encode())
    for name in _NAMES:
        digest.update((_PHOTOS / name).read_bytes())
    return digest.hexdigest()


def _pictures() -> Iterator[Image.Image]:
    photos = [Image.open(_PHOTOS / name).convert("RGB") for name in _NAMES]
    for photo in photos:
        photo.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    chance = np.random.default_rng(0)
    for number in range(PICTURES):
        photo = _crop(photos[number % len(photos)], chance)
        match number // len(photos) % 5:
            case 0:
                yield photo
            case 1:
                other = photos[(number + chance.integers(1, len(photos))) % len(photos)]
                yield Image.blend(photo, _crop(other, chance), chance.uniform(0.3, 0.7))
            case 2:
                yield photo.filter(ImageFilter.GaussianBlur(chance.uniform(1, 4)))
            case 3:
                yield _noisy(photo, chance)
            case _:
                yield _turned(photo, chance)


def _crop(photo: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Of a sixth of the photo to the whole of it, perhaps mirrored, and a little out of proportion."""
    share, proportion = chance.uniform(1 / 6, 1), chance.uniform(0.8, 1.25)
    width = min(photo.width, (photo.width * photo.height * share * proportion) ** 0.5)
    height = min(photo.height, (photo.width * photo.height * share / proportion) ** 0.5)
    left, top = chance.uniform(0, photo.width - width), chance.uniform(0, photo.height - height)
    box = (left, top, left + width, top + height)
    crop = photo.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, box=box)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else crop


def _noisy(photo: Image.Image, chance: np.random.Generator) -> Image.Image:
    noise = chance.standard_normal((_SIDE, _SIDE, 3), np.float32)
    levels = np.asarray(photo) + chance.uniform(10, 50) * noise
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _turned(photo: Image.Image, chance: np.random.Generator) -> Image.Image:
    enhancers: Sequence[type[ImageEnhance.Contrast] | type[ImageEnhance.Brightness] | type[ImageEnhance.Color]]
    enhancers = (ImageEnhance.Contrast, ImageEnhance.Brightness, ImageEnhance.Color)
    for enhancer in enhancers:
        photo = enhancer(photo).enhance(chance.uniform(0.4, 1.6))
    return photo.rotate(chance.uniform(-40, 40), Image.Resampling.BICUBIC)
