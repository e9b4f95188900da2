"""Random looks at a picture: what a network still recognises from another angle is not a private joke of its pixels."""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_SCALE: Final = (0.5, 1.1)
_SHIFT: Final = 0.03
_ROTATION: Final = math.radians(10)
_NOISE: Final = (0.1, 0.02)


def random_views(pixels: Tensor, number: int, size: int, progress: float, generator: torch.Generator) -> Tensor:
    """`(n × number, 3, size, size)` of pictures `(n, 3, H, W)`, `number` of each: cut out, turned, mirrored, and with
    noise that fades.

    `progress` is in 0..1. Values may leave [0, 1] a little.
    """
    batch = pixels.repeat_interleave(number, 0)
    number = len(batch)
    scale = torch.empty(number).uniform_(*_SCALE, generator=generator)
    room = (1 - scale).clamp(min=0) + 2 * _SHIFT
    x, y = torch.empty(2, number).uniform_(-1, 1, generator=generator) * room
    angle = torch.randn(number, generator=generator) * _ROTATION
    mirror = torch.randint(0, 2, (number,), generator=generator) * 2.0 - 1
    cos, sin = angle.cos() * scale, angle.sin() * scale
    maps = torch.stack([torch.stack([cos * mirror, -sin, x], 1), torch.stack([sin * mirror, cos, y], 1)], 1)
    grid = functional.affine_grid(maps, [number, 3, size, size], align_corners=False)
    views = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    strength = _NOISE[0] + (_NOISE[1] - _NOISE[0]) * progress
    return views + torch.randn(views.shape, generator=generator) * strength
