"""How good a classifier is, as honestly as a few pictures can tell: pure functions, for teaching and for judging."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_Z: Final = 1.96
_BINS: Final = 15
_TEMPERATURES: Final = torch.logspace(-1.3, 1.3, 105)


def accuracy_interval(right: int, number: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which is right for few pictures and for shares near 1, too."""
    if number == 0:
        return 0.0, 1.0
    share = right / number
    middle = share + _Z**2 / (2 * number)
    half = _Z * math.sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    scale = 1 + _Z**2 / number
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> list[list[int]]:
    """Counts of predicted and true classes, each `(n,)`: rows are what the pictures are, columns what they are taken
    for.
    """
    counts = torch.zeros(classes, classes, dtype=torch.long)
    counts.index_put_((labels, predicted), torch.ones_like(labels), accumulate=True)
    table: list[list[int]] = counts.tolist()
    return table


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """By which logits must be divided for their probabilities to be honest (Guo 2017): the least cross-entropy.

    As if of two pictures more one had been mistaken (Platt 1999): a dozen right answers do not make certain.
    """
    doubt = 1 / (len(labels) + 2)
    losses = [
        float(functional.cross_entropy(logits / temperature, labels, label_smoothing=doubt))
        for temperature in _TEMPERATURES
    ]
    return float(_TEMPERATURES[losses.index(min(losses))])


@dataclass(frozen=True)
class Bin:
    """Pictures whose top score lies in `start`..`end`: how sure they are on average, and how often rightly so."""

    start: float
    end: float
    number: int
    confidence: float
    accuracy: float


def calibration_bins(confidences: Tensor, right: Tensor) -> tuple[Bin, ...]:
    """Fifteen of equal width, without the empty ones, of top scores `(n,)` and whether they were right `(n,)`."""
    places = (confidences * _BINS).long().clamp(max=_BINS - 1)
    found = []
    for number in range(_BINS):
        mine = places == number
        if count := int(mine.sum()):
            means = (float(values[mine].double().mean()) for values in (confidences, right))
            found.append(Bin(number / _BINS, (number + 1) / _BINS, count, *means))
    return tuple(found)


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """How far the top score is from how often it is right (Naeini 2015), 0..1."""
    number = sum(one.number for one in bins)
    return sum(abs(one.confidence - one.accuracy) * one.number for one in bins) / number if number else 0.0


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """The expected calibration error of logits `(n, classes)` and labels `(n,)`."""
    scores, predicted = logits.softmax(1).max(1)
    return expected_calibration_error(calibration_bins(scores, predicted == labels))


def brier_score(probabilities: Tensor, labels: Tensor) -> float:
    """The mean squared distance of probabilities `(n, classes)` from the truth (Brier 1950): 0 is best, 2 worst."""
    truth = functional.one_hot(labels, probabilities.shape[1]).to(probabilities)
    return float((probabilities - truth).square().sum(1).double().mean())


@dataclass(frozen=True)
class ClassFigures:
    """Of one class; a share of nothing is None."""

    number: int
    precision: float | None
    recall: float | None
    f1: float | None


def class_figures(table: Sequence[Sequence[int]]) -> tuple[ClassFigures, ...]:
    """Of each row of a confusion table, which may have more columns than rows."""
    found = []
    for index, row in enumerate(table):
        hits, number, named = row[index], sum(row), sum(other[index] for other in table)
        f1 = 2 * hits / (number + named) if number + named else None
        found.append(ClassFigures(number, hits / named if named else None, hits / number if number else None, f1))
    return tuple(found)


def balanced_accuracy(table: Sequence[Sequence[int]]) -> float:
    """The mean recall of the classes that there are pictures of, each class counting the same."""
    recalls = [one.recall for one in class_figures(table) if one.recall is not None]
    return sum(recalls) / len(recalls) if recalls else 0.0


def mcnemar_p(only_first: int, only_second: int) -> float:
    """How likely two equally good classifiers differ so much: exact and two-sided (McNemar 1947), from the numbers of
    pictures that only one of them has right.
    """
    number, fewer = only_first + only_second, min(only_first, only_second)
    ways: int = sum(math.comb(number, count) for count in range(fewer + 1))
    return min(1.0, float(2 * ways / 2**number))


def auroc(known: Tensor, out_of_distribution: Tensor) -> float:
    """The chance that an unknown picture scores higher than a known one; ties count half (Mann & Whitney 1947)."""
    below = torch.searchsorted(known.sort().values, out_of_distribution.contiguous())
    not_above = torch.searchsorted(known.sort().values, out_of_distribution.contiguous(), right=True)
    return float((below + not_above).double().mean() / (2 * len(known)))
