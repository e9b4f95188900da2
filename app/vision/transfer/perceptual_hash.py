"""Pictures that look the same although their files differ: saved again, scaled, or in two folders."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE: Final = 16
_LEVELS: Final = np.linspace(0, 255, _SIDE * _SIDE // 3 + 2)[1:-1]
_GREY: Final = np.array((0.299, 0.587, 0.114))
_FLAT: Final = 4.0
"""Grey levels; smaller differences of neighbouring cells are left to JPEG and scaling.

Of 960 photos 99 % stay within 10 bits of themselves at 224×224 and JPEG 60, and all within 13; different ones of
3,170 are at least 34 apart (brain scans; 39 elsewhere). With 0 here 3 % are beyond 10 bits, up to 24.
"""
_BLOCK_BYTES: Final = 32 << 20


def perceptual_hash(image: Image.Image) -> NDArray[np.uint64]:
    """256 bits of an RGB picture, as a row of four words.

    A difference hash (Krawetz 2013): a bit says whether a cell is brighter than its right neighbour. Where they are
    equally bright it compares the picture's mean colour with one of 256 levels instead, so that plain pictures are
    the same only if their colours are, and noise in a plain background decides nothing.
    """
    small = image.resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    cells = np.asarray(small, np.float64)
    differences = -np.diff(cells @ _GREY, axis=1).ravel()
    colour = np.append((cells.mean(axis=(0, 1))[:, None] > _LEVELS).T.ravel(), [False])
    bits = np.where(np.abs(differences) < _FLAT, colour, differences > 0)
    return np.packbits(bits).view(np.uint64)


def near_duplicates(hashes: NDArray[np.uint64], *, distance: int = 10) -> list[tuple[int, int]]:
    """Pairs `i < j` of `(n, 4)` hashes that differ in at most `distance` bits.

    A pair whose pictures are linked by earlier pairs already is left out, so that there are fewer than n pairs even
    if all pictures are the same one.
    """
    words = np.ascontiguousarray(hashes.T)
    group = np.arange(len(hashes))
    pairs: list[tuple[int, int]] = []
    block = max(1, _BLOCK_BYTES // (8 * max(1, len(hashes))))
    for start in range(0, len(hashes), block):
        near = np.triu(_distances(words[:, start : start + block], words[:, start:]) <= distance, k=1)
        for row in np.flatnonzero(near.any(axis=1)):
            first = start + int(row)
            others = start + np.flatnonzero(near[row])
            others = others[group[others] != group[first]]
            met, chosen = np.unique(group[others], return_index=True)
            if len(met):
                pairs += [(first, int(others[choice])) for choice in sorted(chosen)]
                group[np.isin(group, met)] = group[first]
    return pairs


def duplicate_groups(number: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """The group of each of `number` pictures: the first picture that pairs link it to, or its own position."""
    parent = list(range(number))

    def first(picture: int) -> int:
        while parent[picture] != picture:
            parent[picture] = parent[parent[picture]]
            picture = parent[picture]
        return picture

    for one, other in pairs:
        low, high = sorted((first(one), first(other)))
        parent[high] = low
    return np.array([first(picture) for picture in range(number)], np.int64)


def _distances(rows: NDArray[np.uint64], columns: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Differing bits of `(4, r)` and `(4, c)` hashes, `(r, c)`."""
    total = np.zeros((rows.shape[1], columns.shape[1]), np.uint16)
    for row, column in zip(rows, columns, strict=True):
        total += np.bitwise_count(row[:, None] ^ column)
    return total
