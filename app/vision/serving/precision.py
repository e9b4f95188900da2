"""Whether an implementation in reduced precision answers as float32 does: measured, never assumed.

Its features of the calibration canvases, with a second look in float32 where an answer is a near thing, are compared
through each head that it is to serve. They are measured once for the same weights, libraries and processor, and kept;
a further head then costs two multiplications of matrices.
"""

import json
import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from app.vision.feature_space import UNKNOWN
from app.vision.serving.calibration import calibration_canvases, calibration_digest
from app.vision.serving.measurements import processor_of, write_measurement
from app.vision.serving.openvino_runtime import openvino_version, weights_digest
from app.vision.serving.second_look import NEAR, distance_to_boundary

if TYPE_CHECKING:
    from app.vision.classifier import Classifier
    from app.vision.networks.backbones import Backbone
    from app.vision.serving.runtimes import StagedFeatureExtractor

log = logging.getLogger(__name__)

Precision = Literal["exact", "fast"]
SAME_ANSWER: Final = 0.99
"""Share of the calibration canvases of which it must say the same: the class, and whether it is unknown."""
DIFFERENCE: Final = 0.02
"""By so much the probability that differs most may differ, in the mean of the canvases."""
_TRIED: Final = 8
_EXACT: Final = "exact"


@dataclass(frozen=True)
class Candidate:
    """An implementation that may be quicker; `make` raises `RuntimeError` or `OSError` where it cannot be had."""

    name: str
    make: "Callable[[], StagedFeatureExtractor]"


@dataclass(frozen=True, eq=False)
class Calibration:
    """What float32 and each candidate make of the calibration canvases: features `(n, features)`, and milliseconds, of
    processor time on a CPU.
    """

    precise: Tensor
    precise_ms: float
    quick: Mapping[str, Tensor]
    quick_ms: Mapping[str, float]


@dataclass(frozen=True)
class Agreement:
    """How a candidate answers for one model, against float32, on `pictures` calibration canvases.

    `same_class` and `same_unknown` are shares, the latter None if the model cannot tell what is unknown; `difference`
    is the mean of the largest difference of probabilities. `near` is what counts as a near thing, `second_looks` the
    share of canvases that were one, `speed` how many times as quick it is with the second looks at these.
    """

    forward: str
    pictures: int
    same_class: float
    same_unknown: float | None
    difference: float
    near: float
    second_looks: float
    speed: float

    @property
    def agrees(self) -> bool:
        """Whether these are float32's answers."""
        same = min(self.same_class, 1.0 if self.same_unknown is None else self.same_unknown)
        return same >= SAME_ANSWER and self.difference <= DIFFERENCE

    @property
    def holds(self) -> bool:
        """Whether it may serve: it gives the same answers, and sooner."""
        return self.agrees and self.speed > 1

    def __str__(self) -> str:
        unknown = "" if self.same_unknown is None else f", {self.same_unknown:.1%} as unknown or not"
        return (
            f"{self.forward} takes {self.same_class:.1%} of {self.pictures} pictures for the same class{unknown}, "
            f"differs by {self.difference:.4f} in the mean, and is {self.speed:.2f} times as quick, "
            f"with second looks at {self.second_looks:.1%}"
        )


def agreements(calibration: Calibration, classifier: "Classifier") -> list[Agreement]:
    """Of all candidates, the quickest first, each with as few second looks as it needs."""
    return sorted((_agreement(calibration, classifier, name) for name in calibration.quick), key=lambda one: -one.speed)


def _agreement(calibration: Calibration, classifier: "Classifier", name: str) -> Agreement:
    device = classifier.head.weight.device
    precise, quick = calibration.precise.to(device), calibration.quick[name].to(device)
    with torch.inference_mode():
        distances = distance_to_boundary(quick, classifier.head(quick), classifier.space)
    (wanted, unknown), (answered, also_unknown) = _answers(classifier, precise), _answers(classifier, quick)
    same, moved = wanted.argmax(1) == answered.argmax(1), (wanted - answered).abs().amax(1)
    same_unknown = torch.tensor(np.equal(unknown, also_unknown), device=device) if unknown else None
    for distance in NEAR:
        near = distances < distance  # answered by float32
        second_looks = int(near.sum()) / len(near)
        found = Agreement(
            forward=name,
            pictures=len(quick),
            same_class=float((near | same).double().mean()),
            same_unknown=None if same_unknown is None else float((near | same_unknown).double().mean()),
            difference=float((moved * ~near).mean()),
            near=distance,
            second_looks=second_looks,
            speed=calibration.precise_ms / (calibration.quick_ms[name] + second_looks * calibration.precise_ms),
        )
        if found.agrees:
            break
    return found


def _answers(classifier: "Classifier", features: Tensor) -> tuple[Tensor, list[bool]]:
    """Probabilities `(n, classes)`, and whether each is unknown; nothing if the classifier cannot tell."""
    with torch.inference_mode():
        unknown = [score > UNKNOWN for score in classifier.unknown(features) if score is not None]
        return classifier.head(features).softmax(1), unknown


def calibrated(
    backbone: "Backbone", precise: "StagedFeatureExtractor", candidates: Sequence[Candidate], folder: Path
) -> Calibration:
    """As it was measured before on the same processor, with the same weights and libraries, else now; takes seconds.

    A candidate that cannot be had, or is not quicker, is left out. A folder that cannot be written costs the next start
    the measurement once more.
    """
    path = folder / f"calibration-{backbone.card.name}-{_key(backbone, candidates)}.safetensors"
    if kept := _read(path):
        return kept
    measured = _measured(backbone, precise, candidates)
    try:
        _write(measured, path)
    except OSError as error:
        log.warning("The calibration of %s cannot be kept: %s", backbone.card.name, error)
    return measured


def _measured(backbone: "Backbone", precise: "StagedFeatureExtractor", candidates: Sequence[Candidate]) -> Calibration:
    canvases = calibration_canvases(backbone.preprocessing)
    # On a CPU one may take several cores at once and another one: under load it is the processor's time that counts.
    clock = time.process_time if backbone.mean.device.type == "cpu" else time.perf_counter
    forwards = {_EXACT: precise}
    tried = canvases[:_TRIED]
    for candidate in candidates:
        try:
            forward = candidate.make()
        except (RuntimeError, OSError) as error:
            log.warning("%s cannot be had for %s: %s", candidate.name, backbone.card.name, error)
            continue
        _, milliseconds = _looked_at({_EXACT: precise, candidate.name: forward}, tried, clock)
        if milliseconds[candidate.name] < milliseconds[_EXACT]:
            forwards[candidate.name] = forward
        else:  # not looked at any longer: some take seconds a picture
            log.info("%s is not quicker for %s.", candidate.name, backbone.card.name)
    features, milliseconds = _looked_at(forwards, canvases, clock)
    return Calibration(features.pop(_EXACT), milliseconds.pop(_EXACT), features, milliseconds)


def _looked_at(
    forwards: Mapping[str, "StagedFeatureExtractor"], canvases: NDArray[np.uint8], clock: Callable[[], float]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Features `(n, features)` on the CPU of each, and the milliseconds that it takes for a canvas: the median of the
    batches. They take turns, since a machine that is busy with other things is so for all of them.
    """
    step = min(forward.best_batch for forward in forwards.values())
    rows: dict[str, list[Tensor]] = {name: [] for name in forwards}
    times: dict[str, list[float]] = {name: [] for name in forwards}
    for forward in forwards.values():
        forward(canvases[:step])
    for start in range(0, len(canvases), step):
        part = canvases[start : start + step]
        for name, forward in forwards.items():
            began = clock()
            rows[name].append(forward(part).cpu())
            times[name].append((clock() - began) * 1e3 / len(part))
    return (
        {name: torch.cat(some) for name, some in rows.items()},
        {name: statistics.median(some) for name, some in times.items()},
    )


def _key(backbone: "Backbone", candidates: Sequence[Candidate]) -> str:
    versions = (torch.__version__, openvino_version(), np.__version__, PIL.__version__)
    names = [candidate.name for candidate in candidates]
    digest = sha256(weights_digest(backbone))
    digest.update(f"{versions} {backbone.preprocessing} {processor_of(backbone.mean.device)} {names} cpu time".encode())
    digest.update(calibration_digest().encode())
    return digest.hexdigest()[:16]


def _read(path: Path) -> Calibration | None:
    """None if it is not there, or damaged."""
    try:
        with safe_open(path, "pt") as file:
            milliseconds: dict[str, float] = json.loads(file.metadata()["milliseconds"])
            features = {name: file.get_tensor(name) for name in milliseconds}
    except (OSError, SafetensorError, ValueError, LookupError, TypeError):
        return None
    return Calibration(features.pop(_EXACT), milliseconds.pop(_EXACT), features, milliseconds)


def _write(calibration: Calibration, path: Path) -> None:
    milliseconds = {_EXACT: calibration.precise_ms, **calibration.quick_ms}
    tensors = {_EXACT: calibration.precise, **calibration.quick}
    write_measurement(path, tensors, {"milliseconds": json.dumps(milliseconds)})
