"""Ideal images: gradient descent on the input, from noise, until the network is sure of what it sees.

Whether the result looks like it, too, depends on what is optimised (a spectrum, many views, a prior): see `PRESETS`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Activity, Algorithm, Ask, Objective, Progress
from app.vision.classifier import Classifier
from app.vision.feature_space import FeatureSpace
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.pixels import pixels_of, to_levels
from app.vision.synthesis.outcome import Outcome, outcome_of
from app.vision.synthesis.parametrizations import Spectrum
from app.vision.synthesis.priors import NormPrior, total_variation
from app.vision.synthesis.resize import ResizeOperator
from app.vision.synthesis.transformations import png_of
from app.vision.synthesis.views import random_views

Preset = Literal["clear", "quick", "lesson", "raw"]
State = Mapping[str, Tensor]

PRESETS: Final[Mapping[str, int]] = {"clear": 64, "quick": 32, "lesson": 96, "raw": 96}
"""Steps."""
_VIEWS: Final = 3
_LEARNING_RATE: Final = 0.15
_PRIOR: Final = 3.0
_AVERAGING: Final = 0.9
_GROWTH: Final = ((0.34, 0.5), (0.67, 0.72), (1.0, 1.0))
"""Until which part of the steps the network sees what part of its input size: coarse first, and cheap."""
_VARIATION: Final = 5.0
_STEP_SIZE: Final = 0.02
_FRAMES: Final = 40
_FRAME: Final = 192


@dataclass(frozen=True)
class ClassObjective:
    index: int


@dataclass(frozen=True)
class ChannelObjective:
    """A channel of a layer, or the one neuron of it in column `x` and row `y` at the network's own input size."""

    layer: str
    channel: int
    x: int | None = None
    y: int | None = None


ImageObjective = ClassObjective | ChannelObjective


@dataclass(frozen=True)
class Check:
    """What another network takes the saved picture for."""

    classifier: Classifier
    taken: Outcome
    agrees: bool


@dataclass(frozen=True)
class IdealImage:
    """`score` is that of the picture in memory, `png_score` that of the saved file through the classification path.

    Both are probabilities for a class, and mean activations for a channel. `start` is the score of the first noise.
    """

    success: bool
    score: float
    png_score: float
    start: float
    taken: Outcome
    steps: int
    checks: Sequence[Check]
    final: bytes
    animation: bytes


def ideal_image(
    classifier: Classifier,
    aim: ImageObjective,
    *,
    preset: Preset = "clear",
    steps: int | None = None,
    seed: int = 0,
    size: int = 224,
    others: Sequence[Classifier] = (),
    resume: State | None = None,
) -> Algorithm[IdealImage]:
    """A picture of `size` pixels that the network takes for the aim. `others` are asked what they see in the file."""
    steps = steps or PRESETS[preset]
    crop = classifier.backbone.preprocessing.crop
    picture: _Waves | _Pixels
    if preset in {"clear", "quick"}:
        picture = _Waves(classifier, aim, steps, seed, min(size, crop) // 2 * 2)
    else:
        picture = _Pixels(classifier, aim, size, seed, _VARIATION if preset == "lesson" else 0.0)
    state = dict(resume or {})
    frames: list[Canvas] = list(state["frames"].numpy()) if resume else []
    score, start = (float(one) for one in state.get("scores", torch.zeros(2, dtype=torch.float64)))
    if resume:
        picture.restore(resume)
    first = int(state.get("step", torch.tensor(1)))
    frame = min(size, _FRAME) // 2 * 2
    for step in range(first, steps + 1):
        is_new = step > first or not resume
        if is_new and (step - 1) * _FRAMES // steps != (step - 2) * _FRAMES // steps:
            frames.append(to_levels(picture.render(frame)))
        canvas = picture.canvas(step)
        answered = yield Ask(
            classifier,
            canvas.detach(),
            picture.objective(step),
            layers=picture.layers,
            progress=Progress(step, steps, score),
            preview=lambda: picture.render(min(size, 2 * _FRAME)),
            state=lambda: {
                **picture.state(),
                "step": torch.tensor(step),  # noqa: B023
                "scores": torch.tensor([score, start], dtype=torch.float64),  # noqa: B023
                "frames": torch.from_numpy(np.stack(frames)),
            },
        )
        picture.descend(step, canvas, answered.gradient)
        if isinstance(aim, ClassObjective):
            score = float(answered.logits.softmax(1)[:, aim.index].mean())
        else:
            score = float(answered.scores.mean())
        start = start if step > 1 else score
    final = picture.render_final(size)
    frames.append(to_levels(_resized(final, frame)))
    return (yield from _report(classifier, aim, final, frames, start, steps, others))


class _Waves:
    """A spectrum, seen through random views, with the prior of the network's norms, by Adam with averaging."""

    def __init__(self, classifier: Classifier, aim: ImageObjective, steps: int, seed: int, size: int) -> None:
        self._aim, self._steps, self._seed = aim, steps, seed
        self._crop = classifier.backbone.preprocessing.crop
        self._spectrum = Spectrum(size)
        self._prior = NormPrior(classifier.backbone) if isinstance(aim, ClassObjective) else None
        self.layers = (aim.layer,) if isinstance(aim, ChannelObjective) else self._prior.layers if self._prior else ()
        self._classifier = classifier
        self._coefficients = self._spectrum.noise(torch.Generator().manual_seed(seed))
        self._momentum = torch.zeros_like(self._coefficients)
        self._squares = torch.zeros_like(self._coefficients)
        self._average = self._coefficients

    def canvas(self, step: int) -> Tensor:
        """Attached to the coefficients; shows less than the whole resolution in the first steps."""
        self._coefficients = self._coefficients.detach().requires_grad_()
        part = next(part for until, part in _GROWTH if (step - 1) / max(1, self._steps - 1) <= until)
        seen = self._crop if part == 1 else max(64, round(self._crop * part / 32) * 32)
        pixels = self._spectrum.render(self._coefficients, round(self._spectrum.size * seen / self._crop / 2) * 2)
        generator = torch.Generator().manual_seed(self._seed * 100_003 + step)
        return random_views(pixels, _VIEWS, seen, (step - 1) / max(1, self._steps - 1), generator)

    def objective(self, _step: int) -> Objective:
        if isinstance(self._aim, ChannelObjective):
            return channel_objective(self._aim)
        aim, prior = _aim_at(self._classifier, self._aim.index), self._prior

        def rise(seen: Activity) -> Tensor:
            score = aim(seen)
            return score - _PRIOR * prior.distance(seen.layers) if prior and prior.layers else score

        return rise

    def descend(self, step: int, canvas: Tensor, gradient: Tensor) -> None:
        """Adam (Kingma 2015), its learning rate falling with a cosine, and averaged over the second half."""
        (slope,) = torch.autograd.grad(canvas, self._coefficients, -gradient)
        self._momentum = 0.9 * self._momentum + 0.1 * slope
        self._squares = 0.999 * self._squares + 0.001 * slope * slope
        done = (step - 1) / max(1, self._steps - 1)
        rate = _LEARNING_RATE * (0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2)
        direction = (self._momentum / (1 - 0.9**step)) / ((self._squares / (1 - 0.999**step)).sqrt() + 1e-8)
        self._coefficients = self._coefficients.detach() - rate * direction
        weight = 1 - _AVERAGING if done > 0.5 else 1.0
        self._average = self._average.lerp(self._coefficients, weight)

    def render(self, size: int) -> Tensor:
        with torch.no_grad():
            return self._spectrum.render(self._average.detach(), size // 2 * 2)

    def render_final(self, size: int) -> Tensor:
        with torch.no_grad():
            whole = self._spectrum.render(self._average.detach(), (size + 1) // 2 * 2)
        return whole[:, :size, :size]

    def state(self) -> dict[str, Tensor]:
        return {
            "coefficients": self._coefficients.detach(),
            "momentum": self._momentum,
            "squares": self._squares,
            "average": self._average.detach(),
        }

    def restore(self, state: State) -> None:
        self._coefficients, self._average = state["coefficients"], state["average"]
        self._momentum, self._squares = state["momentum"], state["squares"]


class _Pixels:
    """The pixels themselves, by plain gradient descent on cross-entropy; the variation loss makes them smooth.

    The network sees them through its preprocessing, as it will see the saved file: otherwise that would not fool even
    itself.
    """

    layers: tuple[str, ...]

    def __init__(self, classifier: Classifier, aim: ImageObjective, size: int, seed: int, variation: float) -> None:
        self._aim, self._variation = aim, variation
        self.layers = (aim.layer,) if isinstance(aim, ChannelObjective) else ()
        self._lens = ResizeOperator(np.zeros((size, size, 3), np.uint8), classifier.backbone.preprocessing)
        noise = torch.randn(3, size, size, generator=torch.Generator().manual_seed(seed))
        self._pixels = (0.5 + 0.1 * noise).clamp(0, 1)

    def canvas(self, _step: int) -> Tensor:
        rows, columns = self._lens.region
        return self._lens.project(self._pixels[:, rows, columns]).clamp(0, 1)[None]

    def objective(self, _step: int) -> Objective:
        aim = self._aim
        if isinstance(aim, ChannelObjective):
            return channel_objective(aim)
        return lambda seen: seen.logits.log_softmax(1)[:, aim.index]

    def descend(self, _step: int, _canvas: Tensor, gradient: Tensor) -> None:
        slope = torch.zeros_like(self._pixels)
        rows, columns = self._lens.region
        slope[:, rows, columns] = -self._lens.pull_back(gradient[0])
        if self._variation:
            pixels = self._pixels.detach().requires_grad_()
            (rough,) = torch.autograd.grad(self._variation * total_variation(pixels), pixels)
            slope = slope + rough
        step = _STEP_SIZE * slope / slope.square().mean().sqrt().clamp(min=1e-12)
        self._pixels = (self._pixels - step).clamp(0, 1)

    def render(self, size: int) -> Tensor:
        return _resized(self._pixels, size)

    def render_final(self, size: int) -> Tensor:
        return _resized(self._pixels, size)

    def state(self) -> dict[str, Tensor]:
        return {"pixels": self._pixels}

    def restore(self, state: State) -> None:
        self._pixels = state["pixels"]


def class_objective(weight: Tensor, index: int) -> Objective:
    """The logit, weighted with the cosine between the features and the class's direction.

    So strength that other classes share brings little. `weight` is the head's, `(classes, features)`.
    """
    direction = weight[index] - weight.mean(0)

    def rise(seen: Activity) -> Tensor:
        along = seen.features @ direction
        cosine = along / (seen.features.norm(dim=1) * direction.norm() + 1e-6)
        score: Tensor = 4 * along * cosine.clamp(min=0.05)
        return score

    return rise


def prototype_objective(space: FeatureSpace, index: int) -> Objective:
    """How far the standardised features lie along the class's prototype, weighted with the cosine to it.

    For heads that were learned on a few classes: a boundary between two says little about what either looks like.
    """

    def rise(seen: Activity) -> Tensor:
        rows = space.standardised(seen.features)
        along = rows @ space.prototypes[index]
        cosine = along / (rows.norm(dim=1) + 1e-6)
        score: Tensor = along * cosine.clamp(min=0.1)
        return score

    return rise


def _aim_at(classifier: Classifier, index: int) -> Objective:
    if classifier.space:
        return prototype_objective(classifier.space, index)
    return class_objective(classifier.head.weight, index)


def channel_objective(aim: ChannelObjective) -> Objective:
    """The mean activation of a channel, or that of one neuron wherever it lies at this input size."""

    def rise(seen: Activity) -> Tensor:
        activations = seen.layers[aim.layer][:, aim.channel]
        if aim.x is None and aim.y is None:
            return activations.mean((1, 2))
        height, width = activations.shape[1:]
        row = height // 2 if aim.y is None else min(aim.y, height - 1)
        column = width // 2 if aim.x is None else min(aim.x, width - 1)
        return activations[:, row, column]

    return rise


def _report(
    classifier: Classifier,
    aim: ImageObjective,
    final: Tensor,
    frames: Sequence[Canvas],
    start: float,
    steps: int,
    others: Sequence[Classifier],
) -> Algorithm[IdealImage]:
    """What the saved file is taken for, by this network and by others."""
    preprocessing = classifier.backbone.preprocessing
    png = png_of(to_levels(final), {"Software": "Inkblot", "Description": _note(classifier, aim)})
    saved = Picture.read(png, ImageLimits()).canvas(preprocessing)
    resize = ResizeOperator(to_levels(final), preprocessing)
    rows, columns = resize.region
    canvases = torch.cat([resize.project(final[:, rows, columns]).clamp(0, 1)[None], pixels_of(saved)])
    if isinstance(aim, ClassObjective):
        answered = yield Ask(classifier, canvases)
        scores = answered.logits.softmax(1)[:, aim.index]
    else:
        answered = yield Ask(classifier, canvases, channel_objective(aim), layers=(aim.layer,))
        scores = answered.scores
    best = outcome_of(answered.logits[1])
    checks = []
    for other in others if isinstance(aim, ClassObjective) else ():
        seen = yield Ask(other, pixels_of(Picture.read(png, ImageLimits()).canvas(other.backbone.preprocessing)))
        found = outcome_of(seen.logits[0])
        wanted = classifier.labels[aim.index].label  # type: ignore[union-attr]
        checks.append(Check(other, found, other.labels[found.index].label == wanted))
    return IdealImage(
        success=best.index == aim.index if isinstance(aim, ClassObjective) else float(scores[1]) > start,
        score=float(scores[0]),
        png_score=float(scores[1]),
        start=start,
        taken=best,
        steps=steps,
        checks=checks,
        final=png,
        animation=_animation(frames),
    )


def _note(classifier: Classifier, aim: ImageObjective) -> str:
    what = (
        classifier.labels[aim.index].label
        if isinstance(aim, ClassObjective)
        else f"channel {aim.channel} of {aim.layer}"
    )
    return f"Ideal image of {what!r}, drawn by gradient descent on the input of the model {classifier.card.name}."


def _resized(pixels: Tensor, size: int) -> Tensor:
    if pixels.shape[1] == size:
        return pixels
    return functional.interpolate(pixels[None], (size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)


def _animation(frames: Sequence[Canvas]) -> bytes:
    """WebP of about four seconds that holds its last picture."""
    first, *rest = (Image.fromarray(frame) for frame in frames)
    durations = [80] * len(rest) + [2000]
    file = BytesIO()
    first.save(file, "WEBP", save_all=True, append_images=rest, duration=durations, loop=0, quality=75, method=1)
    return file.getvalue()
