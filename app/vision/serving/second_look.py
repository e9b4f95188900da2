"""A quick look in reduced precision, and a second one in float32 at pictures whose answer is a near thing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.vision.feature_space import UNKNOWN, FeatureSpace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.vision.serving.runtimes import StagedFeatureExtractor

NEAR: Final = (0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2)
"""What may count as near: so much the two likeliest classes differ, or the score of being unknown and its limit."""


@dataclass(frozen=True, eq=False)
class Look:
    """Features `(n, features)` of the canvases at these places, and what the head makes of them, `(n, classes)`."""

    places: NDArray[np.intp]
    features: Tensor
    logits: Tensor


@dataclass(frozen=True, eq=False)
class SecondLook:
    """Features for one head, `quick` ones but where that head is not sure of them; there `precise` ones."""

    quick: "StagedFeatureExtractor"
    precise: "StagedFeatureExtractor"
    head: nn.Linear
    space: FeatureSpace | None
    near: float

    @property
    def name(self) -> str:
        """Of the runtime, as answers tell it."""
        return self.quick.name

    @property
    def best_batch(self) -> int:
        return self.quick.best_batch

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        return together(self.looks(canvases)).features

    def looks(self, canvases: NDArray[np.uint8]) -> "Iterator[Look]":
        """What the quick look is sure of, as soon as it is, then what took a second one; one of both may be all."""
        places = np.arange(len(canvases))
        with torch.inference_mode():
            features = self.quick(canvases)
            logits = self.head(features)
            near = distance_to_boundary(features, logits, self.space) < self.near
            doubtful = near.cpu().numpy()
        if not doubtful.any():
            yield Look(places, features, logits)
            return
        if not doubtful.all():
            yield Look(places[~doubtful], features[~near], logits[~near])
        with torch.inference_mode():
            features = self.precise(canvases[doubtful])
            logits = self.head(features)
        yield Look(places[doubtful], features, logits)

    def stage(self, canvas: NDArray[np.uint8], name: str) -> Tensor:
        """In float32: what layers show is looked at by people, and rarely."""
        return self.precise.stage(canvas, name)


def together(looks: "Iterable[Look]") -> Look:
    """All of a few canvases' looks as one, in the order of their places."""
    first, *others = looks
    if not others:
        return first
    found = (first, *others)
    order = np.concatenate([look.places for look in found]).argsort()
    return Look(
        np.arange(len(order)),
        torch.cat([look.features for look in found])[order],
        torch.cat([look.logits for look in found])[order],
    )


def distance_to_boundary(features: Tensor, logits: Tensor, space: FeatureSpace | None) -> Tensor:
    """How far features `(n, features)`, by logits `(n, classes)`, are from another answer: `(n,)`, as in `NEAR`."""
    likeliest = logits.softmax(1).topk(2, dim=1).values
    distance = likeliest[:, 0] - likeliest[:, 1]
    return torch.minimum(distance, (space.unknown(features) - UNKNOWN).abs()) if space else distance
