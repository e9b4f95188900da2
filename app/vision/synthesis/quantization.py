"""Changes of pictures in whole grey levels."""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from app.vision.synthesis.field import BINS, Computed, Field, by_bands

_MOST_IN_A_BYTE: Final = 127
_BISECTIONS: Final = 24


def whole_levels(epsilon: float) -> int:
    """The grey levels that a bound in [0, 1] leaves room for; 0 below 1/255. Rounding up would exceed the bound."""
    return math.floor(epsilon * 255 + 1e-6)


def rounded(change: Tensor, start: Tensor) -> Tensor:
    """The whole levels nearest to a change `(3, H, W)`, cut where a picture of the levels `start` leaves 0..255."""
    return _levels(lambda rows: change[:, rows].round(), 255, start)


def signed_step(change: Tensor, direction: Field, size: int, bound: int, start: Tensor) -> Tensor:
    """Every value of a change `(3, H, W)` moved by so many levels along the direction's sign, within ±`bound` and
    0..255.
    """
    return _levels(
        lambda rows: (change[:, rows] + size * direction.rows(rows).sign()).clamp_(-bound, bound),
        bound,
        start,
    )


def round_to_norm(direction: Field, norm: float, start: Tensor, cap: int | None) -> Tensor:
    """Whole levels along a direction, none above `cap`, of about this L2 norm (in levels), whatever the direction's.

    One histogram of the direction tells the norm for every scale, so that the search for it costs nothing.
    """
    top = direction.largest
    if top <= 0:
        return torch.zeros(start.shape, dtype=_levels_dtype(cap))
    above = direction.histogram.flip(0).cumsum(0).flip(0).tolist()
    scale = _bisect(lambda scale: _squared_norm(above, scale, top, cap), norm**2, 0.5 / top)

    def scaled(rows: slice) -> Tensor:
        part = (direction.rows(rows) * scale).round_()
        return part.clamp_(-cap, cap) if cap else part

    return _levels(scaled, cap, start)


def norm_of(change: Tensor) -> float:
    """The L2 norm of a change of whole levels `(3, H, W)`."""
    return Computed(lambda rows: change[:, rows].float(), *change.shape[1:]).norm


def _levels_dtype(most: int | None) -> torch.dtype:
    """The smallest for changes by so many grey levels, by any number without one."""
    return torch.int8 if most is not None and most <= _MOST_IN_A_BYTE else torch.int16


def _levels(change: Callable[[slice], Tensor], most: int | None, start: Tensor) -> Tensor:
    """Of at most so many levels, cut where a picture of the levels `start` would leave 0..255."""
    levels = torch.empty(start.shape, dtype=_levels_dtype(most))

    def cut(rows: slice) -> None:
        before = start[:, rows].float()
        levels[:, rows] = torch.clamp(change(rows), -before, 255 - before)

    by_bands(cut, *start.shape[1:])
    return levels


def _squared_norm(counts: list[float], scale: float, top: float, cap: int | None) -> float:
    """Of the rounded change, level by level: a value is at least l where |direction| * scale >= l - 1/2."""
    total, level = 0.0, 1
    while cap is None or level <= cap:
        edge = math.ceil((level - 0.5) / scale * BINS / top)
        if edge >= BINS:
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
