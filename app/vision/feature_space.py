"""Where the pictures that a head was learned on lie in the space of its backbone's features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor
from torch.nn import functional

NEIGHBOURS: Final = 10
MAX_REFERENCES: Final = 512
"""With 250 the strangers of cats-vs-dogs are told as well as with 1000."""
FALSE_ALARMS: Final = 0.05
"""The share of pictures of the classes themselves that may be taken for unknown."""
_NOBODY: Final = -2.0
_FLOOR: Final = 0.05
"""Added to every deviation, so that a feature that is nearly always zero does not decide alone."""


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Features are standardised by `mean` and `std`, `(features,)`, before anything is compared.

    `prototypes` `(classes, features)` are the mean directions of the classes, `references` `(n, features)` the
    directions of some training pictures; all of unit length. A picture is unknown when its distance from the nearest
    references exceeds `threshold`; `spread` is by how much known ones differ in that.
    """

    mean: Tensor
    std: Tensor
    prototypes: Tensor
    references: Tensor
    threshold: float
    spread: float

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, groups: Tensor, *, classes: int, seed: int) -> tuple[Self, Tensor]:
        """Of the training pictures' features `(n, features)`, and the distance of each picture from the others `(n,)`.

        Pictures of one group are copies of each other.
        """
        mean, std = statistics_of(features)
        rows = (features - mean) / std
        directions = functional.normalize(rows, dim=1)
        means = torch.stack([rows[labels == index].mean(0) for index in range(classes)])
        chosen = _some_of_each(labels, classes, torch.Generator().manual_seed(seed))
        references = directions[chosen].half()
        cosines = directions @ references.float().T
        cosines[groups[:, None] == groups[chosen][None]] = _NOBODY  # not a neighbour of himself
        known = 1 - _nearest(cosines)
        space = cls(
            mean=mean,
            std=std,
            prototypes=functional.normalize(means, dim=1),
            references=references,
            threshold=float(known.quantile(1 - FALSE_ALARMS)),
            spread=max(float(known.std()), 0.01),
        )
        return space, known

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], *, threshold: float, spread: float) -> Self:
        """Raises `KeyError` if one is missing."""
        names = ("mean", "std", "prototypes", "references")
        return cls(**{name: tensors[name] for name in names}, threshold=threshold, spread=spread)

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in ("mean", "std", "prototypes", "references")}

    def to(self, device: torch.device) -> Self:
        tensors = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return type(self)(**tensors, threshold=self.threshold, spread=self.spread)

    def standardised(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std

    def distance(self, features: Tensor) -> Tensor:
        """`(n,)`: one minus the mean cosine to the nearest references (Sun 2022), 0..2."""
        directions = functional.normalize(self.standardised(features), dim=1)
        return 1 - _nearest(directions @ self.references.to(directions).T)

    def unknown(self, features: Tensor) -> Tensor:
        """`(n,)` in 0..1: how surely these features belong to none of the classes; 0.5 at the threshold."""
        return torch.sigmoid((self.distance(features) - self.threshold) / self.spread)


def statistics_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the (never quite zero) deviation of each feature."""
    deviation = features.std(0) if len(features) > 1 else torch.zeros_like(features[0])
    return features.mean(0), deviation + _FLOOR


def _nearest(cosines: Tensor) -> Tensor:
    """The mean of the largest of each row, without those that are `_NOBODY`."""
    largest = cosines.topk(min(NEIGHBOURS, cosines.shape[1]), dim=1).values
    there = largest > _NOBODY
    return (largest * there).sum(1) / there.sum(1).clamp(min=1)


def _some_of_each(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """At most `MAX_REFERENCES` indices, in turns from every class."""
    shuffled = torch.randperm(len(labels), generator=generator)
    turn = torch.empty(len(labels), dtype=torch.long)
    for index in range(classes):
        mine = shuffled[labels[shuffled] == index]
        turn[mine] = torch.arange(len(mine))
    return turn.argsort(stable=True)[:MAX_REFERENCES].sort().values
