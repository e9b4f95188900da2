"""The forward path in OpenVINO, for CPUs: converted once for a network's weights, compiled at each start."""

import shutil
import sys
import tempfile
import threading
import warnings
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.vision.networks.backbones import Backbone, once_a_backbone
from app.vision.networks.layers import capture
from app.vision.serving.openvino_passes import AllThreads, Compiled, Passes
from app.vision.threads import processors

if TYPE_CHECKING:
    from types import ModuleType

OpenVinoPrecision = Literal["float32", "bfloat16", "float16"]
_HINTS: Final[dict[OpenVinoPrecision, str]] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_CAPABILITIES: Final[dict[OpenVinoPrecision, str]] = {"bfloat16": "BF16", "float16": "FP16"}
_passes: Final = Passes()


class OpenVinoFeatureExtractor:
    """The backbone compiled by OpenVINO for the CPU, for one canvas at a time.

    On two cores a batch is no quicker than its canvases one by one (9.5 CPU-ms each), and changing batch sizes
    cost a quarter of the throughput. So up to three canvases wait at once in the queue that OpenVINO's threads share:
    they share the hand-over and the head, and no thread of OpenVINO's sleeps between two of them (16 clients got a
    tenth more answers). Canvases that come one after the other have all threads. Converted once and kept in
    `cache_dir`, under a name that changes with the weights and the versions.
    """

    best_batch = 3

    def __init__(
        self, backbone: Backbone, cache_dir: Path, *, threads: int, precision: OpenVinoPrecision = "float32"
    ) -> None:
        self.name = name_of(precision)
        core = _openvino().Core()
        converted = _converted(backbone, cache_dir)
        compiling = threading.Lock()

        def compiled(number: int, streams: int) -> Compiled:
            options = {
                # Without the hint OpenVINO takes bfloat16 wherever the processor has it: other answers than PyTorch's.
                "INFERENCE_PRECISION_HINT": _HINTS[precision],
                "NUM_STREAMS": streams,
                # Where several threads share a canvas, one that was asleep would be woken on the processor of the one
                # that wakes it, and help too late; but processes that are given a part of all would pin the same part.
                "ENABLE_CPU_PINNING": streams == 1 and threads == processors(),
                "INFERENCE_NUM_THREADS": threads,
            }
            with compiling:
                network = core.compile_model(_one_output(model, number), "CPU", options)
            return Compiled(network, _openvino().Tensor)

        try:
            model = core.read_model(converted)
            self._streams = compiled(0, threads)
        except RuntimeError:  # a file that a full disk or a crash cut short: once more from the start
            shutil.rmtree(converted.parent, ignore_errors=True)
            model = core.read_model(_converted(backbone, cache_dir))
            self._streams = compiled(0, threads)
        self._wide = AllThreads(self._streams, partial(compiled, 0, 1)) if threads > 1 else None
        self._compile_stage = partial(compiled, streams=threads)
        self._compiled_stages: dict[str, Compiled] = {}
        self._compiling_stage = threading.Lock()
        self._stages = backbone.card.stages

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        with _passes.joined() as alone:
            if alone and self._wide and len(canvases) == 1:
                return torch.from_numpy(np.concatenate(self._wide(canvases)))
            step = self.best_batch
            parts = (canvases[start : start + step] for start in range(0, len(canvases), step))
            return torch.from_numpy(np.concatenate([row for part in parts for row in self._streams(part)]))

    def stage(self, canvas: NDArray[np.uint8], name: str) -> Tensor:
        """Activations `(1, C, h, w)` of the module that ends a stage, for a canvas `(H, W, 3)`. Compiled, as far as
        this stage, at its first call: the weights up to there are then in memory once more.
        """
        if name not in self._compiled_stages:
            with self._compiling_stage:
                if name not in self._compiled_stages:
                    self._compiled_stages[name] = self._compile_stage(self._stages.index(name) + 1)
        with _passes.joined():
            (activations,) = self._compiled_stages[name](canvas[None])
        return torch.from_numpy(activations)


def name_of(precision: OpenVinoPrecision) -> str:
    """Of the runtime, as answers tell it."""
    return f"openvino cpu {precision}"


def reduced_precisions() -> list[OpenVinoPrecision]:
    """Those that this processor has instructions for; raises `ImportError` without OpenVINO."""
    found = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [precision for precision, capability in _CAPABILITIES.items() if capability in found]


class _WithStages(nn.Module):
    """A backbone that gives out its features and what its stages end with."""

    def __init__(self, backbone: Backbone) -> None:
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


def _converted(backbone: Backbone, cache_dir: Path) -> Path:
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


def _convert(backbone: Backbone, path: Path) -> None:
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


def _fingerprint(backbone: Backbone) -> str:
    digest = sha256(
        f"one canvas with stages {_openvino().__version__} {torch.__version__} {backbone.preprocessing}".encode()
    )
    digest.update(weights_digest(backbone))
    return digest.hexdigest()[:16]


def openvino_version() -> str | None:
    """None where it is not installed."""
    try:
        return str(_openvino().__version__)
    except ImportError:
        return None


@once_a_backbone
def weights_digest(backbone: Backbone) -> bytes:
    """Of the names and values of all weights."""
    digest = sha256()
    for name, values in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.digest()
