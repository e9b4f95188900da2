"""Transfer learning: a new head on a frozen backbone, and an honest account of how good it is.

Every picture is judged by heads that have not seen it (cross-validation) as long as that is cheap; the published head
is then learned from all pictures.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Pause, Progress, Steps
from app.vision.feature_space import FeatureSpace, statistics_of
from app.vision.statistics import best_temperature
from app.vision.transfer.cross_validation import CROSS_VALIDATED, Split
from app.vision.transfer.dataset import NotEnoughImagesError
from app.vision.transfer.examples import Examples
from app.vision.transfer.linear_probe import Basis, LinearHead, fit_head
from app.vision.transfer.report import Mistake, measured, mistakes, point

L2_PENALTIES: Final = (1.0, 0.1, 0.01, 0.001)
"""Of the L2 penalty; on five sets of pictures accuracy hardly depends on it, and certainty does."""


@dataclass(frozen=True, eq=False)
class Learned:
    """`weights` act on raw features and are calibrated; `distances` are how far each picture is from the others."""

    weights: LinearHead
    space: FeatureSpace
    distances: Tensor
    metrics: Mapping[str, Any]
    worst: tuple[Mistake, ...]


def classes_of(examples: Examples, wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """Raises `NotEnoughImagesError`, also if one of the `wanted` classes has no picture left."""
    counts = dict.fromkeys(sorted({*wanted, *examples.labels}), 0) | Counter(sorted(examples.labels))
    if len(counts) < 2 or min(counts.values()) < 2:
        told = ", ".join(f"{name!r} has {count}" for name, count in counts.items()) or "none can be read"
        raise NotEnoughImagesError(f"At least two classes with two pictures each are needed, and {told}.", counts)
    return tuple(counts)


def count_of_fits(examples: int, parts: int) -> int:
    """How many steps of progress `learn` makes."""
    return len(L2_PENALTIES) * (parts if examples <= CROSS_VALIDATED else 1) + 1


def learn(
    examples: Examples,
    classes: Sequence[str],
    divided: Split,
    *,
    seed: int,
    done: int = 0,
    zero_shot: float | None = None,
) -> Steps[Learned]:
    """The head of a linear probe, its L2 penalty chosen by validation. `done` steps lie behind it."""
    total = done + count_of_fits(len(examples), divided.number)
    probe = Probe(examples, len(classes), divided)
    judged, labels = divided.judged, divided.labels
    outcomes = []
    for place, l2_penalty in enumerate(L2_PENALTIES):
        logits = torch.zeros(len(labels), len(classes))
        for part in divided.validated:
            weights = yield from probe.fit(divided.fold != part, l2_penalty)
            mine = divided.fold == part
            logits[mine] = weights.logits(probe.rows[mine])
            done += 1
            yield Pause(Progress(done, total))
        loss = float(functional.cross_entropy(logits[judged], labels[judged]))
        right = float((logits.argmax(1) == labels)[judged].float().mean())
        outcomes.append((loss, l2_penalty, logits))
        metric = point("validation", loss, right, attempt=place + 1, l2_penalty=l2_penalty)
        yield Pause(Progress(done, total, right, loss), metric=metric)
    _, l2_penalty, logits = min(outcomes, key=lambda outcome: outcome[0])
    weights = probe.on_raw_features((yield from probe.fit(divided.published, l2_penalty)))
    yield Pause(Progress(total, total))
    learned = of_logits(
        examples, classes, divided, logits[judged], weights, seed=seed, zero_shot=zero_shot, judged=judged
    )
    return replace(learned, metrics={**learned.metrics, "l2_penalty": l2_penalty})


def of_logits(
    examples: Examples,
    classes: Sequence[str],
    divided: Split,
    logits: Tensor,
    weights: LinearHead,
    *,
    judged: Tensor,
    seed: int,
    zero_shot: float | None,
    tuned: bool = False,
) -> Learned:
    """What the logits of the `judged` pictures, a mask `(n,)`, tell about a head, which gets calibrated.

    Where the backbone was `tuned` by the others, only those tell how far from each other pictures are.
    """
    labels = divided.labels
    temperature = best_temperature(logits, labels[judged])
    space, distances = FeatureSpace.of(
        examples.features, labels, divided.groups, seed=seed, judged=judged if tuned else None
    )
    metrics = measured(logits, labels[judged], classes, temperature, zero_shot)
    return Learned(
        LinearHead(weights.weight / temperature, weights.bias / temperature),
        space,
        distances,
        {**metrics, "validation": _how_validated(divided, judged)},
        mistakes(examples, classes, logits, judged.nonzero()[:, 0].tolist(), labels, temperature),
    )


def judged_by(learned: Learned, test: Examples, classes: Sequence[str], zero_shot: float | None) -> Learned:
    """With the account of pictures from which nothing was learned, and by which nothing was chosen."""
    temperature = float(learned.metrics["temperature"])
    logits = learned.weights.logits(test.features) * temperature
    labels = torch.tensor([classes.index(label) for label in test.labels])
    return replace(
        learned,
        metrics={
            **learned.metrics,
            **measured(logits, labels, classes, temperature, zero_shot),
            "validation": {"method": "test-set", "parts": 1, "pictures": len(test)},
        },
        worst=mistakes(test, classes, logits, range(len(test)), labels, temperature),
    )


class Probe:
    """Fits of one set of pictures, with other parts and L2 penalties; each begins where the last of its part ended."""

    def __init__(self, examples: Examples, classes: int, divided: Split) -> None:
        self._classes, self._labels = classes, divided.labels
        self._mean, self._std = statistics_of(examples.features)
        every = torch.cat([examples.features, examples.mirrored]) if len(examples.mirrored) else examples.features
        self._basis = Basis((every - self._mean) / self._std)
        self.rows = self._basis.coordinates[: len(examples)]
        self._mirrored = self._basis.coordinates[len(examples) :]
        self._last: dict[bytes, LinearHead] = {}

    def fit(self, chosen: Tensor, l2_penalty: float) -> Steps[LinearHead]:
        """Of the chosen pictures `(n,)`; the weights act on `rows`."""
        key = chosen.numpy().tobytes()
        rows, labels = self.rows[chosen], self._labels[chosen]
        if len(self._mirrored):
            rows, labels = torch.cat([rows, self._mirrored[chosen]]), labels.repeat(2)
        fitting = fit_head(
            rows,
            labels,
            self._classes,
            l2_penalty=l2_penalty,
            curvature=self._basis.curvature,
            start=self._last.get(key),
        )
        for weights in fitting:
            self._last[key] = weights
            yield Pause()
        return self._last[key]

    def on_raw_features(self, weights: LinearHead) -> LinearHead:
        """A head on standardised coordinates as the one on raw features that gives the same logits."""
        full = self._basis.in_full(weights)
        weight = full.weight / self._std
        return LinearHead(weight, full.bias - weight @ self._mean)


def _how_validated(divided: Split, judged: Tensor) -> dict[str, Any]:
    method = "cross-validation" if bool(judged.all()) else "hold-out"
    return {"method": method, "parts": divided.number, "pictures": int(judged.sum())}
