"""What a network sees of a picture, and how its gradient comes back to the pixels: the resize and its adjoint."""

from typing import Final

import torch
from torch import Tensor

from app.vision.image import Canvas, Preprocessing, preprocess

Region = tuple[slice, slice]
"""Rows and columns."""

_STRIP: Final = 256
"""Columns that come back at once: of a large picture, each few contribute to a few canvas pixels alone."""


class ResizeOperator:
    """What a network with this preprocessing sees of a picture `(H, W, 3)`; without one, the picture itself.

    `region` are the rows and columns that reach the canvas. Forward it is the real resize, backward the adjoint of
    that linear map (without its rounding), so that what is optimised is what is served.
    """

    def __init__(self, picture: Canvas, preprocessing: Preprocessing | None) -> None:
        self._fit = preprocessing
        height, width = picture.shape[:2]
        self.region: Region = slice(0, height), slice(0, width)
        self.density = 1.0
        """Values of the canvas for each of the picture."""
        if preprocessing is None:
            return
        left, top, right, bottom = preprocessing.box(width, height)
        self._rows = _Line(preprocessing.crop, height, top, bottom)
        self._columns = _Line(preprocessing.crop, width, left, right)
        self.region = self._rows.used, self._columns.used
        self.density = preprocessing.crop**2 / ((right - left) * (bottom - top))

    def canvas(self, picture: Canvas) -> Canvas:
        """What the network sees of a picture `(H, W, 3)`, by the real resize of the classification path: `(crop, crop,
        3)`.
        """
        return picture if self._fit is None else preprocess(picture, self._fit)

    def project(self, region: Tensor) -> Tensor:
        """The canvas `(3, crop, crop)` of the region's values `(3, h, w)`, not rounded."""
        return region if self._fit is None else self._rows.weights @ region @ self._columns.weights.T

    def pull_back(self, gradient: Tensor) -> Tensor:
        """From `(3, crop, crop)` to the region, `(3, h, w)`."""
        whole = tuple(slice(0, part.stop - part.start) for part in self.region)
        values = torch.zeros(3, *(part.stop for part in whole))
        self.add_pulled_back_(values, gradient, (whole[0], whole[1]))
        return values

    def add_pulled_back_(self, values: Tensor, gradient: Tensor, part: Region) -> None:
        """Add what `pull_back` gives of a part of the region to values `(3, h, w)` of that part."""
        rows, columns = part
        if self._fit is None:
            values += gradient[:, rows, columns]
            return
        down, across = self._rows, self._columns
        rising = down.seen(rows.start, rows.stop)
        upright = down.weights[rising, rows].T @ gradient[:, rising]
        for start in range(columns.start, columns.stop, _STRIP):
            stop = min(start + _STRIP, columns.stop)
            seen = across.seen(start, stop)
            strip = values[:, :, start - columns.start : stop - columns.start]
            for own, flat in zip(strip, upright[:, :, seen], strict=True):
                own.addmm_(flat, across.weights[seen, start:stop])


class _Line:
    """The resize of a line as a matrix `(size, used)`, of those pixels `used` of the line that count."""

    def __init__(self, size: int, length: int, start: float, stop: float) -> None:
        self.weights, self.used = _weights(size, length, start, stop)
        counts = self.weights != 0
        self._first = counts.int().argmax(0).tolist()
        self._last = (size - counts.flip(0).int().argmax(0)).tolist()

    def seen(self, start: int, stop: int) -> slice:
        """Those of the `size` to which any of these pixels contributes: of a large picture, few."""
        return slice(min(self._first[start:stop]), max(self._last[start:stop]))


def _weights(size: int, length: int, start: float, stop: float) -> tuple[Tensor, slice]:
    """The antialiased bicubic resize of `start..stop` of a line to `size` pixels, as a matrix.

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
