"""The forward-only path from canvases to features: the quickest implementation that gives PyTorch's answers.

Nothing is assumed about a processor: bfloat16 on one without the instructions took 2,000 ms a picture instead of 35.
So each candidate is timed on this machine, once, and checked for parity at each start: a file may have been damaged.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from app.vision.networks.layers import capture
from app.vision.pixels import to_levels, to_pixels
from app.vision.serving.measurements import processor_of, write_measurement
from app.vision.serving.openvino_runtime import OpenVinoFeatureExtractor, openvino_version, weights_digest

if TYPE_CHECKING:
    from app.vision.networks.backbones import Backbone

log = logging.getLogger(__name__)

Runtime = Literal["auto", "torch", "openvino"]
PARITY: Final = 1e-3
"""Largest difference of probabilities that a quicker implementation may show."""
_PROBES: Final = 4
_ROUNDS: Final = 4


class RuntimeUnavailableError(RuntimeError):
    """The engine that the settings ask for cannot be used here."""


class FeatureExtractor(Protocol):
    """8-bit canvases `(N, crop, crop, 3)` to floats `(N, features)` on the network's device, from any thread."""

    @property
    def name(self) -> str: ...
    @property
    def best_batch(self) -> int:
        """Beyond this many canvases a call gets slower for each, or no quicker."""
        ...

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor: ...


class StagedFeatureExtractor(FeatureExtractor, Protocol):
    """One that also tells what is on the way to the features."""

    def stage(self, canvas: NDArray[np.uint8], name: str) -> Tensor:
        """What one canvas is at the end of one of the backbone's stages, `(1, C, H, W)` in float32."""
        ...


@dataclass(frozen=True)
class TorchFeatureExtractor:
    """`tf32` says whether a GPU may round what it multiplies in float32 to ten bits; None: as PyTorch is set."""

    backbone: "Backbone"
    device: torch.device
    precision: torch.dtype = torch.float32
    tf32: bool | None = None

    @property
    def best_batch(self) -> int:
        """As measured: beyond it a pass costs more for each canvas, or no less."""
        return 8 if self.device.type == "cpu" else 64

    @property
    def name(self) -> str:
        """Of the runtime, as answers tell it."""
        precision = "tf32" if self.tf32 else str(self.precision).removeprefix("torch.")
        return f"torch {self.device} {precision}"

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        reduced = self.precision is not torch.float32
        autocast = torch.autocast(self.device.type, self.precision, enabled=reduced)
        with torch.inference_mode(), autocast, self._convolutions():
            features: Tensor = self.backbone(to_pixels(canvases, self.device))
            return features.float()

    def stage(self, canvas: NDArray[np.uint8], name: str) -> Tensor:
        """Activations `(1, C, h, w)` of the module that ends a stage, for a canvas `(H, W, 3)`."""
        with torch.inference_mode(), capture(self.backbone.network, [name]) as activations:
            self.backbone(to_pixels(canvas[None], self.device))
        return activations[name]

    def _convolutions(self) -> AbstractContextManager[None]:
        if self.tf32 is None or self.device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=self.tf32)


def quickest_extractor(
    backbone: "Backbone", head: nn.Linear, *, device: torch.device, engine: Runtime, cache_dir: Path, threads: int
) -> StagedFeatureExtractor:
    """The quickest implementation here whose probabilities agree with plain float32 PyTorch to `PARITY`.

    Raises `RuntimeUnavailableError` if `engine` asks for OpenVINO by name and it cannot be had.
    """
    reference = TorchFeatureExtractor(backbone, device)
    if engine == "torch":
        return reference
    if engine == "openvino" and device.type != "cpu":
        raise RuntimeUnavailableError(f"OpenVINO serves the CPU, and the device is {device}.")
    path = cache_dir / f"quickest-{backbone.card.name}-{_key(backbone, device, threads)}.safetensors"
    known = _read(path)
    features = known[1] if known else reference(_probe(backbone, _PROBES))
    candidates = _cpu_candidates if device.type == "cpu" else _accelerator_candidates
    agreeing: list[StagedFeatureExtractor] = []
    for candidate in candidates(backbone, device, cache_dir, threads):
        if _agrees(candidate, features, backbone, head):
            if known and candidate.name == known[0]:
                return candidate
            agreeing.append(candidate)
    if engine == "openvino":
        if not agreeing:
            raise RuntimeUnavailableError("OpenVINO cannot be used here: see the log line before.")
        return agreeing[0]
    chosen = _quickest([reference, *agreeing], backbone)
    if chosen is not reference:  # a machine that was busy for a moment may find so: at the next start once more
        _write(path, chosen.name, features)
    return chosen


def _key(backbone: "Backbone", device: torch.device, threads: int) -> str:
    versions = (torch.__version__, openvino_version())
    digest = sha256(weights_digest(backbone))
    digest.update(f"{versions} {backbone.preprocessing} {processor_of(device)} {threads} threads".encode())
    return digest.hexdigest()[:16]


def _read(path: Path) -> tuple[str, Tensor] | None:
    """The name of the quickest, and PyTorch's features of the probes; None if that is not there, or damaged."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata()["quickest"], file.get_tensor("features")
    except (OSError, SafetensorError, LookupError, TypeError):
        return None


def _write(path: Path, quickest: str, features: Tensor) -> None:
    try:
        write_measurement(path, {"features": features.cpu()}, {"quickest": quickest})
    except OSError as error:
        log.warning("What is quickest cannot be kept: %s", error)


def _cpu_candidates(
    backbone: "Backbone", _: torch.device, cache_dir: Path, threads: int
) -> Iterable[StagedFeatureExtractor]:
    try:
        yield OpenVinoFeatureExtractor(backbone, cache_dir, threads=threads)
    except ImportError:
        log.info("OpenVINO is not installed: PyTorch answers.")
    except (RuntimeError, OSError) as error:  # an operation that it does not know, a cache that cannot be written
        log.warning("OpenVINO cannot compile %s: PyTorch answers. %s", backbone.card.name, error)


def _accelerator_candidates(backbone: "Backbone", device: torch.device, *_: object) -> Iterable[StagedFeatureExtractor]:
    for precision in (torch.bfloat16, torch.float16):
        yield TorchFeatureExtractor(backbone, device, precision)


def _agrees(candidate: FeatureExtractor, features: Tensor, backbone: "Backbone", head: nn.Linear) -> bool:
    """`features` are PyTorch's, of the probes."""

    def probabilities(features: Tensor) -> Tensor:
        with torch.inference_mode():
            scores: Tensor = head(features.to(head.weight.device)).softmax(1)
            return scores

    found = probabilities(candidate(_probe(backbone, _PROBES)))
    difference = (found - probabilities(features)).abs().max().item()
    if not difference < PARITY:
        log.info("%s differs from PyTorch by %.2g: not used for %s.", candidate.name, difference, backbone.card.name)
    return difference < PARITY


def _quickest(forwards: Sequence[StagedFeatureExtractor], backbone: "Backbone") -> StagedFeatureExtractor:
    """They take turns, since a machine that is busy with other things is so for all of them."""
    canvases = _probe(backbone, 1)
    rounds = [[_timed(lambda: forward(canvases)) for forward in forwards] for _ in range(_ROUNDS)]  # noqa: B023 -- called at once
    least = [min(times) for times in zip(*rounds, strict=True)]
    return forwards[least.index(min(least))]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def _probe(backbone: "Backbone", number: int) -> NDArray[np.uint8]:
    """Blobs of colour, on which a network has opinions (it has none on noise)."""
    coarse = torch.rand((number, 3, 6, 6), generator=torch.Generator().manual_seed(7))
    smooth = nn.functional.interpolate(coarse, size=backbone.preprocessing.crop, mode="bicubic")
    return to_levels(smooth)
