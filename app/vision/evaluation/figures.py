"""How good the answers of a classifier are, in numbers: what a result, a report and a table are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from app.vision.classifier import Classifier
from app.vision.evaluation.folders import FolderMeaning
from app.vision.feature_space import UNKNOWN
from app.vision.statistics import (
    accuracy_interval,
    auroc,
    balanced_accuracy,
    brier_score,
    calibration_bins,
    class_figures,
    confusion,
    expected_calibration_error,
    mcnemar_p,
)

OTHER: Final = "other"
"""The last column of a confusion table: all classes that no folder is of."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of some pictures: `predicted` class `(n,)`; `column` `(n,)` the folder that the class counts
    for, or the number of folders; `shares` `(n, folders + 1)` the probability of each folder's classes together.

    `unknown` is `(n,)`, or None if the model cannot tell.
    """

    classifier: Classifier
    predicted: Tensor
    scores: Tensor
    column: Tensor
    shares: Tensor
    unknown: Tensor | None

    @classmethod
    def of(cls, classifier: Classifier, features: Tensor, meanings: Sequence[FolderMeaning]) -> "Answers":
        """Of features `(n, features)`."""
        device = classifier.backbone.mean.device
        with torch.inference_mode():
            there = features.to(device)
            probabilities = classifier.head(there).softmax(1).cpu()
            unknown = classifier.space.unknown(there).cpu() if classifier.space and len(there) else None
        column_of = torch.full((probabilities.shape[1],), len(meanings))
        for number, meaning in enumerate(meanings):
            column_of[list(meaning.classes)] = number
        scores, predicted = probabilities.max(1)
        shares = torch.zeros(len(features), len(meanings) + 1).index_add(1, column_of, probabilities)
        return cls(classifier, predicted, scores, column_of[predicted], shares, unknown)

    def confidences(self) -> Tensor:
        """How sure it is of what it takes each picture for, `(n,)`: of a folder's classes together, else of the one."""
        together = self.shares.gather(1, self.column[:, None])[:, 0]
        return torch.where(self.column < self.shares.shape[1] - 1, together, self.scores)

    def chosen(self, rows: Tensor) -> "Answers":
        """Of some of the pictures, by their indices."""
        unknown = None if self.unknown is None else self.unknown[rows]
        parts = (self.predicted[rows], self.scores[rows], self.column[rows], self.shares[rows])
        return Answers(self.classifier, *parts, unknown)


def accuracy_of(right: Tensor) -> dict[str, Any]:
    """The share `(n,)` is true of, with its 95 % interval; of no pictures both are None."""
    if not len(right):
        return {"accuracy": None, "interval_95": None}
    hits = int(right.sum())
    return {
        "accuracy": round(hits / len(right), 4),
        "interval_95": [round(end, 4) for end in accuracy_interval(hits, len(right))],
    }


def figures_of(answers: Answers, truth: Tensor, folders: Sequence[str]) -> dict[str, Any]:
    """Of labelled pictures, whose folders are `truth` `(n,)`, as JSON."""
    number = len(folders)
    right = answers.column == truth
    table = confusion(answers.column, truth, number + 1)[:number]
    bins = calibration_bins(answers.confidences(), right)
    return {
        **accuracy_of(right),
        "balanced_accuracy": round(balanced_accuracy(table), 4) if len(truth) else None,
        "per_class": [
            {
                "label": name,
                "n": one.number,
                "precision": _rounded(one.precision),
                "recall": _rounded(one.recall),
                "f1": _rounded(one.f1),
            }
            for name, one in zip(folders, class_figures(table), strict=True)
        ],
        "confusion": {"labels": [*folders, OTHER], "counts": table},
        "calibration": {
            "ece": round(expected_calibration_error(bins), 4),
            "brier": round(brier_score(answers.shares, truth), 4),
            "bins": [
                {
                    "from": round(one.start, 4),
                    "to": round(one.end, 4),
                    "n": one.number,
                    "confidence": round(one.confidence, 4),
                    "accuracy": round(one.accuracy, 4),
                }
                for one in bins
            ],
        }
        if len(truth)
        else None,
    }


def unknown_figures(known: Tensor | None, strange: Tensor | None) -> dict[str, Any] | None:
    """How well pictures of none of the classes are told, of how surely unknown those of the classes and the others are,
    each `(n,)`. None if the model cannot tell; what there are no pictures for is None.
    """
    if known is None and strange is None:
        return None
    both = known is not None and strange is not None and len(known) and len(strange)
    return {
        "pictures": 0 if strange is None else len(strange),
        "found": _share_above(strange),
        "false_alarms": _share_above(known),
        "auroc": round(auroc(known, strange), 4) if both and known is not None and strange is not None else None,
    }


def comparison_of(first: Answers, second: Answers, truth: Tensor) -> dict[str, Any]:
    """Two models on the same pictures; the columns of each are those of the same folders."""
    one, other = first.column == truth, second.column == truth
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    return {
        "model": second.classifier.card.name,
        **accuracy_of(other),
        "both_right": int((one & other).sum()),
        "only_first": only_first,
        "only_second": only_second,
        "both_wrong": int((~one & ~other).sum()),
        "mcnemar_p": float(f"{mcnemar_p(only_first, only_second):.4g}"),
    }


def understood_as(meaning: FolderMeaning, classifier: Classifier) -> Mapping[str, Any]:
    """For a person: which classes count as right for a folder, and why."""
    labels = [classifier.labels[index].label for index in meaning.classes]
    return {"folder": meaning.folder, "how": meaning.how, "classes": labels}


def _share_above(unknown: Tensor | None) -> float | None:
    if unknown is None or not len(unknown):
        return None
    return round(float((unknown > UNKNOWN).double().mean()), 4)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
