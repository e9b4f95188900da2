"""Ideal images: gradient descent on the input, from noise, until the network is sure of what it sees.

Whether the result looks like it, too, depends on what is optimised (a spectrum, many views, a prior): see `PRESETS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.vision.ask import Algorithm, Ask, Progress
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.pixels import pixels_of, to_levels
from app.vision.synthesis.descent import PixelDescent, SpectrumDescent, State, resized
from app.vision.synthesis.objectives import (
    ClassObjective,
    ImageObjective,
    channel_objective,
)
from app.vision.synthesis.outcome import Outcome, outcome_of
from app.vision.synthesis.resize import ResizeOperator
from app.vision.synthesis.transformations import png_of

Preset = Literal["clear", "quick", "lesson", "raw"]

PRESETS: Final[Mapping[str, int]] = {"clear": 64, "quick": 32, "lesson": 96, "raw": 96}
"""Steps."""
_VARIATION: Final = 5.0
_FRAMES: Final = 40
_FRAME: Final = 192


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
    picture: SpectrumDescent | PixelDescent
    if preset in {"clear", "quick"}:
        picture = SpectrumDescent(classifier, aim, steps, seed, min(size, crop) // 2 * 2)
    else:
        picture = PixelDescent(classifier, aim, size, seed, _VARIATION if preset == "lesson" else 0.0)
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
    frames.append(to_levels(resized(final, frame)))
    return (yield from _report(classifier, aim, final, frames, start, steps, others))


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


def _animation(frames: Sequence[Canvas]) -> bytes:
    """WebP of about four seconds that holds its last picture."""
    first, *rest = (Image.fromarray(frame) for frame in frames)
    durations = [80] * len(rest) + [2000]
    file = BytesIO()
    first.save(file, "WEBP", save_all=True, append_images=rest, duration=durations, loop=0, quality=75, method=1)
    return file.getvalue()
