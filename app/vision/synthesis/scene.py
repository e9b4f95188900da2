"""What every attack works on: who is to be fooled, when they are, and the picture on its ways to them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from app.vision.ask import Activity, Algorithm, Ask, Progress
from app.vision.classifier import Classifier
from app.vision.image import Canvas
from app.vision.pixels import pixels_of
from app.vision.synthesis.quantization import bands
from app.vision.synthesis.resize import Region
from app.vision.synthesis.transformations import Passage

State = Mapping[str, Tensor]
_PREVIEW: Final = 320
_FOOLED_WELL: Final = 2.0
"""Logits beyond the boundary from which on a network need not be pulled any further, while others are behind."""


@dataclass(frozen=True)
class Criterion:
    """To be taken for `target`; without one, for anything but `source`. With `score`, with that probability."""

    source: int
    target: int | None = None
    score: float | None = None

    def reached(self, logits: Tensor) -> bool:
        """By one row of logits, `(classes,)`."""
        return self.margin(logits) > 0

    def margin(self, logits: Tensor) -> float:
        """How far one row of logits, `(classes,)`, is beyond the boundary; negative before it."""
        wanted, others = self._sides(logits[None])
        if self.score is None:
            return float((wanted.amax(1) - others.amax(1)).item())
        odds = math.log(self.score / (1 - self.score))
        return float((wanted.logsumexp(1) - others.logsumexp(1)).item()) - odds

    def probability(self, logits: Tensor) -> float:
        """Of being taken for what is wanted, by one row of logits, `(classes,)`."""
        probabilities = logits.softmax(0)
        return float(probabilities[self.target] if self.target is not None else 1 - probabilities[self.source])

    def rise(self, seen: Activity) -> Tensor:
        """A smooth margin, `(n,)`."""
        wanted, others = self._sides(seen.logits)
        return (wanted.logsumexp(1) if self.target is not None else wanted.amax(1)) - others.logsumexp(1)

    def _sides(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        chosen = self.source if self.target is None else self.target
        one = logits[:, chosen : chosen + 1]
        rest = torch.cat([logits[:, :chosen], logits[:, chosen + 1 :]], 1)
        return (rest, one) if self.target is None else (one, rest)


@dataclass(frozen=True)
class Patch:
    """`printable` is a PNG, transparent outside the disc, whose diameter is in pixels of the picture and which covers
    `share` of it; at `fooled` of `places` random places it fools all.
    """

    printable: bytes
    diameter: int
    share: float
    places: int
    fooled: int


@dataclass(frozen=True)
class Attack:
    """`picture` is `(H, W, 3)`; `steps` those until it was found, or all that were tried."""

    picture: Canvas
    steps: int
    patch: Patch | None = None


@dataclass(frozen=True)
class Victim:
    """A network that is to be fooled, and the ways on which pictures reach it; `png` is one of them."""

    classifier: Classifier
    criterion: Criterion
    passages: Mapping[str, Passage]


@dataclass(frozen=True)
class Look:
    """`margin` and `probability` are of the victim that is furthest from being fooled; along the gradient, `(3, h, w)`
    in the region, it rises.
    """

    margin: float
    probability: float
    gradient: Tensor


@dataclass(frozen=True)
class Moment:
    """How far a method has come: `change` of the picture, and in `state` all that it needs to go on.

    `shown` is what there is to see meanwhile, `(3, H, W)` in [0, 1]; by default the changed picture.
    """

    change: Tensor
    step: int
    steps: int
    score: float | None
    state: State
    shown: Tensor | None = None


class Scene:
    """A picture `(H, W, 3)` and those who are to be fooled by it, all at once.

    `region` are the rows and columns that any of them sees something of; changes `(3, h, w)` are of these.
    """

    def __init__(self, picture: Canvas, victims: Sequence[Victim]) -> None:
        self.picture, self.victims = picture, victims
        seen = [passage.region for victim in victims for passage in victim.passages.values()]
        rows, columns = (
            slice(min(part.start for part in parts), max(part.stop for part in parts))
            for parts in zip(*seen, strict=True)
        )
        self.region: Region = rows, columns

    def start(self) -> Tensor:
        """The grey levels of the region, `(3, h, w)`, `uint8`."""
        return torch.from_numpy(self.picture[self.region]).permute(2, 0, 1)

    def unchanged(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """No change, `(3, h, w)`."""
        return torch.zeros(self.start().shape, dtype=dtype)

    def changed(self, change: Tensor) -> Canvas:
        """The picture with a change of whole levels that stays within 0..255."""
        picture, start = self.picture.copy(), self.start()
        region = torch.from_numpy(picture[self.region]).permute(2, 0, 1)
        for rows in bands(*change.shape[1:]):
            region[:, rows] = (start[:, rows] + change[:, rows].short()).to(torch.uint8)
        return picture

    def pulled_back(self, pulls: Iterable[tuple[Passage, Tensor]], rows: slice) -> Tensor:
        """What comes back to these rows of the region from canvases `(3, crop, crop)`, in all: `(3, rows, w)`."""
        whole, across = self.region
        band = slice(whole.start + rows.start, min(whole.start + rows.stop, whole.stop))
        values = torch.zeros(3, band.stop - band.start, across.stop - across.start)
        for passage, gradient in pulls:
            own, columns = passage.region
            part = slice(max(own.start, band.start), min(own.stop, band.stop)), columns
            if part[0].start < part[0].stop:
                passage.add_pulled_back_(_part(values, (band, across), part), gradient, part)
        return values

    def look(self, now: Moment) -> Algorithm[Look]:
        """Ask all about the picture that would be saved now.

        Gradients of several are of mean size 1 before they are added, and only of those that are not fooled well.
        """
        picture = self.changed(now.change)
        looks = []
        for victim in self.victims:
            passage = victim.passages["png"]
            answered = yield self.ask(victim, pixels_of(passage.canvas(picture)), now)
            logits = answered.logits[0]
            gradient = self.pulled_back([(passage, answered.gradient[0])], slice(0, self.start().shape[1]))
            looks.append(Look(victim.criterion.margin(logits), victim.criterion.probability(logits), gradient))
        if len(looks) == 1:
            return looks[0]
        behind = [look for look in looks if look.margin < _FOOLED_WELL] or looks
        pull = torch.stack([look.gradient / mean_size(look.gradient) for look in behind]).sum(0)
        return Look(min(look.margin for look in looks), min(look.probability for look in looks), pull)

    def margins(self, changes: Sequence[Tensor]) -> Algorithm[list[float]]:
        """Of the victim that is furthest from being fooled, for each of the changed pictures."""
        pictures = [self.changed(change) for change in changes]
        margins = [math.inf] * len(pictures)
        for victim in self.victims:
            canvases = pixels_of(*(victim.passages["png"].canvas(picture) for picture in pictures))
            answered = yield Ask(victim.classifier, canvases, verifies=True)
            margins = [
                min(margin, victim.criterion.margin(logits))
                for margin, logits in zip(margins, answered.logits, strict=True)
            ]
        return margins

    def ask(self, victim: Victim, canvases: Tensor, now: Moment) -> Ask:
        """How the victim's answer to canvases `(n, 3, H, W)` of the changed picture rises."""
        return Ask(
            victim.classifier,
            canvases,
            victim.criterion.rise,
            progress=Progress(now.step, now.steps, now.score),
            preview=lambda: self._preview(now.change) if now.shown is None else now.shown,
            state=lambda: {
                **now.state,
                **({} if now.score is None else {"score": torch.tensor(now.score, dtype=torch.float64)}),
            },
        )

    def part(self, values: Tensor, region: Region) -> Tensor:
        """What a part of the region has of values `(3, h, w)` of all of it; whoever changes it changes them."""
        return _part(values, self.region, region)

    def _preview(self, change: Tensor) -> Tensor:
        pixels = torch.from_numpy(self.changed(change)).permute(2, 0, 1)
        stride = max(1, max(pixels.shape) // _PREVIEW)
        return pixels[:, ::stride, ::stride].float() / 255


def _part(values: Tensor, whole: Region, part: Region) -> Tensor:
    """Of values `(3, h, w)` of the rows and columns `whole`, those of `part` of these; a view."""
    rows, columns = (slice(one.start - own.start, one.stop - own.start) for one, own in zip(part, whole, strict=True))
    return values[:, rows, columns]


def mean_size(gradient: Tensor) -> Tensor:
    """The mean of the absolute values; gradients are divided by it so that no network outvotes another because its
    logits are large.
    """
    mean: Tensor = torch.linalg.vector_norm(gradient, 1) / gradient.numel()
    return mean.clamp(min=1e-20)
