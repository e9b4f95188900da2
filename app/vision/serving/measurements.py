"""Measurements that the next start need not repeat: kept as a file, for the same kind of processor."""

import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def processor_of(device: torch.device) -> str:
    """Its name and its instructions; where the system does not tell them, its kind."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))


def write_measurement(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """As `.safetensors`, in one step: whoever reads meanwhile sees all of it or nothing. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, name = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    os.close(draft)
    try:
        save_file(dict(tensors), name, metadata=dict(metadata))
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
