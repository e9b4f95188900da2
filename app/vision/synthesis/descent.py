"""Gradient descent on the input, a step at a time: of a spectrum seen through random views, or of the pixels."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Activity, Objective
from app.vision.classifier import Classifier
from app.vision.synthesis.objectives import (
    ChannelObjective,
    ClassObjective,
    ImageObjective,
    channel_objective,
    objective_of_class,
)
from app.vision.synthesis.parametrizations import Spectrum
from app.vision.synthesis.priors import NormPrior, total_variation
from app.vision.synthesis.resize import ResizeOperator
from app.vision.synthesis.views import random_views

State = Mapping[str, Tensor]
_VIEWS: Final = 3
_LEARNING_RATE: Final = 0.15
_PRIOR: Final = 3.0
_AVERAGING: Final = 0.9
_GROWTH: Final = ((0.34, 0.5), (0.67, 0.72), (1.0, 1.0))
"""Until which part of the steps the network sees what part of its input size: coarse first, and cheap."""
_STEP_SIZE: Final = 0.02


class SpectrumDescent:
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
        """Views `(views, 3, S, S)`, attached to the coefficients; they show less than the whole resolution in the first
        steps.
        """
        self._coefficients = self._coefficients.detach().requires_grad_()
        part = next(part for until, part in _GROWTH if (step - 1) / max(1, self._steps - 1) <= until)
        seen = self._crop if part == 1 else max(64, round(self._crop * part / 32) * 32)
        pixels = self._spectrum.render(self._coefficients, round(self._spectrum.size * seen / self._crop / 2) * 2)
        generator = torch.Generator().manual_seed(self._seed * 100_003 + step)
        return random_views(pixels, _VIEWS, seen, (step - 1) / max(1, self._steps - 1), generator)

    def objective(self, _step: int) -> Objective:
        """What is to rise, less what the prior holds against it."""
        if isinstance(self._aim, ChannelObjective):
            return channel_objective(self._aim)
        aim, prior = objective_of_class(self._classifier, self._aim.index), self._prior

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
        """Pixels `(3, size, size)` in [0, 1] of the averaged coefficients, `size` rounded down to an even number."""
        with torch.no_grad():
            return self._spectrum.render(self._average.detach(), size // 2 * 2)

    def render_final(self, size: int) -> Tensor:
        """Pixels `(3, size, size)` in [0, 1] of the averaged coefficients, `size` odd or even."""
        with torch.no_grad():
            whole = self._spectrum.render(self._average.detach(), (size + 1) // 2 * 2)
        return whole[:, :size, :size]

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs to go on, bit for bit."""
        return {
            "coefficients": self._coefficients.detach(),
            "momentum": self._momentum,
            "squares": self._squares,
            "average": self._average.detach(),
        }

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        self._coefficients, self._average = state["coefficients"], state["average"]
        self._momentum, self._squares = state["momentum"], state["squares"]


class PixelDescent:
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
        """The canvas `(1, 3, crop, crop)` that the network makes of the pixels."""
        rows, columns = self._lens.region
        return self._lens.project(self._pixels[:, rows, columns]).clamp(0, 1)[None]

    def objective(self, _step: int) -> Objective:
        """The log-probability of the class (so minus the cross-entropy), or the channel."""
        aim = self._aim
        if isinstance(aim, ChannelObjective):
            return channel_objective(aim)
        return lambda seen: seen.logits.log_softmax(1)[:, aim.index]

    def descend(self, _step: int, _canvas: Tensor, gradient: Tensor) -> None:
        """Normalised gradient descent: a step of the same size whatever the gradient is."""
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
        """Pixels `(3, size, size)` in [0, 1]."""
        return resized(self._pixels, size)

    def render_final(self, size: int) -> Tensor:
        """Pixels `(3, size, size)` in [0, 1]."""
        return resized(self._pixels, size)

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs to go on, bit for bit."""
        return {"pixels": self._pixels}

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        self._pixels = state["pixels"]


def resized(pixels: Tensor, size: int) -> Tensor:
    """Pixels `(3, H, W)` in [0, 1] as `(3, size, size)`, bicubic."""
    if pixels.shape[1] == size:
        return pixels
    return functional.interpolate(pixels[None], (size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)
