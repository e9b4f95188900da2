"""How good a classifier is, as honestly as a few pictures can tell."""

import math
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


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Expected calibration error (Naeini 2015): how far the top score is from how often it is right, 15 bins."""
    scores, predicted = logits.softmax(1).max(1)
    right = (predicted == labels).float()
    bins = (scores * _BINS).long().clamp(max=_BINS - 1)
    error = 0.0
    for number in range(_BINS):
        mine = bins == number
        if not mine.any():
            continue
        error += float((scores[mine].mean() - right[mine].mean()).abs() * mine.float().mean())
    return error


def auroc(known: Tensor, out_of_distribution: Tensor) -> float:
    """The chance that an unknown picture scores higher than a known one; ties count half (Mann & Whitney 1947)."""
    below = torch.searchsorted(known.sort().values, out_of_distribution.contiguous())
    not_above = torch.searchsorted(known.sort().values, out_of_distribution.contiguous(), right=True)
    return float((below + not_above).double().mean() / (2 * len(known)))
