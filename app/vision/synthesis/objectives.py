"""What an ideal image is to excite: a class, by its logit or its prototype, or a channel of a layer."""

from dataclasses import dataclass
from typing import Final

from torch import Tensor
from torch.nn import functional

from app.vision.ask import Activity, Objective
from app.vision.classifier import Classifier
from app.vision.feature_space import FeatureSpace

_CONTEXT: Final = 0.5
"""The weight of what a class has in common with its kind, and with all classes, beside its own. With 1, an ideal
Siamese cat became a Russian Blue; with 0, an ideal beagle became curtains.
"""


@dataclass(frozen=True)
class ClassObjective:
    index: int


@dataclass(frozen=True)
class ChannelObjective:
    """A channel of a layer, or the one neuron of it in column `x` and row `y` at the network's own input size."""

    layer: str
    channel: int
    x: int | None = None
    y: int | None = None


ImageObjective = ClassObjective | ChannelObjective


def class_objective(weight: Tensor, index: int) -> Objective:
    """The logit, weighted with the cosine between the features and the class's direction.

    So strength that other classes share brings little. `weight` is the head's, `(classes, features)`.
    """
    direction = weight[index] - weight.mean(0)

    def rise(seen: Activity) -> Tensor:
        score: Tensor = 4 * _along(direction, seen.features)
        return score

    return rise


def prototype_objective(space: FeatureSpace, index: int) -> Objective:
    """How far the features, in deviations, lie along what shows the class, weighted with the cosine to that.

    For heads that were learned on a few classes: a boundary between two says little about what either looks like.
    """
    direction = _what_shows(space, index)

    def rise(seen: Activity) -> Tensor:
        return _along(direction, seen.features / space.std)

    return rise


def _what_shows(space: FeatureSpace, index: int) -> Tensor:
    """`(features,)`, of unit length: the class's prototype, those of classes like it and what all classes share.

    The prototype alone is what tells a beagle from 36 other breeds, which is no dog yet, and made of five pictures it
    is half chance.
    """
    own = space.prototypes[index]
    likeness = (space.prototypes @ own).clamp(min=0)
    likeness[index] = 0
    kind = functional.normalize(likeness @ space.prototypes, dim=0)
    shared = functional.normalize(space.mean / space.std, dim=0)
    return functional.normalize(own + _CONTEXT * (kind + shared), dim=0)


def _along(direction: Tensor, rows: Tensor) -> Tensor:
    """`(n,)`: the dot product of each of some rows `(n, features)` with a direction, times the cosine to it."""
    along = rows @ direction
    cosine = along / (rows.norm(dim=1) * direction.norm() + 1e-6)
    score: Tensor = along * cosine.clamp(min=0.05)
    return score


def objective_of_class(classifier: Classifier, index: int) -> Objective:
    """The prototype score where the head has a feature space, and else the logit."""
    if classifier.space:
        return prototype_objective(classifier.space, index)
    return class_objective(classifier.head.weight, index)


def channel_objective(aim: ChannelObjective) -> Objective:
    """The mean activation of a channel, or that of one neuron wherever it lies at this input size."""

    def rise(seen: Activity) -> Tensor:
        activations = seen.layers[aim.layer][:, aim.channel]
        if aim.x is None and aim.y is None:
            return activations.mean((1, 2))
        height, width = activations.shape[1:]
        row = height // 2 if aim.y is None else min(aim.y, height - 1)
        column = width // 2 if aim.x is None else min(aim.x, width - 1)
        return activations[:, row, column]

    return rise
