"""Gradient descent on the input, a step at a time: of a spectrum seen through random views, or of the pixels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Activity, Objective
from app.vision.classifier import Classifier
from app.vision.synthesis.objectives import (
    ChannelObjective,
    ImageObjective,
    channel_objective,
    objective_of_class,
)
from app.vision.synthesis.parametrizations import Spectrum
from app.vision.synthesis.priors import NormPrior, gram_similarity, total_variation
from app.vision.synthesis.resize import ResizeOperator
from app.vision.synthesis.views import random_views

State = Mapping[str, Tensor]
_PRIOR: Final = 3.0
_DIVERSITY: Final = 8.0
"""What pictures that are alike altogether cost each other at first, in units of the objective; towards the end nothing,
so that those which went astray come back. With 10, one of three zebras became a banana leaf.
"""
_CANVASES: Final = 12
"""In a step, for each network: more of them, at their whole size, take more than half a gigabyte."""
_AVERAGING: Final = 0.9
_GROWTH: Final = ((0.34, 0.5), (0.67, 0.72), (1.0, 1.0))
"""Until which part of the steps the network sees what part of its input size: coarse first, and cheap."""
_STEP_SIZE: Final = 0.03
_JITTER: Final = 0.07
"""Share of the picture's size: a little more than the border that the network does not see."""


@dataclass(frozen=True)
class Views:
    """What one network is shown in a step, picture by picture: `canvas` `(n, 3, S, S)` is attached to what is
    optimised.
    """

    classifier: Classifier
    canvas: Tensor
    objective: Objective
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """`views` of each picture a step for each network, fewer of more than four pictures; the other networks join the
    first after the share `joins` of the steps.

    `pictures` are drawn at once, with a penalty for being alike, `diversity`.
    """

    steps: int
    views: int = 3
    learning_rate: float = 0.15
    joins: float = 0.0
    growth: tuple[tuple[float, float], ...] = _GROWTH
    pictures: int = 1
    diversity: float = 0.0


class SpectrumDescent:
    """A spectrum, seen through random views, with the prior of the networks' norms, by Adam with averaging.

    Several networks take part with an objective each; their gradients are of length 1 before they are added, so that
    none outvotes another because its logits are large.
    """

    def __init__(
        self, members: Sequence[tuple[Classifier, ImageObjective]], schedule: Schedule, seed: int, size: int
    ) -> None:
        self._members = [_Member(classifier, aim, schedule) for classifier, aim in members]
        self._schedule, self._seed = schedule, seed
        self._number = max(1, min(schedule.views, _CANVASES // schedule.pictures))
        self._spectrum = Spectrum(size)
        self._coefficients = self._spectrum.noise(schedule.pictures, torch.Generator().manual_seed(seed))
        self._momentum = torch.zeros_like(self._coefficients)
        self._squares = torch.zeros_like(self._coefficients)
        self._average = self._coefficients.clone()  # a checkpoint holds no tensor twice

    def look(self, step: int) -> list[Views]:
        """For each network that takes part in this step, at less than its whole input size in the first ones."""
        self._coefficients = self._coefficients.detach().requires_grad_()
        done = self._done(step)
        number = len(self._members) if done >= self._schedule.joins else 1
        return [self._views(step, place) for place in range(number)]

    def _views(self, step: int, place: int) -> Views:
        member, done = self._members[place], self._done(step)
        part = next(part for until, part in self._schedule.growth if done <= until)
        seen = member.crop if part == 1 else max(64, round(member.crop * part / 32) * 32)
        pixels = self._spectrum.render(self._coefficients, round(self._spectrum.size * seen / member.crop / 2) * 2)
        generator = torch.Generator().manual_seed(self._seed * 100_003 + step + 50_021 * place)
        canvas = random_views(pixels, self._number, seen, done, generator)
        return Views(member.classifier, canvas, member.objective(done), member.layers)

    def descend(self, step: int, views: Sequence[Views], gradients: Sequence[Tensor]) -> None:
        """Adam (Kingma 2015), its learning rate falling with a cosine, and averaged over the second half."""
        slopes = [
            torch.autograd.grad(view.canvas, self._coefficients, -gradient)[0]
            for view, gradient in zip(views, gradients, strict=True)
        ]
        slope = slopes[0] if len(self._members) == 1 else torch.stack([_of_length_1(one) for one in slopes]).sum(0)
        self._momentum = 0.9 * self._momentum + 0.1 * slope
        self._squares = 0.999 * self._squares + 0.001 * slope * slope
        done = self._done(step)
        rate = self._schedule.learning_rate * (0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2)
        direction = (self._momentum / (1 - 0.9**step)) / ((self._squares / (1 - 0.999**step)).sqrt() + 1e-8)
        self._coefficients = self._coefficients.detach() - rate * direction
        weight = 1 - _AVERAGING if done > 0.5 else 1.0
        self._average = self._average.lerp(self._coefficients, weight)

    def render(self, size: int) -> Tensor:
        """Pixels `(pictures, 3, size, size)` in [0, 1] of the averaged coefficients, `size` odd or even."""
        with torch.no_grad():
            whole = self._spectrum.render(self._average, (size + 1) // 2 * 2)
        return whole[..., :size, :size]

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs to go on, bit for bit."""
        return {
            "coefficients": self._coefficients.detach(),
            "momentum": self._momentum,
            "squares": self._squares,
            "average": self._average,
        }

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        self._coefficients, self._average = state["coefficients"], state["average"]
        self._momentum, self._squares = state["momentum"], state["squares"]

    def _done(self, step: int) -> float:
        return (step - 1) / max(1, self._schedule.steps - 1)


class _Member:
    """A network that takes part: what is to rise, less what its prior holds against it, and its input size."""

    def __init__(self, classifier: Classifier, aim: ImageObjective, schedule: Schedule) -> None:
        self.classifier, self.crop = classifier, classifier.backbone.preprocessing.crop
        self._rising, self.layers = _rising(classifier, aim, schedule.pictures)
        self._schedule, self._layer = schedule, diversity_layer(classifier)
        if schedule.pictures > 1:
            self.layers = tuple(dict.fromkeys((*self.layers, self._layer)))

    def objective(self, done: float) -> Objective:
        """Of several pictures, each is to be unlike the others, too; the less so the more of the steps are done."""
        strength = _DIVERSITY * self._schedule.diversity * (1 - done)
        number = self._schedule.pictures
        if number == 1 or not strength:
            return self._rising

        def rise(seen: Activity) -> Tensor:
            alike = gram_similarity(seen.layers[self._layer], number)
            views = len(seen.logits) // number
            return self._rising(seen) - strength * alike.repeat_interleave(views)

        return rise


def diversity_layer(classifier: Classifier) -> str:
    """Where pictures are to differ: at the end of the last stage but one, in textures and parts."""
    return classifier.backbone.card.stages[-2]


def _rising(classifier: Classifier, aim: ImageObjective, pictures: int) -> tuple[Objective, tuple[str, ...]]:
    """The objective with the prior, for a class, and the layers that it looks at."""
    if isinstance(aim, ChannelObjective):
        return channel_objective(aim), (aim.layer,)
    prior, rising = NormPrior(classifier.backbone), objective_of_class(classifier, aim.index)

    def rise(seen: Activity) -> Tensor:
        views = len(seen.logits) // pictures
        parts = zip(*(torch.split(activations, views) for activations in seen.layers.values()), strict=True)
        distances = [prior.distance(dict(zip(seen.layers, part, strict=True))) for part in parts]
        return rising(seen) - _PRIOR * torch.stack(distances).repeat_interleave(views)

    return (rise, prior.layers) if prior.layers else (rising, ())


def _of_length_1(slope: Tensor) -> Tensor:
    """Picture by picture."""
    return functional.normalize(slope.flatten(1), dim=1).reshape(slope.shape)


class PixelDescent:
    """The pixels themselves, by normalised gradient descent on the logit; the variation loss makes them smooth.

    The logit, since cross-entropy stops pulling once the network is sure, and leaves the variation loss to flatten
    everything. The network sees the pixels through its preprocessing, as it will see the saved file (otherwise that
    would not fool even itself), shifted by some pixels at random.
    """

    def __init__(
        self, classifier: Classifier, aim: ImageObjective, schedule: Schedule, *, size: int, seed: int, variation: float
    ) -> None:
        self._classifier, self._aim, self._schedule, self._seed = classifier, aim, schedule, seed
        self._variation = variation
        self._resize = ResizeOperator(np.zeros((size, size, 3), np.uint8), classifier.backbone.preprocessing)
        noise = torch.randn(3, size, size, generator=torch.Generator().manual_seed(seed))
        self._pixels = (0.5 + 0.1 * noise).clamp(0, 1)

    def look(self, step: int) -> list[Views]:
        """The canvas `(1, 3, crop, crop)` that the network makes of the pixels, which were shifted in a circle."""
        rows, columns = self._resize.region
        shifted = torch.roll(self._pixels, self._shift(step), (1, 2))
        canvas = self._resize.project(shifted[:, rows, columns]).clamp(0, 1)[None]
        if isinstance(self._aim, ChannelObjective):
            return [Views(self._classifier, canvas, channel_objective(self._aim), (self._aim.layer,))]
        index = self._aim.index
        return [Views(self._classifier, canvas, lambda seen: seen.logits[:, index])]

    def descend(self, step: int, _views: Sequence[Views], gradients: Sequence[Tensor]) -> None:
        """A step whose size depends on the schedule alone and falls with a cosine, however long the gradient is."""
        down, across = self._shift(step)
        rows, columns = self._resize.region
        slope = torch.zeros_like(self._pixels)
        slope[:, rows, columns] = -self._resize.pull_back(gradients[0][0])
        slope = torch.roll(slope, (-down, -across), (1, 2))
        if self._variation:
            pixels = self._pixels.detach().requires_grad_()
            (rough,) = torch.autograd.grad(self._variation * total_variation(pixels), pixels)
            slope = slope + rough
        rate = _STEP_SIZE * (0.02 + 0.98 * (1 + math.cos(math.pi * step / self._schedule.steps)) / 2)
        self._pixels = (self._pixels - rate * slope / slope.square().mean().sqrt().clamp(min=1e-12)).clamp(0, 1)

    def render(self, size: int) -> Tensor:
        """Pixels `(1, 3, size, size)` in [0, 1]."""
        return resized(self._pixels[None], size)

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs to go on, bit for bit."""
        return {"pixels": self._pixels}

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        self._pixels = state["pixels"]

    def _shift(self, step: int) -> tuple[int, int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + step)
        most = max(1, round(_JITTER * self._pixels.shape[1]))
        down, across = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
        return down, across


def resized(pixels: Tensor, size: int) -> Tensor:
    """Pixels `(n, 3, H, W)` in [0, 1] as `(n, 3, size, size)`, bicubic."""
    if pixels.shape[2] == size:
        return pixels
    return functional.interpolate(pixels, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
