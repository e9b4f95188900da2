"""What there is for each value of a picture, by bands of rows: of tens of megapixels it need never be there at once."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

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
        self._found: dict[str, Any] = {}

    @abstractmethod
    def computed(self, rows: slice) -> Tensor:
        """The values of these rows, `(3, rows, W)`; asked for by several threads at once."""

    def rows(self, rows: slice) -> Tensor:
        """The values of these rows, `(3, rows, W)`, not to be changed. Of a picture of one band, all are kept."""
        if self.height * self.width > _BAND:
            return self.computed(rows)
        whole: Tensor = self._once("whole", lambda: self.computed(slice(0, self.height)))
        return whole[:, rows]

    @property
    def norm(self) -> float:
        """The L2 norm of all values."""
        return float(self._once("extent", self._extent)[0])

    @property
    def largest(self) -> float:
        """The largest absolute value."""
        return float(self._once("extent", self._extent)[1])

    @property
    def mean(self) -> float:
        """The mean absolute value."""

        def measured() -> float:
            sizes = by_bands(lambda rows: float(torch.linalg.vector_norm(self.rows(rows), 1)), self.height, self.width)
            return sum(sizes) / (3 * self.height * self.width)

        return float(self._once("mean", measured))

    @property
    def histogram(self) -> Tensor:
        """How many are how large, in `BINS` equal steps up to the largest.

        Of a large picture some rows and columns stand for all: what comes back from a canvas of some hundred pixels
        changes little from each to the next.
        """
        counts: Tensor = self._once("histogram", self._histogram)
        return counts

    def _extent(self) -> tuple[float, float]:
        def measured(rows: slice) -> tuple[float, float]:
            values = self.rows(rows).flatten()
            low, high = values.aminmax()
            return float(values.dot(values)), max(-float(low), float(high))

        squares, sizes = zip(*by_bands(measured, self.height, self.width), strict=True)
        return math.sqrt(sum(squares)), max(sizes)

    def _histogram(self) -> Tensor:
        every, most = max(1, min(self.height, self.width) // _TELLING), self.largest

        def counted(rows: slice) -> Tensor:
            values = self.rows(rows)[:, ::every, ::every].abs()
            return torch.histc(values, bins=BINS, min=0, max=most).double()

        counts = torch.stack(by_bands(counted, self.height, self.width)).sum(0)
        return counts * (3 * self.height * self.width / counts.sum())

    def _once(self, name: str, find: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Without a lock: `cached_property` of Python 3.11 has one for all pictures, which threads would wait for."""
        if name not in self._found:
            self._found[name] = find()
        return self._found[name]


class Computed(Field):
    """By a function of the rows."""

    def __init__(self, values: Callable[[slice], Tensor], height: int, width: int) -> None:
        super().__init__(height, width)
        self._values = values

    def computed(self, rows: slice) -> Tensor:
        return self._values(rows)
