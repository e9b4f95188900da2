"""What a network takes a picture for; every kind of synthesis is judged by it."""

from dataclasses import dataclass

from app.vision.ask import Answer
from app.vision.classifier import Classifier


@dataclass(frozen=True)
class Outcome:
    """The index of the likeliest class, its probability, and how surely it is none of them; None if nobody can tell."""

    index: int
    score: float
    unknown: float | None


def outcomes_of(classifier: Classifier, answered: Answer) -> list[Outcome]:
    """One for each canvas of the ask that the classifier answered."""
    scores, indices = answered.logits.softmax(1).max(1)
    unknown = classifier.unknown(answered.features)
    return [Outcome(*found) for found in zip(indices.tolist(), scores.tolist(), unknown, strict=True)]
