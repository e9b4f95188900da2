"""What there is for each value of a picture, by bands of rows: of tens of megapixels it need never be there at once."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final, TypeVar

import torch
from torch import Tensor

from app.vision.threads import each

Result = TypeVar("Result")

BINS: Final = 4096
_BAND: Final = 1_000_000
"""Pixels, about."""
_TELLING: Final = 1000
"""So many rows and columns, at least, tell what all are like."""


def bands(height: int, width: int, *, multiple: int = 1) -> Iterator[slice]:
    """Rows of a picture, so many or a multiple of it: what is done band by band needs no second picture of tens of
    megapixels.
    """
    rows = multiple * max(1, _BAND // (multiple * width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def by_bands(work: Callable[[slice], Result], height: int, width: int) -> list[Result]:
    """What `work` makes of each band, some beside each other."""
    return each(work, list(bands(height, width)))


class Field(ABC):
    """Floats for each value of a picture, `(3, H, W)`, that are computed for the rows that somebody asks for."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width

    @abstractmethod
    def computed(self, rows: slice) -> Tensor:
        """The values of these rows, `(3, rows, W)`; asked for by several threads at once."""

    def rows(self, rows: slice) -> Tensor:
        """The values of these rows, `(3, rows, W)`, not to be changed. Of a picture of one band, all are kept."""
        return self._whole[:, rows] if self.height * self.width <= _BAND else self.computed(rows)

    @property
    def norm(self) -> float:
        """The L2 norm of all values."""
        return self._extent[0]

    @property
    def largest(self) -> float:
        """The largest absolute value."""
        return self._extent[1]

    @cached_property
    def mean(self) -> float:
        """The mean absolute value."""
        sizes = by_bands(lambda rows: float(torch.linalg.vector_norm(self.rows(rows), 1)), self.height, self.width)
        return sum(sizes) / (3 * self.height * self.width)

    @cached_property
    def histogram(self) -> Tensor:
        """How many are how large, in `BINS` equal steps up to the largest.

        Of a large picture some rows and columns stand for all: what comes back from a canvas of some hundred pixels
        changes little from each to the next.
        """
        every, most = max(1, min(self.height, self.width) // _TELLING), self.largest

        def counted(rows: slice) -> Tensor:
            values = self.rows(rows)[:, ::every, ::every].abs()
            return torch.histc(values, bins=BINS, min=0, max=most).double()

        counts = torch.stack(by_bands(counted, self.height, self.width)).sum(0)
        return counts * (3 * self.height * self.width / counts.sum())

    @cached_property
    def _extent(self) -> tuple[float, float]:
        def measured(rows: slice) -> tuple[float, float]:
            values = self.rows(rows).flatten()
            low, high = values.aminmax()
            return float(values.dot(values)), max(-float(low), float(high))

        squares, sizes = zip(*by_bands(measured, self.height, self.width), strict=True)
        return math.sqrt(sum(squares)), max(sizes)

    @cached_property
    def _whole(self) -> Tensor:
        return self.computed(slice(0, self.height))


class Computed(Field):
    """By a function of the rows."""

    def __init__(self, values: Callable[[slice], Tensor], height: int, width: int) -> None:
        super().__init__(height, width)
        self._values = values

    def computed(self, rows: slice) -> Tensor:
        return self._values(rows)
