"""What an algorithm can go on from, as the bytes of a file."""

from collections.abc import Mapping

from safetensors.torch import load, save
from torch import Tensor


def packed(state: Mapping[str, Tensor]) -> bytes:
    """In the format of safetensors. The tensors may lie anywhere, be views, and share memory, also with each other."""
    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()})


def unpacked(data: bytes) -> dict[str, Tensor]:
    """The tensors, on the CPU, each with memory of its own."""
    return load(data)
