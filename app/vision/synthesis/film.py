"""How a picture came to be: some forty frames, the pictures of one job beside each other."""

import math
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.vision.pixels import to_levels

if TYPE_CHECKING:
    from app.vision.image import Canvas

FRAMES: Final = 40
_ONE: Final = 192
_ALL: Final = 288
"""Pixels a side of the only picture, and of all pictures together where there are several."""


class Film:
    """Of `pictures` that become `size` pixels wide."""

    def __init__(self, pictures: int, size: int) -> None:
        self.size = frame_size(pictures, size, _ONE, _ALL)
        self._frames: list[Canvas] = []

    def take(self, pictures: Tensor) -> None:
        """The next frame, `(n, 3, size, size)` in [0, 1]."""
        self._frames.append(to_levels(tiled(pictures)))

    def state(self) -> Tensor:
        """All frames, `(frames, H, W, 3)`."""
        return torch.from_numpy(np.stack(self._frames))

    def restore(self, state: Tensor) -> None:
        """Go on from a `state`."""
        self._frames = list(state.numpy())

    def webp(self) -> bytes:
        """About four seconds, and then the last frame for a while."""
        first, *rest = (Image.fromarray(frame) for frame in self._frames)
        durations = [80] * len(rest) + [2000]
        file = BytesIO()
        first.save(file, "WEBP", save_all=True, append_images=rest, duration=durations, loop=0, quality=75, method=1)
        return file.getvalue()


def is_frame(step: int, steps: int) -> bool:
    """Whether the picture before this step, counted from 1, is one of the frames."""
    return (step - 1) * FRAMES // steps != (step - 2) * FRAMES // steps


def frame_size(pictures: int, size: int, one: int, together: int) -> int:
    """Of each of some pictures of `size` pixels where the only one has at most `one` pixels, and several have
    `together` side by side; even.
    """
    return min(size, one if pictures == 1 else together // _columns(pictures)) // 2 * 2


def tiled(pictures: Tensor) -> Tensor:
    """`(n, 3, H, W)` in rows of a nearly square picture `(3, rows × H, columns × W)`, white where there is none."""
    number, channels, height, width = pictures.shape
    columns = _columns(number)
    rows = -(-number // columns)
    missing = torch.ones(rows * columns - number, channels, height, width)
    grid = torch.cat([pictures, missing]).reshape(rows, columns, channels, height, width)
    return grid.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)


def _columns(pictures: int) -> int:
    return math.ceil(math.sqrt(pictures))
