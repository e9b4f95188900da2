"""Which pictures are learned from and which only measured."""

import numpy as np
from numpy.typing import NDArray


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
