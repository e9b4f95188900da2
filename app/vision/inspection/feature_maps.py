"""Feature maps: which channels of a layer to show, and what they are in numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from app.vision.inspection.activations import Insight
    from app.vision.networks.layers import Layer

MOST: Final = 64
"""Channels in one answer."""
_ORDERED: Final = re.compile(r"(top|strongest):(\d{1,4})", re.ASCII)
_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


class ChannelsError(ValueError):
    """A choice of channels that cannot be."""


@dataclass(frozen=True)
class Channels:
    """Either so many channels in an order, or `indices`; see `parse`."""

    order: Literal["top", "strongest"] | None = None
    number: int = 0
    indices: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """`top:16` by contribution to the class, `strongest:16` by mean magnitude, `0,5,9` and `0-31` by index.

        Raises `ChannelsError`, also for more than `MOST`.
        """
        text = text.replace(" ", "")
        if ordered := _ORDERED.fullmatch(text):
            order: Literal["top", "strongest"] = "top" if ordered[1] == "top" else "strongest"
            chosen = cls(order, int(ordered[2]))
        else:
            chosen = cls(indices=tuple(dict.fromkeys(_indices(text))))
        if not 1 <= (chosen.number or len(chosen.indices)) <= MOST:
            raise ChannelsError(f"1 to {MOST} channels can be shown at once")
        return chosen

    def check(self, layer: "Layer") -> None:
        """Raises `ChannelsError` for an index that the layer does not have."""
        last = layer.shape[0] - 1
        if beyond := [index for index in self.indices if index > last]:
            raise ChannelsError(f"the layer {layer.name} has the channels 0 to {last}, not {beyond[0]}")

    def of(self, activations: Tensor, contributions: Tensor) -> list[int]:
        """The indices in activations `(C, H, W)` by contributions `(C,)`; of an order no more than there are."""
        if self.order is None:
            return list(self.indices)
        rank = contributions if self.order == "top" else activations.abs().mean((1, 2))
        found: list[int] = rank.argsort(descending=True, stable=True)[: self.number].tolist()
        return found


def _indices(text: str) -> Iterator[int]:
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise ChannelsError(f"{part!r} is none of top:16, strongest:16, 0,5,9 and 0-31")
        first = int(found[1])
        last = int(found[2]) if found[2] else first
        if last < first:
            raise ChannelsError(f"the range {part} runs backwards")
        yield from range(first, min(last, first + MOST) + 1)  # one too many is enough to be refused


@dataclass(frozen=True)
class ChannelNumbers:
    """`active_fraction` is the share of positions above zero."""

    channel: int
    mean: float
    max: float
    active_fraction: float
    contribution: float


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The activations `(C, H, W)` of one layer, the contributions `(C,)` to a class, and the channels to show."""

    layer: "Layer"
    index: int
    activations: Tensor
    contributions: Tensor
    channels: list[int]

    @classmethod
    def of(cls, insight: "Insight", place: "tuple[int, Layer]", channels: Channels) -> Self:
        """Of the layer and its index among all layers."""
        index, layer = place
        activations, contributions = insight.activations[layer.name], insight.contributions(layer.name)
        return cls(layer, index, activations, contributions, channels.of(activations, contributions))

    def numbers(self) -> list[ChannelNumbers]:
        """Of the channels to show, in their order."""
        return [
            ChannelNumbers(
                channel=channel,
                mean=float(self.activations[channel].mean()),
                max=float(self.activations[channel].max()),
                active_fraction=float((self.activations[channel] > 0).float().mean()),
                contribution=float(self.contributions[channel]),
            )
            for channel in self.channels
        ]

    def range_of(self, channel: int | None = None) -> tuple[float, float]:
        """Lowest and highest value of a channel; of all that are shown, without the outermost half percent.

        A few extreme neurons would leave all the others one colour.
        """
        if channel is not None:
            return float(self.activations[channel].min()), float(self.activations[channel].max())
        low, high = np.percentile(self.activations[self.channels].numpy(), (0.5, 99.5))
        return float(low), float(high)
