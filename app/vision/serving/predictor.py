"""Keeps the classifiers warm on the device and answers uploads in batches."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor

from app.vision.ask import Pause
from app.vision.classifier import Classifier, ModelCard
from app.vision.image import Canvas, ImageLimits, InvalidImageError, Picture
from app.vision.labels import Labels, Scored
from app.vision.models.repository import ModelRepository
from app.vision.serving.batcher import Batcher
from app.vision.serving.forwards import Choice, Forwards
from app.vision.serving.precision import Precision
from app.vision.serving.runtimes import Runtime, StagedFeatureExtractor, TorchFeatureExtractor
from app.vision.serving.second_look import Look, SecondLook, together
from app.vision.threads import use_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from app.vision.ask import Steps

Result = TypeVar("Result")

log = logging.getLogger(__name__)

_WARM_UP = b"\x89PNG\r\n\x1a\n"
"""Enough of a picture to make Pillow load its decoders; it is refused, as it should be."""

_ASKED_FOR: Final = 5
"""So many classes are found on the model's thread, before they are asked for: the event loop has more to do."""


@dataclass(frozen=True)
class Prediction:
    """Probabilities of all classes, and what became of the upload on the way to them. Times in milliseconds."""

    card: ModelCard
    labels: Labels
    probabilities: Tensor
    likeliest: list[tuple[int, float]]
    """Index and probability of the classes that most clients ask for, best first."""
    unknown: float | None
    """How surely the picture belongs to none of the classes, 0..1; None if the model cannot tell."""
    sha256: str
    format: str
    width: int
    height: int
    decode_ms: float
    queue_ms: float
    inference_ms: float

    def top(self, number: int, min_score: float = 0.0) -> list[Scored]:
        """The `number` likeliest classes (fewer if there are fewer) with at least this probability, best first."""
        found = self.likeliest
        if min(number, len(self.labels)) > len(found):
            (found,) = _likeliest(self.probabilities[None], number)
        return [Scored(self.labels[index], score) for index, score in found[:number] if score >= min_score]


@dataclass(frozen=True)
class _Upload:
    data: bytes
    classifier: Classifier
    submitted: float


@dataclass(frozen=True)
class _Read:
    picture: Picture
    canvas: Canvas
    sha256: str
    decode_ms: float


class DeviceUnavailableError(RuntimeError):
    """A device that torch does not know, or that is not in this machine."""


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU; anything else is torch's name of a device.

    Raises `DeviceUnavailableError` if nothing can be put there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceUnavailableError(str(error).splitlines()[0]) from error
    return device


def allocated_bytes(device: torch.device) -> int | None:
    """What this process holds of a GPU; None of any other device."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else None


class Predictor:
    """One queue for all models; a batch may mix them, and classifiers of one backbone share its forward pass."""

    def __init__(
        self,
        repository: ModelRepository,
        *,
        default_model: str,
        engine: Runtime = "auto",
        precision: Precision = "exact",
        cache_dir: Path,
        threads: int,
        max_batch: int = 16,
        max_queue: int = 256,
        limits: ImageLimits | None = None,
        on_batch: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        """`on_batch` is told the model, the pictures that are answered and the seconds of each pass, on its thread."""
        self.repository, self.device, self.limits = repository, repository.device, limits or ImageLimits()
        self.default_model, self._on_batch = default_model, on_batch
        self._threads = threads if self.device.type == "cpu" else 1
        self._forwards = Forwards(
            self.device, engine=engine, precision=precision, cache_dir=cache_dir, threads=self._threads
        )
        self._warm: WeakSet[StagedFeatureExtractor] = WeakSet()
        self._preparing = asyncio.Lock()
        self._batcher = Batcher(
            self._run,
            # OpenVINO has a queue for each precision: while one of our threads waits at one, another feeds the other.
            threads=self._threads + (precision == "fast" and engine != "torch" and self.device.type == "cpu"),
            threads_in_steps=self._threads - 1,
            max_batch=max_batch,
            max_queue=max_queue,
            batch_of=lambda upload: self._forward(upload.classifier).best_batch,
            on_thread=lambda: use_threads(1),  # the threads share the cores; more would fight for them
        )

    def classify(self, classifier: Classifier, data: bytes) -> "asyncio.Future[Prediction]":
        """By a classifier from `load`. Raises `QueueFullError` at once; the answer may be an `InvalidImageError`.

        Whoever cancels the answer gives up its place in the queue.
        """
        return self._batcher.submit(_Upload(data, classifier, time.perf_counter()))

    def run_steps(
        self, classifier: Classifier, work: "Callable[[StagedFeatureExtractor], Steps[Result]]"
    ) -> "asyncio.Future[Result]":
        """Run longer work of a classifier from `load` in turns with classification; raises `QueueFullError` at once.

        Whoever cancels the answer stops it at its next pause.
        """
        return self._batcher.run_steps(work(self._forward(classifier)))

    def classify_canvases(
        self, classifier: Classifier, canvases: "NDArray[np.uint8]"
    ) -> "asyncio.Future[tuple[Tensor, list[float | None]]]":
        """Probabilities `(n, classes)` and, of each, how surely it is unknown, for canvases `(n, crop, crop, 3)`.

        By a classifier from `load`, in turns with uploads. Raises `QueueFullError` at once.
        """

        def steps(forward: StagedFeatureExtractor) -> "Steps[tuple[Tensor, list[float | None]]]":
            rows: list[Tensor] = []
            unknown: list[float | None] = []
            for start in range(0, len(canvases), forward.best_batch):
                if start:
                    yield Pause()
                look = together(self._looks(classifier, canvases[start : start + forward.best_batch]))
                probabilities, strange = _answers(classifier, look)
                rows.append(probabilities)
                unknown.extend(strange)
            return torch.cat(rows), unknown

        return self.run_steps(classifier, steps)

    async def load(self, name: str | None = None) -> Classifier:
        """The classifier (the default one without a name), its forward path chosen and warm; quick if used before.

        Raises what `ModelRepository.load` raises.
        """
        model = name or self.default_model
        classifier = self.repository.loaded(model)
        if classifier is None:
            classifier = await asyncio.to_thread(self.repository.load, model)
        if self._forwards.choice(classifier) is None:
            async with self._preparing:
                await asyncio.to_thread(self._prepare, classifier)
        return classifier

    @property
    def precision(self) -> Precision:
        """What the settings ask for."""
        return self._forwards.precision

    def choice_of(self, classifier: Classifier) -> Choice | None:
        """What answers for a classifier, and by which evidence; None until `load` prepared it."""
        return self._forwards.choice(classifier)

    def choice_for(self, model: str) -> Choice | None:
        """As `choice_of`; None if the model is not loaded. Loads nothing."""
        classifier = self.repository.peek(model)
        return self._forwards.choice(classifier) if classifier else None

    def waiting(self) -> int:
        """Pictures that no thread has taken yet."""
        return len(self._batcher)

    def close(self) -> None:
        """End the threads; requests that still wait get no answer."""
        self._batcher.close()

    def _forward(self, classifier: Classifier) -> StagedFeatureExtractor:
        """Plain PyTorch for a model that was deleted since it was loaded."""
        choice = self._forwards.choice(classifier)
        return choice.forward if choice else TorchFeatureExtractor(classifier.backbone, self.device)

    def _prepare(self, classifier: Classifier) -> None:
        if self._forwards.choice(classifier):
            return
        began = time.perf_counter()
        use_threads(1)
        forward = self._forwards.prepare(classifier)
        if forward in self._warm:  # it answers for another model already
            return
        seconds, names = time.perf_counter() - began, (classifier.card.name, classifier.backbone.card.name)
        log.info("%s (%s) is answered by %s, ready after %.1f s.", *names, forward.name, seconds)
        self._forwards.keep(self.repository.backbones())  # those of fine-tuned models that were deleted are let go
        list(self._run([_Upload(_WARM_UP, classifier, began)]))  # Pillow, too, has something to load
        self._warm.add(forward)

    def _run(self, uploads: Sequence[_Upload]) -> "Iterator[Mapping[int, Prediction | Exception]]":
        """A picture that needs a second look holds up no other."""
        began = time.perf_counter()
        groups: dict[Classifier, list[tuple[int, _Read]]] = defaultdict(list)
        for index, upload in enumerate(uploads):
            try:
                read = self._read(upload)
            except InvalidImageError as error:
                yield {index: error}
            else:
                groups[upload.classifier].append((index, read))
        for classifier, group in groups.items():
            looks = self._looks(classifier, np.stack([read.canvas for _, read in group]))
            inference_ms = 0.0
            asked = time.perf_counter()
            while look := next(looks, None):
                seconds = time.perf_counter() - asked
                inference_ms += seconds * 1e3
                self._on_batch(classifier.card.name, len(look.places), seconds)
                probabilities, unknown = _answers(classifier, look)
                rows = zip(look.places, probabilities, _likeliest(probabilities, _ASKED_FOR), unknown, strict=True)
                answers: dict[int, Prediction | Exception] = {}
                for place, row, likeliest, strange in rows:
                    index, read = group[place]
                    answers[index] = Prediction(
                        card=classifier.card,
                        labels=classifier.labels,
                        probabilities=row,
                        likeliest=likeliest,
                        unknown=strange,
                        sha256=read.sha256,
                        format=read.picture.format,
                        width=read.picture.width,
                        height=read.picture.height,
                        decode_ms=read.decode_ms,
                        queue_ms=(began - uploads[index].submitted) * 1e3,
                        inference_ms=inference_ms,
                    )
                yield answers
                asked = time.perf_counter()

    def _read(self, upload: _Upload) -> _Read:
        asked = time.perf_counter()
        preprocessing = upload.classifier.backbone.preprocessing
        picture = Picture.read(upload.data, self.limits, preprocessing=preprocessing)
        canvas = picture.canvas(preprocessing)
        return _Read(picture, canvas, sha256(upload.data).hexdigest(), (time.perf_counter() - asked) * 1e3)

    def _looks(self, classifier: Classifier, canvases: "NDArray[np.uint8]") -> "Iterator[Look]":
        forward = self._forward(classifier)
        if isinstance(forward, SecondLook):
            yield from forward.looks(canvases)
            return
        with torch.inference_mode():
            features = forward(canvases)
            look = Look(np.arange(len(canvases)), features, classifier.head(features))
        yield look


def _answers(classifier: Classifier, look: Look) -> tuple[Tensor, list[float | None]]:
    """Probabilities `(n, classes)`, and of each how surely it is unknown."""
    with torch.inference_mode():
        return look.logits.softmax(1).cpu(), classifier.unknown(look.features)


def _likeliest(probabilities: Tensor, number: int) -> list[list[tuple[int, float]]]:
    """Of each row `(n, classes)` the index and probability of so many classes, or of all, best first."""
    scores, indices = probabilities.topk(min(number, probabilities.shape[1]))
    return [list(zip(*row, strict=True)) for row in zip(indices.tolist(), scores.tolist(), strict=True)]
