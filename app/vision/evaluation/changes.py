"""What happens to pictures in the world: fourteen kinds of change, each at five strengths.

The vocabulary is that of ImageNet-C (Hendrycks & Dietterich 2019) and of photo editors; the code is ours. All work on
the canvas, so that each costs a millisecond and what is compared is what the network sees.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Final, Literal, get_args

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from app.vision.image import Canvas

Change = Literal[
    "noise",
    "gaussian_blur",
    "motion_blur",
    "pixelate",
    "jpeg",
    "brightness",
    "contrast",
    "saturation",
    "grayscale",
    "rotation",
    "scale",
    "shift",
    "flip",
    "occlusion",
]
CHANGES: Final[tuple[Change, ...]] = get_args(Change)
SEVERITIES: Final = (1, 2, 3, 4, 5)

AMOUNTS: Final[Mapping[Change, tuple[float, float, float, float, float]]] = {
    "noise": (6, 14, 25, 40, 60),
    "gaussian_blur": (0.8, 1.4, 2.2, 3.2, 4.5),
    "motion_blur": (3, 6, 10, 15, 22),
    "pixelate": (0.6, 0.42, 0.3, 0.21, 0.14),
    "jpeg": (70, 40, 22, 12, 6),
    "brightness": (1.15, 1.4, 1.75, 2.2, 2.8),
    "contrast": (0.8, 0.6, 0.42, 0.28, 0.17),
    "saturation": (1.4, 2.0, 3.0, 4.5, 7.0),
    "grayscale": (0.3, 0.5, 0.7, 0.85, 1.0),
    "rotation": (4, 9, 16, 26, 40),
    "scale": (1.08, 1.25, 1.5, 1.85, 2.4),
    "shift": (0.02, 0.06, 0.12, 0.2, 0.3),
    "flip": (1, 2, 3, 4, 5),
    "occlusion": (0.15, 0.25, 0.35, 0.47, 0.6),
}
"""Deviation in grey levels; radius and length in pixels; share of the pixels' number along a side; JPEG's quality;
factors of brightness, contrast and saturation; how much of the colour is gone; degrees; magnification; shares of the
canvas; mirrored, a quarter turn left and right, upside down, a half turn; side of the square.
"""
_FLIPS: Final = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_180,
)


def changed(canvas: Canvas, change: Change, severity: int, *, seed: int = 0) -> Canvas:
    """The canvas `(H, H, 3)` after one change of the strength 1 to 5. What comes in from outside is mirrored; `seed`
    draws the noise and the place of the occlusion.
    """
    return _WAYS[change](canvas, AMOUNTS[change][severity - 1], np.random.default_rng(seed))


def _noise(canvas: Canvas, deviation: float, generator: np.random.Generator) -> Canvas:
    noise = generator.standard_normal(canvas.shape, np.float32) * np.float32(deviation)
    return _levels(canvas + noise)


def _motion_blur(canvas: Canvas, size: float, _: np.random.Generator) -> Canvas:
    """To the side, as from a train."""
    steps, width = int(size), canvas.shape[1]
    padded = np.pad(canvas, ((0, 0), (steps // 2, steps - 1 - steps // 2), (0, 0)), mode="reflect").astype(np.uint16)
    total = sum((padded[:, start : start + width] for start in range(steps)), np.zeros(canvas.shape, np.uint16))
    return (total // steps).astype(np.uint8)


def _pixelate(canvas: Canvas, share: float, _: np.random.Generator) -> Canvas:
    image = Image.fromarray(canvas)
    small = image.resize((max(1, round(image.width * share)),) * 2, Image.Resampling.BOX)
    return np.array(small.resize(image.size, Image.Resampling.NEAREST))


def _jpeg(canvas: Canvas, quality: float, _: np.random.Generator) -> Canvas:
    file = BytesIO()
    Image.fromarray(canvas).save(file, "JPEG", quality=int(quality))
    return np.array(Image.open(file))


def _brightness(canvas: Canvas, factor: float, _: np.random.Generator) -> Canvas:
    return _levels(canvas * np.float32(factor))


def _contrast(canvas: Canvas, factor: float, _: np.random.Generator) -> Canvas:
    mean = canvas.mean(dtype=np.float32)
    return _levels(mean + (canvas - mean) * np.float32(factor))


def _saturation(canvas: Canvas, factor: float, _: np.random.Generator) -> Canvas:
    return np.array(ImageEnhance.Color(Image.fromarray(canvas)).enhance(factor))


def _grayscale(canvas: Canvas, share: float, generator: np.random.Generator) -> Canvas:
    return _saturation(canvas, 1 - share, generator)


def _rotation(canvas: Canvas, degrees: float, _: np.random.Generator) -> Canvas:
    side = canvas.shape[0]
    edge = side // 4
    around = Image.fromarray(_within_mirrors(canvas, edge))
    turned = around.rotate(degrees, Image.Resampling.BICUBIC)
    return np.array(turned.crop((edge, edge, edge + side, edge + side)))


def _scale(canvas: Canvas, factor: float, _: np.random.Generator) -> Canvas:
    side = canvas.shape[0]
    edge = side * (1 - 1 / factor) / 2
    box = (edge, edge, side - edge, side - edge)
    return np.array(Image.fromarray(canvas).resize((side, side), Image.Resampling.BICUBIC, box=box))


def _shift(canvas: Canvas, share: float, _: np.random.Generator) -> Canvas:
    """To the right and down."""
    side = canvas.shape[0]
    far = max(1, round(side * share))
    return np.ascontiguousarray(_within_mirrors(canvas, far)[:side, :side])


def _flip(canvas: Canvas, number: float, _: np.random.Generator) -> Canvas:
    return np.array(Image.fromarray(canvas).transpose(_FLIPS[int(number) - 1]))


def _occlusion(canvas: Canvas, share: float, generator: np.random.Generator) -> Canvas:
    """A grey square."""
    side = canvas.shape[0]
    size = round(side * share)
    top, left = generator.integers(0, side - size + 1, 2)
    hidden = canvas.copy()
    hidden[top : top + size, left : left + size] = 127
    return hidden


def _gaussian_blur(canvas: Canvas, radius: float, _: np.random.Generator) -> Canvas:
    return np.array(Image.fromarray(canvas).filter(ImageFilter.GaussianBlur(radius)))


def _within_mirrors(canvas: Canvas, edge: int) -> Canvas:
    return np.pad(canvas, ((edge, edge), (edge, edge), (0, 0)), mode="reflect")


def _levels(values: np.typing.NDArray[np.float32]) -> Canvas:
    return np.rint(values).clip(0, 255).astype(np.uint8)


_WAYS: Final[Mapping[Change, Callable[[Canvas, float, np.random.Generator], Canvas]]] = {
    "noise": _noise,
    "gaussian_blur": _gaussian_blur,
    "motion_blur": _motion_blur,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "grayscale": _grayscale,
    "rotation": _rotation,
    "scale": _scale,
    "shift": _shift,
    "flip": _flip,
    "occlusion": _occlusion,
}
