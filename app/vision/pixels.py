"""The one way between 8-bit pictures and the floats in [0, 1] that everything inside `vision` computes with."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.vision.image import Canvas


def to_pixels(canvases: NDArray[np.uint8], device: torch.device) -> Tensor:
    """8-bit `(N, H, W, 3)` to floats `(N, 3, H, W)` in [0, 1]; the memory layout is channels_last already."""
    return torch.from_numpy(canvases).to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)


def pixels_of(*canvases: Canvas) -> Tensor:
    """Canvases of one size as floats `(N, 3, H, W)` in [0, 1], on the CPU."""
    return to_pixels(np.stack(canvases), torch.device("cpu"))


def to_levels(pixels: Tensor) -> NDArray[np.uint8]:
    """Floats `(…, 3, H, W)` to 8-bit `(…, H, W, 3)`, contiguous: rounded, and cut where they leave [0, 1]."""
    levels = pixels.clamp(0, 1).mul(255).round().to(torch.uint8).movedim(-3, -1)
    return np.ascontiguousarray(levels.cpu().numpy())
