"""An honest account of what was learned: accuracy with its interval, mistakes, and what is odd about the pictures."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.vision.statistics import accuracy_interval, calibration_error, class_figures, confusion
from app.vision.transfer.cross_validation import Split
from app.vision.transfer.dataset import Skipped
from app.vision.transfer.examples import Examples
from app.vision.transfer.perceptual_hash import duplicate_groups, near_duplicates

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


def point(part: str, loss: float, accuracy: float, **place: float) -> dict[str, float | str]:
    """Of a curve: at an `epoch`, or at an `attempt` to find the best `l2_penalty`."""
    return {**place, "split": part, "loss": round(loss, 5), "accuracy": round(accuracy, 5)}


def measured(
    logits: Tensor, labels: Tensor, classes: Sequence[str], temperature: float, zero_shot: float | None
) -> dict[str, Any]:
    """What the validation part tells, as JSON, of logits `(n, classes)` and labels `(n,)`; `calibration_error.after` is
    that of the published temperature.
    """
    predicted = logits.argmax(1)
    right = predicted == labels
    table = confusion(predicted, labels, len(classes))
    per_class = [
        {
            "label": name,
            "pictures": one.number,
            "recall": None if one.recall is None else round(one.recall, 4),
            "precision": None if one.precision is None else round(one.precision, 4),
        }
        for name, one in zip(classes, class_figures(table), strict=True)
    ]
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
    """The surest of all wrong answers to the `judged` pictures (indices of the examples, one for each row of the
    logits), the surest first.
    """
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


def copies_of(hashes: NDArray[np.uint64], learned: NDArray[np.uint64]) -> list[bool]:
    """Whether each of the `(n, 4)` hashes is of (nearly) the same picture as one that was learned, `(m, 4)`."""
    both = np.concatenate([learned, hashes])
    groups = duplicate_groups(len(both), near_duplicates(both)).tolist()
    known = set(groups[: len(learned)])
    return [group in known for group in groups[len(learned) :]]


def copies_in(test: Examples, learning: Examples) -> Iterator[Warned]:
    """Pictures that judge although (nearly) the same ones were learned."""
    if not len(test):
        return
    copied = copies_of(test.hashes, learning.hashes)
    names = tuple(name for name, is_copy in zip(test.names, copied, strict=True) if is_copy)
    if names:
        yield Warned(
            "test-pictures-learned",
            f"Of the {len(test)} pictures that judge, {len(names)} were learned from as (nearly) the same pictures, "
            "so that the accuracy flatters.",
            names,
        )


def _named(examples: Examples, pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(examples.names[index] for pair in pairs for index in pair))


def left_out(skipped: Sequence[Skipped]) -> Warned:
    files = "One file was" if len(skipped) == 1 else f"{len(skipped)} files were"
    first = "; ".join(f"{one.name}: {one.reason}" for one in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    told = f"{files} left out: {first}{more}".rstrip(".")
    return Warned("skipped", f"{told}.", tuple(one.name for one in skipped[:100]))
