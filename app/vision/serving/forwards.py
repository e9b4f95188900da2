"""Which implementation answers for which model: chosen once, for all in a process that look at pictures."""

import logging
import threading
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from app.vision.classifier import Classifier
from app.vision.networks.backbones import Backbone
from app.vision.pixels import to_levels
from app.vision.serving.openvino_runtime import OpenVinoFeatureExtractor, name_of, reduced_precisions
from app.vision.serving.precision import Agreement, Candidate, Precision, agreements, calibrated
from app.vision.serving.runtimes import Runtime, StagedFeatureExtractor, TorchFeatureExtractor, quickest_extractor
from app.vision.serving.second_look import SecondLook

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Choice:
    """What answers for a model, and how all that might have answered agree with float32; nothing if none was tried."""

    forward: StagedFeatureExtractor
    agreements: tuple[Agreement, ...] = ()


class Forwards:
    """With the precision `exact` all models of a backbone have one way to features, in float32. With `fast` each model
    has the quickest that gives the same answers through its head. May be used from several threads.
    """

    def __init__(
        self, device: torch.device, *, engine: Runtime, precision: Precision, cache_dir: Path, threads: int
    ) -> None:
        self.precision = precision
        self._device, self._engine, self._cache_dir, self._threads = device, engine, cache_dir, threads
        self._precise: dict[Backbone, StagedFeatureExtractor] = {}
        self._quick: dict[tuple[Backbone, str], StagedFeatureExtractor] = {}
        self._choices: WeakKeyDictionary[Classifier, Choice] = WeakKeyDictionary()
        self._preparing = threading.RLock()

    def choice(self, classifier: Classifier) -> Choice | None:
        """None until it was prepared."""
        return self._choices.get(classifier)

    def prepare(self, classifier: Classifier) -> StagedFeatureExtractor:
        """Slow the first time; with `fast` it takes seconds, once for a backbone on a machine."""
        with self._preparing:
            choice = self._choices.get(classifier)
            if choice is None:
                precise = self.precise(classifier.backbone, classifier.head)
                choice = Choice(precise) if self.precision == "exact" else self._chosen(classifier, precise)
                self._choices[classifier] = choice
        return choice.forward

    def precise(self, backbone: Backbone, head: nn.Linear) -> StagedFeatureExtractor:
        """The quickest way to features in float32, by which heads are learned; slow the first time."""
        with self._preparing:
            if backbone not in self._precise:
                self._precise[backbone] = self._quickest(backbone, head)
            return self._precise[backbone]

    def features(self, classifier: Classifier, pixels: Tensor) -> Tensor | None:
        """What serves makes of canvases `(n, 3, crop, crop)` of whole grey levels; None where that is float32, or was
        not prepared.
        """
        choice = self._choices.get(classifier)
        if choice is None or not isinstance(choice.forward, SecondLook):
            return None
        return choice.forward(to_levels(pixels))

    def keep(self, backbones: Set[Backbone]) -> None:
        """Let go of what looks for others."""
        with self._preparing:
            self._precise = {one: forward for one, forward in self._precise.items() if one in backbones}
            self._quick = {key: forward for key, forward in self._quick.items() if key[0] in backbones}

    def _quickest(self, backbone: Backbone, head: nn.Linear) -> StagedFeatureExtractor:
        if self.precision == "fast" and self._device.type != "cpu":
            return TorchFeatureExtractor(backbone, self._device, tf32=False)
        return quickest_extractor(
            backbone,
            head,
            device=self._device,
            engine=self._engine,
            cache_dir=self._cache_dir,
            threads=self._threads,
        )

    def _chosen(self, classifier: Classifier, precise: StagedFeatureExtractor) -> Choice:
        backbone, name = classifier.backbone, classifier.card.name
        candidates = {one.name: one for one in self._candidates(backbone)}
        calibration = calibrated(backbone, precise, list(candidates.values()), self._cache_dir)
        found = tuple(agreements(calibration, classifier))
        for one in found:
            log.info("%s: %s.", name, one)
        for one in (one for one in found if one.holds):
            try:
                quick = self._made(backbone, candidates[one.forward])
            except (RuntimeError, OSError) as error:
                log.warning("%s cannot be had for %s: %s", one.forward, name, error)
            else:
                return Choice(SecondLook(quick, precise, classifier.head, classifier.space, one.near), found)
        log.warning("%s is answered in float32: nothing quicker gives the same answers.", name)
        return Choice(precise, found)

    def _made(self, backbone: Backbone, candidate: Candidate) -> StagedFeatureExtractor:
        key = backbone, candidate.name
        if key not in self._quick:
            self._quick[key] = candidate.make()
        return self._quick[key]

    def _candidates(self, backbone: Backbone) -> Iterable[Candidate]:
        if self._device.type != "cpu":
            return _on_accelerator(backbone, self._device)
        return () if self._engine == "torch" else _on_cpu(backbone, self._cache_dir, self._threads)


def _on_cpu(backbone: Backbone, cache_dir: Path, threads: int) -> Iterator[Candidate]:
    try:
        precisions = reduced_precisions()
    except ImportError:
        return
    for precision in precisions:
        make = partial(OpenVinoFeatureExtractor, backbone, cache_dir, threads=threads, precision=precision)
        yield Candidate(name_of(precision), make)


def _on_accelerator(backbone: Backbone, device: torch.device) -> Iterator[Candidate]:
    reduced = [TorchFeatureExtractor(backbone, device, precision) for precision in (torch.bfloat16, torch.float16)]
    tf32 = [TorchFeatureExtractor(backbone, device, tf32=True)] if device.type == "cuda" else []
    for forward in (*reduced, *tf32):
        yield Candidate(forward.name, lambda forward=forward: forward)  # type: ignore[misc]
