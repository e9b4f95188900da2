"""What a network takes a picture for; every kind of synthesis is judged by it."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """The index of the likeliest class, and its probability."""

    index: int
    score: float


def outcome_of(logits: Tensor) -> Outcome:
    """The likeliest class of logits `(classes,)`."""
    score, index = logits.softmax(0).max(0)
    return Outcome(int(index), float(score))
