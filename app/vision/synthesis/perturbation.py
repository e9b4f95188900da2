"""How much a picture was changed, in numbers and to be seen.

Pictures have up to tens of megapixels: all goes by bands of rows, so that nothing is there a second time as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app.vision.image import Canvas
from app.vision.synthesis.field import bands
from app.vision.synthesis.resize import Region

_MAX_AMPLIFICATION: Final = 40
_WINDOW: Final = 7
_EVERY_WINDOW: Final = 1_000_000
"""Pixels up to which SSIM is of every window; of larger pictures it is of those that do not overlap."""


@dataclass(frozen=True)
class Perturbation:
    """`linf` in grey levels (255ths), `l2` of all values in [0, 1], `psnr_db` is None if nothing changed."""

    linf: int
    l2: float
    ssim: float
    psnr_db: float | None

    @property
    def amplified(self) -> int:
        """By how much the picture of it is."""
        return max(1, min(_MAX_AMPLIFICATION, 127 // self.linf)) if self.linf else 1


def measure(original: Canvas, changed: Canvas) -> Perturbation:
    """Of two pictures `(H, W, 3)`. SSIM (Wang 2004) with windows of 7 × 7, the mean of the three colours."""
    linf = squares = 0
    for change in _changes(original, changed):
        linf = max(linf, int(np.abs(change).max()))
        squares += int((change.astype(np.int32) ** 2).sum())
    psnr_db = float(10 * np.log10(255**2 * changed.size / squares)) if squares else None
    return Perturbation(linf, squares**0.5 / 255, _ssim(original, changed), psnr_db)


def linf_of(original: Canvas, changed: Canvas) -> int:
    """The largest change of a value, in grey levels."""
    return max((int(np.abs(change).max()) for change in _changes(original, changed)), default=0)


def difference_of(original: Canvas, changed: Canvas, factor: int) -> Canvas:
    """The change around mid-grey, amplified so that it can be seen."""
    bands = [(128 + factor * change).clip(0, 255).astype(np.uint8) for change in _changes(original, changed)]
    return np.concatenate(bands)


def noise_like(original: Canvas, changed: Canvas, region: Region, seed: int) -> Canvas:
    """The very same changes of a region, its rows and columns shuffled and the signs random: what the size of a change
    does without its direction. Where it would leave 0..255 it is cut.
    """
    noisy = original.copy()
    own, before, after = noisy[region], original[region], changed[region]
    chance = np.random.default_rng(seed)
    rows, columns = chance.permutation(own.shape[0]), chance.permutation(own.shape[1])
    for band in _bands(own):
        change = after[rows[band]].astype(np.int16) - before[rows[band]]
        signs = chance.integers(0, 2, change.shape, np.int8) * 2 - 1
        own[band] = (before[band] + change[:, columns] * signs).clip(0, 255)
    return noisy


def _bands(picture: Canvas) -> Iterator[slice]:
    """Of whole windows."""
    return bands(*picture.shape[:2], multiple=_WINDOW)


def _changes(original: Canvas, changed: Canvas) -> Iterator[NDArray[np.int16]]:
    return (changed[band].astype(np.int16) - original[band] for band in _bands(original))


def _ssim(one: Canvas, other: Canvas) -> float:
    """Small pictures have a smaller window."""
    height, width = one.shape[:2]
    window = min(_WINDOW, height, width)
    if height * width <= _EVERY_WINDOW:
        return float(_similar(_colours(one), _colours(other), window, 1).mean())
    found = [
        _similar(_colours(one[band]), _colours(other[band]), window, window)
        for band in _bands(one)
        if len(one[band]) >= window
    ]
    return float(torch.cat([similar.flatten() for similar in found]).double().mean())


def _colours(picture: Canvas) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1).float()


def _similar(x: Tensor, y: Tensor, window: int, stride: int) -> Tensor:
    """Of each window of `(3, H, W)`."""

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, window, stride)

    unbiased = window**2 / max(1, window**2 - 1)
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = unbiased * (mean(x * x) - mean_x**2), unbiased * (mean(y * y) - mean_y**2)
    covariance = unbiased * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar: Tensor = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
