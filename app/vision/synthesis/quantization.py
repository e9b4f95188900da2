"""Pictures of whole grey levels, what a network sees of them, and how its gradient comes back to them."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.vision.image import Canvas, Fit, fit_image

_BINS: Final = 4096
_BISECTIONS: Final = 24


class Lens:
    """What a network with this fit sees of a picture `(H, W, 3)`; without a fit, the picture itself.

    `region` are the rows and columns that reach the canvas. Forward it is Pillow's real resize, backward the adjoint of
    that linear map (without its rounding), so that what is optimised is what is served.
    """

    def __init__(self, picture: Canvas, fit: Fit | None) -> None:
        self.picture, self._fit = picture, fit
        height, width = picture.shape[:2]
        if fit is None:
            self.region = slice(0, height), slice(0, width)
            return
        left, top, right, bottom = fit.box(width, height)
        self._rows, rows = _weights(fit.crop, height, top, bottom)
        self._columns, columns = _weights(fit.crop, width, left, right)
        self.region = rows, columns

    def start(self) -> Tensor:
        """The grey levels of the region, `(3, h, w)` in 0..255."""
        return torch.from_numpy(self.picture[self.region]).permute(2, 0, 1).float()

    def changed(self, change: Tensor) -> Canvas:
        """The picture with a change `(3, h, w)` of whole levels that stays within 0..255."""
        picture = self.picture.copy()
        picture[self.region] = (self.start() + change).to(torch.uint8).permute(1, 2, 0).numpy()
        return picture

    def canvas(self, picture: Canvas) -> Canvas:
        return picture if self._fit is None else fit_image(Image.fromarray(picture), self._fit)

    def project(self, region: Tensor) -> Tensor:
        """The canvas `(3, crop, crop)` of the region's values `(3, h, w)`, not rounded."""
        return region if self._fit is None else self._rows @ region @ self._columns.T

    def pull_back(self, gradient: Tensor) -> Tensor:
        """From `(3, crop, crop)` to the region, `(3, h, w)`."""
        if self._fit is None:
            return gradient
        return self._rows.T @ gradient @ self._columns


def _weights(size: int, length: int, start: float, stop: float) -> tuple[Tensor, slice]:
    """Pillow's antialiased bicubic resize of `start..stop` of a line to `size` pixels, as a matrix.

    Its columns are those pixels of the line that count, which the slice names.
    """
    scale = (stop - start) / size
    stretch = max(scale, 1.0)
    centers = start + (torch.arange(size, dtype=torch.float64) + 0.5) * scale
    first = (centers - 2 * stretch + 0.5).floor().clamp(min=0)
    last = (centers + 2 * stretch + 0.5).floor().clamp(max=length)
    used = slice(int(first.min()), int(last.max()))
    pixels = torch.arange(used.start, used.stop, dtype=torch.float64)
    weights = _bicubic((pixels + 0.5 - centers[:, None]) / stretch)
    weights[(pixels < first[:, None]) | (pixels >= last[:, None])] = 0
    return (weights / weights.sum(1, keepdim=True)).float(), used


def _bicubic(x: Tensor) -> Tensor:
    """Keys (1981) with a = -0.5, as Pillow has it."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def within_levels(change: Tensor, start: Tensor) -> Tensor:
    """The change, cut where the picture would leave 0..255."""
    return torch.maximum(torch.minimum(change, 255 - start), -start)


def round_to_norm(direction: Tensor, norm: float, start: Tensor, cap: int | None) -> Tensor:
    """Whole levels along a direction, none above `cap`, of about this L2 norm (in levels).

    One histogram of the direction tells the norm for every scale, so that the search for it costs nothing.
    """
    top = float(direction.abs().max())
    if top <= 0:
        return torch.zeros_like(direction)
    counts = torch.histc(direction.abs(), bins=_BINS, min=0, max=top).double().flip(0).cumsum(0).flip(0).tolist()
    scale = _bisect(lambda scale: _squared_norm(counts, scale, top, cap), norm**2, 0.5 / top)
    change = (direction * scale).round_()
    return within_levels(change.clamp_(-cap, cap) if cap else change, start)


def _squared_norm(counts: list[float], scale: float, top: float, cap: int | None) -> float:
    """Of the rounded change, level by level: a value is at least l where |direction| * scale >= l - 1/2."""
    total, level = 0.0, 1
    while cap is None or level <= cap:
        edge = math.ceil((level - 0.5) / scale * _BINS / top)
        if edge >= _BINS:
            break
        total += (2 * level - 1) * counts[edge]
        level += 1
    return total


def _bisect(rising: Callable[[float], float], wanted: float, start: float) -> float:
    low = high = start
    while rising(high) < wanted and high < start * 2e6:
        high *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return high


def pixels_of(*canvases: Canvas) -> Tensor:
    """`(n, 3, crop, crop)` in [0, 1]."""
    return torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2).float() / 255
