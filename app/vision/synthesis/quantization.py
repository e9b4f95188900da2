"""Changes of pictures in whole grey levels."""

import math
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

Rows = Callable[[slice], Tensor]
"""Those rows of what there is for each value of a picture, `(3, rows, W)`."""
_BINS: Final = 4096
_BISECTIONS: Final = 24
_BAND: Final = 1_000_000
"""Pixels, about."""


def whole_levels(epsilon: float) -> int:
    """The grey levels that a bound in [0, 1] leaves room for; 0 below 1/255. Rounding up would exceed the bound."""
    return math.floor(epsilon * 255 + 1e-6)


def within_levels(change: Tensor, start: Tensor) -> Tensor:
    """The change `(3, H, W)` in grey levels, cut where the picture, of the levels `start`, would leave 0..255."""
    cut = torch.empty_like(change)
    for rows in bands(*change.shape[1:]):
        levels = start[:, rows].to(change.dtype)
        torch.clamp(change[:, rows], -levels, 255 - levels, out=cut[:, rows])
    return cut


def signed_step(change: Tensor, velocity: Rows, size: int, bound: int, start: Tensor) -> Tensor:
    """Every value of a change `(3, H, W)` moved by so many levels to where the velocity points, within ±`bound` and
    0..255. The velocity is asked for band by band.
    """
    moved = torch.empty_like(change)
    for rows in bands(*change.shape[1:]):
        part = (change[:, rows] + size * velocity(rows).sign()).clamp_(-bound, bound)
        moved[:, rows] = within_levels(part, start[:, rows])
    return moved


def bands(height: int, width: int, *, multiple: int = 1) -> Iterator[slice]:
    """Rows of a picture, so many or a multiple of it: what is done band by band needs no second picture of tens of
    megapixels.
    """
    rows = multiple * max(1, _BAND // (multiple * width))
    return (slice(top, top + rows) for top in range(0, height, rows))


def round_to_norm(direction: Tensor, norm: float, start: Tensor, cap: int | None) -> Tensor:
    """Whole levels along a direction, none above `cap`, of about this L2 norm (in levels).

    One histogram of the direction tells the norm for every scale, so that the search for it costs nothing.
    """
    top = max(float(direction.max()), -float(direction.min()))
    if top <= 0:
        return torch.zeros_like(direction)
    parts = list(bands(*direction.shape[1:]))
    counts = torch.zeros(_BINS, dtype=torch.float64)
    for rows in parts:
        counts += torch.histc(direction[:, rows].abs(), bins=_BINS, min=0, max=top)
    above = counts.flip(0).cumsum(0).flip(0).tolist()
    scale = _bisect(lambda scale: _squared_norm(above, scale, top, cap), norm**2, 0.5 / top)
    change = torch.empty_like(direction)
    for rows in parts:
        part = (direction[:, rows] * scale).round_()
        change[:, rows] = within_levels(part.clamp_(-cap, cap) if cap else part, start[:, rows])
    return change


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
