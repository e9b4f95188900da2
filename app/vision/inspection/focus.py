"""Where a heat map is hottest, in fractions of the whole picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from app.vision.drawing.overlay import Box

_FINE: Final = 112
_HOT: Final = 0.5


@dataclass(frozen=True)
class Region:
    """Left, top, width and height, 0 to 1 of the upright picture."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, box: "Box", size: tuple[int, int]) -> "Region":
        """A box in pixels as shares of the `(width, height)` of its picture."""
        left, top, right, bottom = box
        return cls(left / size[0], top / size[1], (right - left) / size[0], (bottom - top) / size[1])


@dataclass(frozen=True)
class Focus:
    """The hottest point, and the box around all that hangs together with it and is half as hot at least."""

    x: float
    y: float
    box: Region


def focus_of(heat: Tensor, seen: Region) -> Focus | None:
    """Of a heat map `(h, w)` over the part of the picture that was seen; None if it is cold throughout."""
    if not heat.any():
        return None
    fine = functional.interpolate(heat[None, None], size=(_FINE, _FINE), mode="bicubic", align_corners=False)[0, 0]
    row, column = divmod(int(fine.argmax()), _FINE)
    part = _connected(fine >= _HOT * fine.max(), row, column)
    rows, columns = part.any(1).nonzero()[:, 0], part.any(0).nonzero()[:, 0]
    left, right = int(columns[0]) / _FINE, (int(columns[-1]) + 1) / _FINE
    top, bottom = int(rows[0]) / _FINE, (int(rows[-1]) + 1) / _FINE
    box = Region(
        seen.x + left * seen.width,
        seen.y + top * seen.height,
        (right - left) * seen.width,
        (bottom - top) * seen.height,
    )
    return Focus(seen.x + (column + 0.5) / _FINE * seen.width, seen.y + (row + 0.5) / _FINE * seen.height, box)


def _connected(hot: Tensor, row: int, column: int) -> Tensor:
    """All hot points that can be walked to from this one."""
    part = torch.zeros_like(hot)
    part[row, column] = True
    while True:
        grown = functional.max_pool2d(part[None].float(), 3, stride=1, padding=1)[0].bool() & hot
        if torch.equal(grown, part):
            return part
        part = grown
