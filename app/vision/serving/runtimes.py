"""The forward-only path from canvases to features: the quickest implementation that gives PyTorch's answers.

Nothing is assumed about a processor: bfloat16 on one without the instructions took 2,000 ms a picture instead of 35.
So each candidate is checked for parity and timed on this machine, once, at start-up.
"""

import logging
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.vision.networks.layers import capture
from app.vision.pixels import to_levels, to_pixels

if TYPE_CHECKING:
    from types import ModuleType

    from app.vision.networks.backbones import Backbone

log = logging.getLogger(__name__)

Runtime = Literal["auto", "torch", "openvino"]
PARITY: Final = 1e-3
"""Largest difference of probabilities that a quicker implementation may show."""


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
    backbone: "Backbone"
    device: torch.device
    precision: torch.dtype = torch.float32

    @property
    def best_batch(self) -> int:
        """As measured: beyond it a pass costs more for each canvas, or no less."""
        return 8 if self.device.type == "cpu" else 64

    @property
    def name(self) -> str:
        """Of the runtime, as answers tell it."""
        return f"torch {self.device} {str(self.precision).removeprefix('torch.')}"

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        reduced = self.precision is not torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.precision, enabled=reduced):
            features: Tensor = self.backbone(to_pixels(canvases, self.device))
            return features.float()

    def stage(self, canvas: NDArray[np.uint8], name: str) -> Tensor:
        """Activations `(1, C, h, w)` of the module that ends a stage, for a canvas `(H, W, 3)`."""
        with torch.inference_mode(), capture(self.backbone.network, [name]) as activations:
            self.backbone(to_pixels(canvas[None], self.device))
        return activations[name]


class OpenVinoFeatureExtractor:
    """The backbone compiled by OpenVINO in float32 for the CPU, for one canvas at a time.

    On two cores a batch is no quicker than its canvases one by one (9.5 CPU-ms each), and changing batch sizes
    cost a quarter of the throughput; three uploads at a time share the hand-over and the head. Converted once and
    kept in `cache_dir`, under a name that changes with the weights and the versions.
    """

    name = "openvino cpu float32"
    best_batch = 3

    def __init__(self, backbone: "Backbone", cache_dir: Path, *, threads: int) -> None:
        core = _openvino().Core()
        converted = _converted(backbone, cache_dir)
        options = {
            # Without the hint OpenVINO takes bfloat16 wherever the processor has it: other answers than PyTorch's.
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            model = core.read_model(converted)
            self._compiled = core.compile_model(_one_output(model, 0), "CPU", options)
        except RuntimeError:  # a file that a full disk or a crash cut short: once more from the start
            shutil.rmtree(converted.parent, ignore_errors=True)
            model = core.read_model(_converted(backbone, cache_dir))
            self._compiled = core.compile_model(_one_output(model, 0), "CPU", options)
        self._requests = threading.local()
        self._compile: Callable[[int], Any] = lambda number: core.compile_model(
            _one_output(model, number), "CPU", options
        )
        self._compiled_stages: dict[str, Any] = {}
        self._compiling = threading.Lock()
        self._stages = backbone.card.stages

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        if not hasattr(self._requests, "mine"):
            self._requests.mine = self._compiled.create_infer_request()
        request = self._requests.mine
        features = []
        for number in range(len(canvases)):
            request.infer({0: canvases[number : number + 1]}, share_inputs=True)
            features.append(request.get_output_tensor(0).data.copy())
        return torch.from_numpy(np.concatenate(features))

    def stage(self, canvas: NDArray[np.uint8], name: str) -> Tensor:
        """Activations `(1, C, h, w)` of the module that ends a stage, for a canvas `(H, W, 3)`. Compiled, as far as
        this stage, at its first call: the weights up to there are then in memory once more.
        """
        requests: dict[str, Any] = self._requests.__dict__.setdefault("stages", {})
        if name not in requests:
            number = self._stages.index(name) + 1
            with self._compiling:
                if name not in self._compiled_stages:
                    self._compiled_stages[name] = self._compile(number)
            requests[name] = self._compiled_stages[name].create_infer_request()
        requests[name].infer({0: canvas[None]}, share_inputs=True)
        return torch.from_numpy(requests[name].get_output_tensor(0).data.copy())


class _WithStages(nn.Module):
    """A backbone that gives out its features and what its stages end with."""

    def __init__(self, backbone: "Backbone") -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        names = self.backbone.card.stages
        with capture(self.backbone.network, names) as activations:
            features: Tensor = self.backbone(pixels)
        return features, *(activations[name] for name in names)


def _one_output(model: Any, number: int) -> Any:  # noqa: ANN401 -- types of OpenVINO
    """0 for the features, then the stages; without the others, which would cost time to write out."""
    return _openvino().Model([model.get_results()[number]], model.get_parameters())


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
    candidates = _cpu_candidates if device.type == "cpu" else _accelerator_candidates
    agreeing: list[StagedFeatureExtractor] = [
        candidate
        for candidate in candidates(backbone, device, cache_dir, threads)
        if _agrees(candidate, reference, backbone, head)
    ]
    if engine == "openvino":
        if not agreeing:
            raise RuntimeUnavailableError("OpenVINO cannot be used here: see the log line before.")
        return agreeing[0]
    return min([reference, *agreeing], key=lambda forward: _milliseconds(forward, backbone))


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


def _agrees(candidate: FeatureExtractor, reference: FeatureExtractor, backbone: "Backbone", head: nn.Linear) -> bool:
    canvases = _probe(backbone, 4)

    def probabilities(forward: FeatureExtractor) -> Tensor:
        with torch.inference_mode():
            scores: Tensor = head(forward(canvases)).softmax(1)
            return scores

    difference = (probabilities(candidate) - probabilities(reference)).abs().max().item()
    if not difference < PARITY:
        log.info("%s differs from PyTorch by %.2g: not used for %s.", candidate.name, difference, backbone.card.name)
    return difference < PARITY


def _milliseconds(forward: FeatureExtractor, backbone: "Backbone") -> float:
    canvases = _probe(backbone, 1)
    return min(_timed(lambda: forward(canvases)) for _ in range(4))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def _probe(backbone: "Backbone", number: int) -> NDArray[np.uint8]:
    """Blobs of colour, on which a network has opinions (it has none on noise)."""
    coarse = torch.rand((number, 3, 6, 6), generator=torch.Generator().manual_seed(7))
    smooth = nn.functional.interpolate(coarse, size=backbone.preprocessing.crop, mode="bicubic")
    return to_levels(smooth)


def _converted(backbone: "Backbone", cache_dir: Path) -> Path:
    """The path of the model in OpenVINO's own format; converts it unless a file of the same weights is there."""
    folder = cache_dir / f"{backbone.card.name}-{_fingerprint(backbone)}"
    if not folder.is_dir():
        cache_dir.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=cache_dir, prefix=".draft-"))
        try:
            _convert(backbone, draft / "model.xml")
            draft.rename(folder)  # one step for both files; a process that lost the race takes the winner's
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder / "model.xml"


def _convert(backbone: "Backbone", path: Path) -> None:
    openvino = _openvino()
    size = backbone.preprocessing.crop
    with torch.no_grad(), warnings.catch_warnings():
        # OpenVINO traces with torch.jit, whose deprecation is its makers' affair; torch.export takes twice the time.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # sizes are constants here, and are meant to be
        model = openvino.convert_model(_WithStages(backbone), example_input=torch.rand(1, 3, size, size))
    model.reshape([1, 3, size, size])
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    openvino.save_model(steps.build(), path, compress_to_fp16=False)


def _openvino() -> Any:  # noqa: ANN401 -- a module without types
    """OpenVINO without the usage reports that its package would send to its makers."""
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))  # as if it were not installed
    import openvino

    return openvino


def _fingerprint(backbone: "Backbone") -> str:
    digest = sha256(
        f"one canvas with stages {_openvino().__version__} {torch.__version__} {backbone.preprocessing}".encode()
    )
    for name, values in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
