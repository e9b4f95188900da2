"""What a class's score rests on: Grad-CAM, integrated gradients and occlusion, each as a heat map over the canvas."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Activity, Algorithm, Answer, Ask, Objective

if TYPE_CHECKING:
    from app.vision.classifier import Classifier
    from app.vision.inspection.activations import Insight

Method = Literal["grad_cam", "integrated_gradients", "occlusion"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
_TOLERANCE: Final = 0.01
_AT_ONCE: Final = 4
"""Canvases in one ask: on two cores a pass of four takes 0.14 s, and more are no quicker."""
_NOTHING: Final = 0.1
"""Of a logit: a class that all of the picture together speaks for by less is not spoken for."""
_SIZE: Final = 56
"""Width and height of the heat map of integrated gradients: single pixels say nothing."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """A heat map `(h, w)` over the canvas, 0 to 1 at the hottest place, or 0 throughout if nothing speaks for it.

    `completeness_error`: how far integrated gradients' sum is from what it should be, as a share of that.
    """

    heat_map: Tensor
    completeness_error: float | None = None


def grad_cam(insight: "Insight", layer: str) -> Evidence:
    """The layer's channels weighted with their mean gradient, where they speak for the class (Selvaraju 2017)."""
    weights = insight.gradients[layer].mean((1, 2), keepdim=True)
    return Evidence(_upwards((weights * insight.activations[layer]).sum(0)))


def integrated_gradients(
    classifier: "Classifier", pixels: Tensor, target: int, *, most: int = 160
) -> Algorithm[Evidence]:
    """Of the pixels `(1, 3, H, W)`: which of them raise the target's logit on the way from a blurred picture to it.

    See `attributions`; the heat map takes their sum over the colours and over neighbours, where it is positive. Were
    only the positive ones summed, the map would show the contrasts of the picture, and hardly change with the head.
    """
    attributed, error = yield from attributions(classifier, pixels, blurred(pixels), target, most=most)
    if attributed.clamp(min=0).sum() < _NOTHING:  # rounding, not evidence
        attributed = torch.zeros_like(attributed)
    heat = functional.adaptive_avg_pool2d(attributed.sum(0, keepdim=True), _SIZE)
    return Evidence(_upwards(_smooth(heat, 5)[0]), error)


def attributions(
    classifier: "Classifier", pixels: Tensor, baseline: Tensor, target: int, *, most: int = 160
) -> Generator[Ask, Answer, tuple[Tensor, float]]:
    """Integrated gradients (Sundararajan 2017) of the target's logit, `(3, H, W)`, and their completeness error.

    Their sum should equal the difference of the two logits, which holds for each part of the path by itself as well.
    So the path is halved where its trapezium misses that most, until the whole sum is right to 1 % (of a tenth of a
    logit at least), or after `most` gradients.
    """
    difference = (pixels - baseline)[0]
    places = [number / 16 for number in range(17)]
    found = yield from _along(classifier, baseline, pixels, places, target)
    while True:
        total = max(abs(found[-1].logit - found[0].logit), _NOTHING)
        missed = [_missed(first, second, difference) for first, second in pairwise(found)]
        error = abs(sum(missed)) / total
        if error <= _TOLERANCE or len(found) + _AT_ONCE > most:
            break
        worst = sorted(range(len(missed)), key=lambda number: -abs(missed[number]))[:_AT_ONCE]
        middles = [(found[number].place + found[number + 1].place) / 2 for number in worst]
        found += yield from _along(classifier, baseline, pixels, middles, target)
        found.sort(key=lambda point: point.place)
    gradient = sum((one.gradient + two.gradient) * ((two.place - one.place) / 2) for one, two in pairwise(found))
    return gradient * difference, error


@dataclass(frozen=True, eq=False)
class _Point:
    place: float
    logit: float
    gradient: Tensor


def _along(
    classifier: "Classifier", start: Tensor, end: Tensor, places: Sequence[float], target: int
) -> Generator[Ask, Answer, list[_Point]]:
    found = []
    for first in range(0, len(places), _AT_ONCE):
        some = places[first : first + _AT_ONCE]
        canvases = torch.cat([start.lerp(end, place) for place in some])
        answered = yield Ask(classifier, canvases, logit_of(target))
        scores = answered.scores.tolist()
        found += [_Point(*point) for point in zip(some, scores, answered.gradient, strict=True)]
    return found


def _missed(one: _Point, two: _Point, difference: Tensor) -> float:
    estimate = float(((one.gradient + two.gradient) * difference).sum()) * (two.place - one.place) / 2
    return two.logit - one.logit - estimate


def occlusion(classifier: "Classifier", pixels: Tensor, target: int, *, batch: int = _AT_ONCE) -> Algorithm[Evidence]:
    """How far the target's logit falls when a window of the pixels `(1, 3, H, W)` is blurred (Zeiler & Fergus 2014).

    The window is a third of the canvas wide, its middle at 9 × 9 places from edge to edge, so that the corners are not
    left to single windows, whose chance hits would be the hottest; each pixel gets the mean over the windows that hide
    it. `batch` windows are asked for at once.
    """
    hidden, size = blurred(pixels), pixels.shape[-1]
    half = size // 6
    middles = [round(number * size / 8) for number in range(9)]
    spans = [slice(max(0, middle - half), middle + half) for middle in middles]
    windows = [(rows, columns) for rows in spans for columns in spans]
    whole = float((yield Ask(classifier, pixels)).logits[0, target])
    fallen, covered = torch.zeros(size, size), torch.zeros(size, size)
    for first in range(0, len(windows), batch):
        some = windows[first : first + batch]
        canvases = pixels.repeat(len(some), 1, 1, 1)
        for canvas, window in zip(canvases, some, strict=True):
            canvas[..., *window] = hidden[0][..., *window]
        logits = (yield Ask(classifier, canvases)).logits[:, target]
        for logit, window in zip(logits.tolist(), some, strict=True):
            fallen[window] += whole - logit
            covered[window] += 1
    heat = functional.adaptive_avg_pool2d((fallen / covered)[None], _SIZE // 2)[0]
    if heat.max() < _NOTHING / 10:  # of one window
        heat = torch.zeros_like(heat)
    return Evidence(_upwards(heat))


def logit_of(target: int) -> Objective:
    """The logit of one class, `(n,)`."""

    def objective(activity: Activity) -> Tensor:
        return activity.logits[:, target]

    return objective


def blurred(pixels: Tensor) -> Tensor:
    """The picture without anything to recognise, `(1, 3, H, W)`: it has the colours, and no edges that black would."""
    coarse = functional.interpolate(pixels, size=7, mode="area")
    return functional.interpolate(coarse, size=pixels.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


def _smooth(maps: Tensor, width: int) -> Tensor:
    """Twice the mean over `width` × `width`, of `(1, H, W)`."""
    for _ in range(2):
        maps = functional.avg_pool2d(maps, width, stride=1, padding=width // 2, count_include_pad=False)
    return maps


def _upwards(heat: Tensor) -> Tensor:
    positive = heat.clamp(min=0).cpu()
    highest = positive.max()
    return positive / highest if highest > 0 else positive
