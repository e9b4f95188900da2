"""Changes of pictures in whole grey levels."""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

_BINS: Final = 4096
_BISECTIONS: Final = 24


def whole_levels(epsilon: float) -> int:
    """The grey levels that a bound in [0, 1] leaves room for; 0 below 1/255. Rounding up would exceed the bound."""
    return math.floor(epsilon * 255 + 1e-6)


def within_levels(change: Tensor, start: Tensor) -> Tensor:
    """The change `(3, H, W)` in grey levels, cut where the picture would leave 0..255."""
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
