"""Where the pictures that a head was learned on lie in the space of its backbone's features."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

NEIGHBOURS: Final = 10
MAX_REFERENCES: Final = 512
"""With 250, pictures of other things are told from cats and dogs as well as with 1000."""
UNKNOWN: Final = 0.5
"""A picture whose score exceeds this is called unknown."""
FALSE_ALARMS: Final = 0.05
"""The share of pictures of the classes themselves that may be taken for unknown."""
_FEW: Final = 200
_PARTS_OF_FEW: Final = 20
_PARTS: Final = 5
"""Pictures are measured against spaces made without a fifth of them; of few, without a twentieth, or without one."""
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
    def of(
        cls, features: Tensor, labels: Tensor, groups: Tensor, *, seed: int, judged: Tensor | None = None
    ) -> tuple[Self, Tensor]:
        """Of the training pictures' features `(n, features)`, and how far pictures are from the others.

        Each is measured in a space that was made without it and without its copies, which are of one group: to the
        pictures that it was made of, a space of few looks roomier than to any other. With a mask `judged` `(n,)`, only
        those are measured, against the rest.
        """
        parts = _parts(groups, torch.Generator().manual_seed(seed)) if judged is None else [judged]
        known = torch.cat(
            [cls._made_of(features[~part], labels[~part], seed).distance(features[part]) for part in parts]
        )
        space = cls._made_of(features, labels, seed)
        return replace(space, threshold=_threshold(known), spread=_spread(known)), known

    @classmethod
    def _made_of(cls, features: Tensor, labels: Tensor, seed: int) -> Self:
        mean, std = statistics_of(features)
        rows = (features - mean) / std
        means = torch.stack([rows[labels == index].mean(0) for index in sorted(set(labels.tolist()))])
        chosen = _some_of_each(labels, torch.Generator().manual_seed(seed))
        return cls(
            mean=mean,
            std=std,
            prototypes=functional.normalize(means, dim=1),
            references=functional.normalize(rows[chosen], dim=1).half(),
            threshold=math.inf,
            spread=1.0,
        )

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], *, threshold: float, spread: float) -> Self:
        """From what `tensors` returned: `mean` and `std` `(features,)`, `prototypes` `(classes, features)`,
        `references` `(n, features)`. Raises `KeyError` if one is missing.
        """
        names = ("mean", "std", "prototypes", "references")
        return cls(**{name: tensors[name] for name in names}, threshold=threshold, spread=spread)

    def tensors(self) -> dict[str, Tensor]:
        """What a file is to keep of it, by name."""
        return {name: getattr(self, name) for name in ("mean", "std", "prototypes", "references")}

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return type(self)(**tensors, threshold=self.threshold, spread=self.spread)

    def standardised(self, features: Tensor) -> Tensor:
        """Features `(n, features)` with the mean 0 and the deviation 1 of those that were learned."""
        return (features - self.mean) / self.std

    def distance(self, features: Tensor) -> Tensor:
        """`(n,)`: one minus the mean cosine to the nearest references (Sun 2022), 0..2.

        The nearest are ten, or a quarter of the references where there are few.
        """
        directions = functional.normalize(self.standardised(features), dim=1)
        cosines = directions @ self.references.to(directions).T
        neighbours = min(NEIGHBOURS, max(1, round(len(self.references) / 4)))
        return 1 - cosines.topk(neighbours, dim=1).values.mean(1)

    def unknown(self, features: Tensor) -> Tensor:
        """`(n,)` in 0..1: how surely these features belong to none of the classes; 0.5 at the threshold."""
        return torch.sigmoid((self.distance(features) - self.threshold) / self.spread)


def statistics_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the (never quite zero) deviation of each feature."""
    deviation = features.std(0) if len(features) > 1 else torch.zeros_like(features[0])
    return features.mean(0), deviation + _FLOOR


def _parts(groups: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Masks that cover all pictures, each some whole groups; pictures that are all of one group are taken apart."""
    names, places = np.unique(groups.numpy(), return_inverse=True)
    number = len(names)
    if number == 1:
        places, number = np.arange(len(groups)), len(groups)
    parts = min(number, _PARTS_OF_FEW if number <= _FEW else _PARTS)
    part = (torch.randperm(number, generator=generator) % parts)[places]
    return [part == index for index in range(parts)]


def _threshold(known: Tensor) -> float:
    """What a further picture of the classes exceeds with a chance of `FALSE_ALARMS` at most (Vovk 2005)."""
    place = math.ceil((len(known) + 1) * (1 - FALSE_ALARMS))
    return float(known.sort().values[min(place, len(known)) - 1])


def _spread(known: Tensor) -> float:
    return max(float(known.std()), 0.01) if len(known) > 1 else 1.0


def _some_of_each(labels: Tensor, generator: torch.Generator) -> Tensor:
    """At most `MAX_REFERENCES` indices, in turns from every class."""
    shuffled = torch.randperm(len(labels), generator=generator)
    turn = torch.empty(len(labels), dtype=torch.long)
    for index in sorted(set(labels.tolist())):
        mine = shuffled[labels[shuffled] == index]
        turn[mine] = torch.arange(len(mine))
    return turn.argsort(stable=True)[:MAX_REFERENCES].sort().values
