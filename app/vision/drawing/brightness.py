"""Values of a map as brightness."""

import torch
from torch import Tensor


def brightness(values: Tensor, lowest: float, highest: float) -> Tensor:
    """Values of any shape from lowest to highest as 0..1; a map without any difference is 0 throughout."""
    if highest <= lowest:
        return torch.zeros_like(values)
    return ((values - lowest) / (highest - lowest)).clamp(0, 1)
