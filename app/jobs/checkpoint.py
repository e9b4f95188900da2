"""What an algorithm can go on from, as the bytes of a file."""

from collections.abc import Mapping

from safetensors.torch import load, save
from torch import Tensor


def packed(state: Mapping[str, Tensor]) -> bytes:
    """In the format of safetensors. The tensors may lie anywhere, be views, and share memory, also with each other.

    Only those are copied beforehand: of a photo of 12 megapixels the state has 270 MB.
    """
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in state.items():
        whole = tensor.detach().cpu().contiguous()
        memory = whole.untyped_storage()
        is_shared = memory.nbytes() != whole.nbytes or memory.data_ptr() in seen
        own[name] = whole.clone() if is_shared else whole
        seen.add(memory.data_ptr())
    return save(own)


def unpacked(data: bytes) -> dict[str, Tensor]:
    """The tensors, on the CPU, each with memory of its own."""
    return load(data)
