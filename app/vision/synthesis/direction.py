"""Directions in which a picture may be changed, kept as networks see them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from app.vision.synthesis.field import Field
from app.vision.synthesis.resize import Region
from app.vision.synthesis.transformations import Passage

Way = tuple[int, tuple[str, int, int]]
"""Which victim's, and how pixels move on it."""


class Direction(Field):
    """The sum of what comes back to a region of a picture from canvases `(3, crop, crop)`; linear in these.

    A photo of 12 megapixels takes 89 MB as floats, and such a canvas 600 kB. What comes back is added up in one order,
    whatever that of the canvases, so that a run that goes on ends with the same bits.
    """

    def __init__(self, region: Region, ways: Mapping[Way, Passage], canvases: Mapping[Way, Tensor]) -> None:
        """`ways` are all that there are; those without a canvas bring nothing."""
        rows, columns = region
        super().__init__(rows.stop - rows.start, columns.stop - columns.start)
        self._region, self._ways = region, ways
        self._canvases = {way: canvases[way] for way in ways if way in canvases}

    def times(self, factor: float) -> "Direction":
        """So many times as long."""
        return Direction(self._region, self._ways, {way: factor * one for way, one in self._canvases.items()})

    def plus(self, other: "Direction") -> "Direction":
        """This one and another of the same region."""
        own, theirs = self._canvases, other._canvases
        both = {way: own[way] + theirs[way] for way in own.keys() & theirs.keys()}
        return Direction(self._region, self._ways, {**own, **theirs, **both})

    def state(self, name: str) -> dict[str, Tensor]:
        """What `restored` takes to make it again, under names that begin with this one."""
        return {kept: self._canvases[way] for way, kept in self._names(name).items() if way in self._canvases}

    def restored(self, name: str, state: Mapping[str, Tensor]) -> "Direction":
        """Another of the same region, of a `state`; one without canvases if there is none of that name."""
        canvases = {way: state[kept] for way, kept in self._names(name).items() if kept in state}
        return Direction(self._region, self._ways, canvases)

    def _names(self, name: str) -> dict[Way, str]:
        return {way: f"{name}_{number}" for number, way in enumerate(self._ways)}

    def computed(self, rows: slice) -> Tensor:
        top, across = self._region[0].start, self._region[1]
        band = slice(top + rows.start, top + rows.stop)
        values = torch.zeros(3, band.stop - band.start, across.stop - across.start)
        for way, canvas in self._canvases.items():
            passage = self._ways[way]
            own, columns = passage.region
            part = slice(max(own.start, band.start), min(own.stop, band.stop)), columns
            if part[0].start < part[0].stop:
                passage.add_pulled_back_(part_of(values, (band, across), part), canvas, part)
        return values


def part_of(values: Tensor, whole: Region, part: Region) -> Tensor:
    """Of values `(3, h, w)` of the rows and columns `whole`, those of `part` of these; a view."""
    rows, columns = (slice(one.start - own.start, one.stop - own.start) for one, own in zip(part, whole, strict=True))
    return values[:, rows, columns]
