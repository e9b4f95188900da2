"""Which pictures are learned from and which only measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.vision.transfer.examples import Examples
from app.vision.transfer.perceptual_hash import duplicate_groups, near_duplicates

CROSS_VALIDATED: Final = 1000
"""Up to so many pictures each is in the validation part once; of more, one part is."""


@dataclass(frozen=True, eq=False)
class Split:
    """`groups` are pictures that are copies of each other (as `pairs` say), which lie in one `fold` together.

    Where a validation part was `given`, it is fold 0, and the others are fold 1.
    """

    labels: Tensor
    groups: Tensor
    fold: Tensor
    number: int
    pairs: tuple[tuple[int, int], ...]
    given: bool = False

    @property
    def validated(self) -> range:
        """The folds that judge what was learned from the others."""
        return range(self.number if len(self.labels) <= CROSS_VALIDATED else 1)

    @property
    def judged(self) -> Tensor:
        """A mask `(n,)` of the pictures in these folds."""
        return self.fold < len(self.validated)

    @property
    def published(self) -> Tensor:
        """The pictures that the published head is learned from: all, but for a validation part that was given."""
        return self.fold > 0 if self.given else torch.ones_like(self.judged)


def split(examples: Examples, classes: Sequence[str], *, parts: int, seed: int) -> Split:
    """Into parts that hold every class alike, copies of a picture together; or as the examples' own parts say."""
    places = {name: index for index, name in enumerate(classes)}
    labels = np.array([places[label] for label in examples.labels])
    pairs = tuple(near_duplicates(examples.hashes))
    groups = duplicate_groups(len(labels), pairs)
    if "validation" in examples.parts:
        given = torch.tensor([int(part != "validation") for part in examples.parts])
        return Split(torch.from_numpy(labels), torch.from_numpy(groups), given, 1, pairs, given=True)
    smallest = int(np.bincount(labels).min())
    number = max(2, min(parts, smallest))
    fold = folds(labels, groups, number, seed)
    return Split(torch.from_numpy(labels), torch.from_numpy(groups), torch.from_numpy(fold), number, pairs)


def folds(labels: NDArray[np.int64], groups: NDArray[np.int64], number: int, seed: int) -> NDArray[np.int64]:
    """The fold of each picture, 0 to `number` - 1; a group (near duplicates) is never divided.

    Every class is spread as evenly as its groups allow: without groups its counts differ by one at most, and so do
    the sizes of the folds. The largest groups are placed first, each where its classes are rarest.
    """
    _, labels = np.unique(labels, return_inverse=True)
    members = _members(groups)
    order = np.random.default_rng(seed).permutation(len(members))
    order = order[np.argsort([-len(members[group]) for group in order], kind="stable")]
    held = np.zeros((number, int(labels.max(initial=0)) + 1), np.int64)
    sizes = np.zeros(number, np.int64)
    fold = np.zeros(len(labels), np.int64)
    for group in order:
        classes = labels[members[group]]
        rarest = np.lexsort((sizes, held[:, classes].sum(axis=1)))[0]
        fold[members[group]] = rarest
        np.add.at(held[rarest], classes, 1)
        sizes[rarest] += len(classes)
    return fold


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The positions of each group's pictures."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(order) else []
