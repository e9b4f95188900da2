"""What every attack works on: who is to be fooled, when it is, and the picture through the resize of the network."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from app.vision.ask import Activity, Answer, Ask, Progress
from app.vision.classifier import Classifier
from app.vision.image import Canvas
from app.vision.pixels import pixels_of
from app.vision.synthesis.resize import ResizeOperator

State = Mapping[str, Tensor]
_PREVIEW: Final = 320


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
class Attack:
    """`picture` is `(H, W, 3)`; `steps` those until it was found, or all that were tried."""

    picture: Canvas
    steps: int


@dataclass(frozen=True)
class Scene:
    """What all methods work on: who is to be fooled, into what, and by which picture through which resize."""

    classifier: Classifier
    resize: ResizeOperator
    criterion: Criterion

    def ask(self, canvas: Tensor, change: Tensor, step: int, steps: int, score: float | None, state: State) -> Ask:
        """For the canvas `(n, 3, H, W)` that a change of the picture makes; `state` is all that the method needs to go
        on.
        """
        return Ask(
            self.classifier,
            canvas,
            self.criterion.rise,
            progress=Progress(step, steps, score),
            preview=lambda: self._preview(change),
            state=lambda: {**state, **({} if score is None else {"score": torch.tensor(score, dtype=torch.float64)})},
        )

    def _preview(self, change: Tensor) -> Tensor:
        pixels = torch.from_numpy(self.resize.changed(change)).permute(2, 0, 1)
        stride = max(1, max(pixels.shape) // _PREVIEW)
        return pixels[:, ::stride, ::stride].float() / 255

    def seen(self, change: Tensor) -> Tensor:
        """The canvas `(1, 3, H, W)` in [0, 1] that the network sees of the changed picture."""
        return pixels_of(self.resize.canvas(self.resize.changed(change)))

    def pull_back(self, answered: Answer) -> Tensor:
        """The gradient `(3, h, w)` of the mean score, in the region of the picture that the network sees."""
        return self.resize.pull_back(answered.gradient.mean(0))
