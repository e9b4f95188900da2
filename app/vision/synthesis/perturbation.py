"""How much a picture was changed, in numbers and to be seen."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from app.vision.image import Canvas

_MAX_AMPLIFICATION: Final = 40
_WINDOW: Final = 7


@dataclass(frozen=True)
class Perturbation:
    """`linf` in grey levels (255ths), `l2` of all values in [0, 1], `psnr_db` is None if nothing changed."""

    linf: int
    l2: float
    ssim: float
    psnr_db: float | None
    amplified: int
    """By how much the picture of it is."""


def measure(original: Canvas, changed: Canvas) -> Perturbation:
    """Of two pictures `(H, W, 3)`. SSIM (Wang 2004) with windows of 7 × 7, the mean of the three colours."""
    change = changed.astype(np.int16) - original.astype(np.int16)
    squares = float((change.astype(np.float32) ** 2).sum(dtype=np.float64))
    ssim = float(np.mean([_ssim(original[..., colour], changed[..., colour]) for colour in range(3)]))
    linf = int(np.abs(change).max(initial=0))
    psnr_db = 10 * np.log10(255**2 * change.size / squares) if squares else None
    return Perturbation(linf, squares**0.5 / 255, ssim, psnr_db and float(psnr_db), _amplification(linf))


def _amplification(linf: int) -> int:
    return max(1, min(_MAX_AMPLIFICATION, 127 // linf)) if linf else 1


def difference_of(original: Canvas, changed: Canvas) -> Canvas:
    """The change around mid-grey, amplified so that it can be seen."""
    change = changed.astype(np.int16) - original.astype(np.int16)
    factor = _amplification(int(np.abs(change).max(initial=0)))
    return (128 + factor * change).clip(0, 255).astype(np.uint8)


def _ssim(one: Canvas, other: Canvas) -> float:
    """Of one colour `(H, W)`; small pictures have a smaller window."""
    window = min(_WINDOW, *one.shape)
    x, y = (torch.from_numpy(levels).float()[None, None] for levels in (one, other))

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, window, 1)

    unbiased = window**2 / max(1, window**2 - 1)
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = unbiased * (mean(x * x) - mean_x**2), unbiased * (mean(y * y) - mean_y**2)
    covariance = unbiased * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())
