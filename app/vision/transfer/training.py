"""Transfer learning: a new head on a frozen backbone, and an honest account of how good it is.

Every picture is judged by heads that have not seen it (cross-validation) as long as that is cheap; the published head
is then learned from all pictures.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Pause, Progress, Steps
from app.vision.feature_space import FeatureSpace, statistics_of
from app.vision.transfer.archive import NotEnoughImagesError
from app.vision.transfer.cross_validation import folds
from app.vision.transfer.evaluation import accuracy_interval, best_temperature, calibration_error, confusion
from app.vision.transfer.examples import Examples
from app.vision.transfer.linear_probe import Basis, LinearHead, fit_head
from app.vision.transfer.perceptual_hash import duplicate_groups, near_duplicates

L2_PENALTIES: Final = (1.0, 0.1, 0.01, 0.001)
"""Of the L2 penalty; on five sets of pictures accuracy hardly depends on it, and certainty does."""
CROSS_VALIDATED: Final = 1000
"""Up to so many pictures each is in the validation part once; of more, one part is."""
_WORST: Final = 12
_IMBALANCE: Final = 5
_FEW: Final = 10


@dataclass(frozen=True)
class Warned:
    """`kind` is for programs, `detail` for people."""

    kind: str
    detail: str
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mistake:
    """A picture that was taken for something else by a head that had not seen it; `score` of what it was taken for."""

    name: str
    true: str
    predicted: str
    score: float
    thumbnail: bytes


@dataclass(frozen=True, eq=False)
class Learned:
    """`weights` act on raw features and are calibrated; `distances` are how far each picture is from the others."""

    weights: LinearHead
    space: FeatureSpace
    distances: Tensor
    metrics: Mapping[str, Any]
    worst: tuple[Mistake, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """`groups` are pictures that are copies of each other (as `pairs` say), which lie in one `fold` together."""

    labels: Tensor
    groups: Tensor
    fold: Tensor
    number: int
    pairs: tuple[tuple[int, int], ...]

    @property
    def validated(self) -> range:
        return range(self.number if len(self.labels) <= CROSS_VALIDATED else 1)

    @property
    def judged(self) -> Tensor:
        return self.fold < len(self.validated)


def classes_of(examples: Examples, wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """Raises `NotEnoughImagesError`, also if one of the `wanted` classes has no picture left."""
    counts = dict.fromkeys(sorted({*wanted, *examples.labels}), 0) | Counter(sorted(examples.labels))
    if len(counts) < 2 or min(counts.values()) < 2:
        told = ", ".join(f"{name!r} has {count}" for name, count in counts.items()) or "none can be read"
        raise NotEnoughImagesError(f"At least two classes with two pictures each are needed, and {told}.", counts)
    return tuple(counts)


def split(examples: Examples, classes: Sequence[str], *, parts: int, seed: int) -> Split:
    """Into parts that hold every class alike, copies of a picture together."""
    places = {name: index for index, name in enumerate(classes)}
    labels = np.array([places[label] for label in examples.labels])
    pairs = tuple(near_duplicates(examples.hashes))
    groups = duplicate_groups(len(labels), pairs)
    smallest = int(np.bincount(labels).min())
    number = max(2, min(parts, smallest))
    fold = folds(labels, groups, number, seed)
    return Split(torch.from_numpy(labels), torch.from_numpy(groups), torch.from_numpy(fold), number, pairs)


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
    """The head of a linear probe, its strength chosen by validation. `done` steps lie behind it."""
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
        metric = {**point(place + 1, "validation", loss, right), "strength": l2_penalty}
        yield Pause(Progress(done, total, right, loss), metric=metric)
    _, l2_penalty, logits = min(outcomes, key=lambda outcome: outcome[0])
    weights = probe.on_raw_features((yield from probe.fit(torch.ones_like(judged), l2_penalty)))
    yield Pause(Progress(total, total))
    learned = of_logits(
        examples, classes, divided, logits[judged], weights, seed=seed, zero_shot=zero_shot, judged=judged
    )
    return replace(learned, metrics={**learned.metrics, "strength": l2_penalty})


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


class Probe:
    """Fits of one set of pictures, with other parts and strengths; each begins where the last of its part ended."""

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
        full = self._basis.in_full(weights)
        weight = full.weight / self._std
        return LinearHead(weight, full.bias - weight @ self._mean)


def point(epoch: int, part: str, loss: float, accuracy: float) -> dict[str, float | int | str]:
    """Of a curve."""
    return {"epoch": epoch, "split": part, "loss": round(loss, 5), "accuracy": round(accuracy, 5)}


def measured(
    logits: Tensor, labels: Tensor, classes: Sequence[str], temperature: float, zero_shot: float | None
) -> dict[str, Any]:
    """What the validation part tells, as JSON; `calibration_error.after` is that of the published temperature."""
    predicted = logits.argmax(1)
    right = predicted == labels
    table = confusion(predicted, labels, len(classes))
    columns = [sum(row[index] for row in table) for index in range(len(classes))]
    per_class = []
    for index, name in enumerate(classes):
        number, hits = sum(table[index]), table[index][index]
        per_class.append(
            {
                "label": name,
                "pictures": number,
                "recall": round(hits / number, 4) if number else None,
                "precision": round(hits / columns[index], 4) if columns[index] else None,
            }
        )
    low, high = accuracy_interval(int(right.sum()), len(labels))
    return {
        "accuracy": round(float(right.float().mean()), 4),
        "accuracy_interval": [round(low, 4), round(high, 4)],
        "baseline_accuracy": round(float(torch.bincount(labels).max() / len(labels)), 4),
        "zero_shot_accuracy": None if zero_shot is None else round(zero_shot, 4),
        "pictures_judged": len(labels),
        "per_class": per_class,
        "confusion": table,
        "calibration_error": {
            "before": round(calibration_error(logits, labels), 4),
            "after": round(calibration_error(logits / temperature, labels), 4),
        },
        "temperature": round(temperature, 4),
    }


def mistakes(
    examples: Examples,
    classes: Sequence[str],
    logits: Tensor,
    judged: Sequence[int],
    labels: Tensor,
    temperature: float,
) -> tuple[Mistake, ...]:
    """The surest of all wrong answers to the `judged` pictures, the surest first."""
    scores, predicted = (logits / temperature).softmax(1).max(1)
    answers = zip(judged, scores.tolist(), predicted.tolist(), strict=True)
    wrong = [(score, index, guess) for index, score, guess in answers if guess != int(labels[index])]
    return tuple(
        Mistake(
            examples.names[index],
            classes[int(labels[index])],
            classes[guess],
            round(score, 4),
            examples.thumbnails[index],
        )
        for score, index, guess in sorted(wrong, reverse=True)[:_WORST]
    )


def zero_shot_accuracy(
    examples: Examples, classes: Sequence[str], original: Tensor, members: Mapping[str, Sequence[int]]
) -> float | None:
    """How often ImageNet's head is right without any training, each class being the sum of its `members` there.

    `original` are the ImageNet probabilities `(n, 1000)`. None unless every class has members.
    """
    if not all(members.get(name) for name in classes):
        return None
    sums = torch.stack([original[:, list(members[name])].sum(1) for name in classes], 1)
    guessed = sums.argmax(1).tolist()
    right = [classes[index] == label for index, label in zip(guessed, examples.labels, strict=True)]
    return right.count(True) / len(right)


def _how_validated(divided: Split, judged: Tensor) -> dict[str, Any]:
    method = "cross-validation" if bool(judged.all()) else "hold-out"
    return {"method": method, "parts": divided.number, "pictures": int(judged.sum())}


def oddities(examples: Examples, divided: Split) -> Iterator[Warned]:
    """What a teacher should know of the pictures."""
    counts, labels = Counter(examples.labels), examples.labels
    same = [(i, j) for i, j in divided.pairs if labels[i] == labels[j]]
    torn = [(i, j) for i, j in divided.pairs if labels[i] != labels[j]]
    if same:
        names = _named(examples, same)
        yield Warned(
            "duplicates",
            f"{len(names)} pictures are (nearly) copies of others in their class; copies are judged together, "
            "so that none is asked about a picture whose copy was learned.",
            names,
        )
    if torn:
        names = _named(examples, torn)
        yield Warned(
            "same-picture-in-two-classes",
            f"{len(names)} pictures are (nearly) the same in different classes: one of the labels is wrong, "
            "or both are true and the classes do not exclude each other.",
            names,
        )
    most, least = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    if counts[most] >= _IMBALANCE * counts[least]:
        yield Warned(
            "imbalance",
            f"{most!r} has {counts[most]} pictures and {least!r} {counts[least]}: "
            "in doubt the head will prefer the larger class.",
        )
    if counts[least] < _FEW:
        yield Warned(
            "few-pictures",
            f"{least!r} has only {counts[least]} pictures: see the interval of the accuracy, and add some.",
        )


def _named(examples: Examples, pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(examples.names[index] for pair in pairs for index in pair))
