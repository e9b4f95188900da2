"""What every attack works on: who is to be fooled, when they are, and the picture on its ways to them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from app.vision.ask import Activity, Algorithm, Ask, Progress
from app.vision.classifier import Classifier
from app.vision.image import Canvas
from app.vision.pixels import pixels_of
from app.vision.synthesis.direction import Direction, Way
from app.vision.synthesis.field import by_bands
from app.vision.synthesis.transformations import Passage

if TYPE_CHECKING:
    from app.vision.synthesis.resize import Region

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
    """`margin` and `probability` are of the victim that is furthest from being fooled; along the direction margins
    rise.
    """

    margin: float
    probability: float
    direction: Direction


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
        self._ways = {
            (place, one.geometry): one for place, victim in enumerate(victims) for one in victim.passages.values()
        }

    def start(self) -> Tensor:
        """The grey levels of the region, `(3, h, w)`, `uint8`."""
        return torch.from_numpy(self.picture[self.region]).permute(2, 0, 1)

    def unchanged(self) -> Tensor:
        """No change, `(3, h, w)`."""
        return torch.zeros(self.start().shape, dtype=torch.int8)

    def changed(self, change: Tensor) -> Canvas:
        """The picture with a change of whole levels that stays within 0..255."""
        picture, start = self.picture.copy(), self.start()
        region = torch.from_numpy(picture[self.region]).permute(2, 0, 1)

        def change_rows(rows: slice) -> None:
            region[:, rows] = start[:, rows] + change[:, rows].short()

        by_bands(change_rows, *change.shape[1:])
        return picture

    def direction(self, canvases: Mapping[Way, Tensor]) -> Direction:
        """What comes back from these canvases `(3, crop, crop)`; from none, no direction."""
        return Direction(self.region, self._ways, canvases)

    def restored(self, name: str, state: State) -> Direction:
        """A direction of a `state`; none if there is none of that name."""
        return self.direction({}).restored(name, state)

    def look(self, now: Moment) -> Algorithm[Look]:
        """Ask all about the picture that would be saved now.

        Gradients of several are of mean size 1 before they are added, and only of those that are not fooled well.
        """
        picture = self.changed(now.change)
        looks = []
        for place, victim in enumerate(self.victims):
            passage = victim.passages["png"]
            answered = yield self.ask(victim, pixels_of(passage.canvas(picture)), now)
            logits = answered.logits[0]
            direction = self.direction({(place, passage.geometry): answered.gradient[0]})
            looks.append(Look(victim.criterion.margin(logits), victim.criterion.probability(logits), direction))
        if len(looks) == 1:
            return looks[0]
        behind = [look for look in looks if look.margin < _FOOLED_WELL] or looks
        pull = self.direction({})
        for look in behind:
            pull = pull.plus(of_mean_1(look.direction))
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

    def _preview(self, change: Tensor) -> Tensor:
        pixels = torch.from_numpy(self.changed(change)).permute(2, 0, 1)
        stride = max(1, max(pixels.shape) // _PREVIEW)
        return pixels[:, ::stride, ::stride].float() / 255


def of_mean_1(direction: Direction) -> Direction:
    """So long that the mean of its values' sizes is 1."""
    return direction.times(1 / max(direction.mean, 1e-20))


def mean_size(gradient: Tensor) -> Tensor:
    """The mean of the absolute values; gradients are divided by it so that no network outvotes another because its
    logits are large.
    """
    mean: Tensor = torch.linalg.vector_norm(gradient, 1) / gradient.numel()
    return mean.clamp(min=1e-20)
