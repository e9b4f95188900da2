"""Ideal images: gradient descent on the input, from noise, until the network is sure of what it sees.

Whether the result looks like it, too, depends on what is optimised (a spectrum, many views, a prior): see `PRESETS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.vision.ask import Algorithm, Answer, Ask, Progress
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.pixels import pixels_of, to_levels
from app.vision.synthesis.descent import PixelDescent, Schedule, SpectrumDescent, State, Views, resized
from app.vision.synthesis.objectives import (
    ClassObjective,
    ImageObjective,
    channel_objective,
)
from app.vision.synthesis.outcome import Outcome, outcomes_of
from app.vision.synthesis.resize import ResizeOperator
from app.vision.synthesis.transformations import png_of

Preset = Literal["clear", "fine", "quick", "lesson", "raw"]

PRESETS: Final[Mapping[Preset, Schedule]] = {
    "clear": Schedule(96, learning_rate=0.12),
    "fine": Schedule(192, learning_rate=0.1),
    "quick": Schedule(32),
    "lesson": Schedule(160),
    "raw": Schedule(160),
}
_VARIATION: Final = 1000.0
_FRAMES: Final = 40
_FRAME: Final = 192


@dataclass(frozen=True)
class Check:
    """What another network takes the saved picture for; unless it took part, it is held out."""

    classifier: Classifier
    taken: Outcome
    agrees: bool
    took_part: bool


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
    hint: str | None
    """What to try, if it was not successful."""
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
    partners: Sequence[Classifier] = (),
    others: Sequence[Classifier] = (),
    resume: State | None = None,
) -> Algorithm[IdealImage]:
    """A picture of `size` pixels that the network, and its `partners`, take for the aim.

    `others` are asked what they see in the file. With partners the aim is a class, which each of them must have, and
    the preset not one of pixels. Raises `UnknownLabelError`, `ValueError`.
    """
    picture = _start(classifier, aim, preset, steps, seed, size, partners)
    steps = steps or PRESETS[preset].steps
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
        shown = picture.look(step)

        def state_now(step: int = step, score: float = score, start: float = start) -> dict[str, Tensor]:
            scores = torch.tensor([score, start], dtype=torch.float64)
            known = {"step": torch.tensor(step), "scores": scores, "frames": torch.from_numpy(np.stack(frames))}
            return {**picture.state(), **known}

        progress = Progress(step, steps, score)
        answers = yield from _ask(shown, progress, lambda: picture.render(min(size, 2 * _FRAME)), state_now)
        picture.descend(step, shown, [answered.gradient for answered in answers])
        score = _score(aim, answers[0])
        start = start if step > 1 else score
    final = picture.render(size)
    frames.append(to_levels(resized(final, frame)))
    return (yield from _report(classifier, aim, final, frames, start, steps, preset, partners, others))


def _ask(
    shown: Sequence[Views],
    progress: Progress,
    preview: Callable[[], Tensor],
    state: Callable[[], Mapping[str, Tensor]],
) -> Algorithm[list[Answer]]:
    """One network after the other; the state is that before the step for all of them."""
    answers: list[Answer] = []
    for views in shown:
        answered = yield Ask(
            views.classifier,
            views.canvas.detach(),
            views.objective,
            layers=views.layers,
            progress=progress,
            preview=preview,
            state=state,
        )
        answers.append(answered)
    return answers


def _start(
    classifier: Classifier,
    aim: ImageObjective,
    preset: Preset,
    steps: int | None,
    seed: int,
    size: int,
    partners: Sequence[Classifier],
) -> SpectrumDescent | PixelDescent:
    schedule = PRESETS[preset]
    schedule = replace(schedule, steps=steps or schedule.steps)
    if preset in {"lesson", "raw"}:
        if partners:
            raise ValueError(f"The preset {preset} draws for one network.")
        variation = _VARIATION if preset == "lesson" else 0.0
        return PixelDescent(classifier, aim, schedule, size=size, seed=seed, variation=variation)
    crop = classifier.backbone.preprocessing.crop
    members = [(classifier, aim), *((partner, _same_class(classifier, aim, partner)) for partner in partners)]
    return SpectrumDescent(members, schedule, seed, min(size, crop) // 2 * 2)


def _same_class(classifier: Classifier, aim: ImageObjective, partner: Classifier) -> ClassObjective:
    if not isinstance(aim, ClassObjective):
        raise ValueError("Of several networks, only a class can be drawn.")
    return ClassObjective(partner.labels.find(classifier.labels[aim.index].label).index)


def _score(aim: ImageObjective, answered: Answer) -> float:
    if isinstance(aim, ClassObjective):
        return float(answered.logits.softmax(1)[:, aim.index].mean())
    return float(answered.scores.mean())


def _report(
    classifier: Classifier,
    aim: ImageObjective,
    final: Tensor,
    frames: Sequence[Canvas],
    start: float,
    steps: int,
    preset: Preset,
    partners: Sequence[Classifier],
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
    best = outcomes_of(classifier, answered)[1]
    checks = []
    for other in (*partners, *others) if isinstance(aim, ClassObjective) else ():
        seen = yield Ask(other, pixels_of(Picture.read(png, ImageLimits()).canvas(other.backbone.preprocessing)))
        (found,) = outcomes_of(other, seen)
        wanted = classifier.labels[aim.index].label  # type: ignore[union-attr]
        checks.append(Check(other, found, other.labels[found.index].label == wanted, other in partners))
    success = best.index == aim.index if isinstance(aim, ClassObjective) else float(scores[1]) > start
    return IdealImage(
        success=success,
        score=float(scores[0]),
        png_score=float(scores[1]),
        start=start,
        taken=best,
        steps=steps,
        checks=checks,
        hint=None if success else _hint(classifier, aim, best, preset),
        final=png,
        animation=_animation(frames),
    )


def _hint(classifier: Classifier, aim: ImageObjective, best: Outcome, preset: Preset) -> str:
    other = "another seed or more steps" if preset in {"clear", "fine"} else "another seed, more steps or preset=clear"
    if isinstance(aim, ClassObjective):
        became = f"It became {classifier.labels[best.index].label!r} ({best.score:.1%})"
        return f"{became}, not {classifier.labels[aim.index].label!r}: try {other}."
    return f"The channel is no more active than at the start: try {other}."


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
