"""Ideal images: gradient descent on the input, from noise, until the network is sure of what it sees.

Whether the result looks like it, too, depends on what is optimised (a spectrum, many views, a prior): see `PRESETS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor

from app.vision.ask import Algorithm, Answer, Ask, Progress
from app.vision.classifier import Classifier
from app.vision.synthesis.descent import PixelDescent, Schedule, SpectrumDescent, State, Views, resized
from app.vision.synthesis.facets import Facet, facets_of
from app.vision.synthesis.film import Film, frame_size, is_frame, tiled
from app.vision.synthesis.objectives import ClassObjective, ImageObjective
from app.vision.synthesis.outcome import Outcome

Preset = Literal["clear", "fine", "quick", "lesson", "raw"]

PRESETS: Final[Mapping[Preset, Schedule]] = {
    "clear": Schedule(144, 2, 0.1),
    "fine": Schedule(192, 3, 0.1),
    "quick": Schedule(32),
    "lesson": Schedule(160),
    "raw": Schedule(160),
}
_VARIATION: Final = 1000.0
_PREVIEW: Final = 384, 384


@dataclass(frozen=True)
class IdealImage(Facet):
    """The first picture, and all `facets`, itself included. `success` is that of all, `start` the score of the first
    noise.
    """

    start: float
    steps: int
    hint: str | None
    """What to try, if it was not successful."""
    animation: bytes
    facets: Sequence[Facet]


def ideal_image(
    classifier: Classifier,
    aim: ImageObjective,
    *,
    preset: Preset = "clear",
    steps: int | None = None,
    seed: int = 0,
    size: int = 224,
    count: int = 1,
    diversity: float = 1.0,
    partners: Sequence[Classifier] = (),
    others: Sequence[Classifier] = (),
    resume: State | None = None,
) -> Algorithm[IdealImage]:
    """A picture of `size` pixels that the network, and its `partners`, take for the aim.

    With a `count`, so many at once that are to differ, the more so the larger `diversity` is (0: each for itself).
    `others` are asked what they see in the file. With partners the aim is a class, which each of them must have; with
    partners or a count the preset is not one of pixels. Raises `UnknownLabelError`, `ValueError`.
    """
    schedule = replace(PRESETS[preset], pictures=count, diversity=diversity)
    schedule = replace(schedule, steps=steps or schedule.steps)
    picture = _start(classifier, aim, preset, schedule, seed, size, partners)
    steps, state = schedule.steps, dict(resume or {})
    film = Film(count, size)
    score, start = (float(one) for one in state.get("scores", torch.zeros(2, dtype=torch.float64)))
    if resume:
        picture.restore(resume)
        film.restore(resume["frames"])
    first = int(state.get("step", torch.tensor(1)))
    preview = frame_size(count, size, *_PREVIEW)
    for step in range(first, steps + 1):
        is_new = step > first or not resume
        if is_new and is_frame(step, steps):
            film.take(picture.render(film.size))
        views = picture.look(step)

        def state_now(step: int = step, score: float = score, start: float = start) -> dict[str, Tensor]:
            scores = torch.tensor([score, start], dtype=torch.float64)
            return {**picture.state(), "step": torch.tensor(step), "scores": scores, "frames": film.state()}

        progress = Progress(step, steps, score)
        answers = yield from _ask(views, progress, lambda: tiled(picture.render(preview)), state_now)
        picture.descend(step, views, [answered.gradient for answered in answers])
        score = _score(aim, answers[0])
        start = start if step > 1 else score
    final = picture.render(size)
    film.take(resized(final, film.size))
    facets = yield from facets_of(classifier, aim, final, start, partners, others)
    failed = next((facet for facet in facets if not facet.success), None)
    shown = facets[0]
    return IdealImage(
        success=not failed,
        score=shown.score,
        png_score=shown.png_score,
        taken=shown.taken,
        similarity=shown.similarity,
        checks=shown.checks,
        final=shown.final,
        start=start,
        steps=steps,
        hint=_hint(classifier, aim, failed.taken, preset) if failed else None,
        animation=film.webp(),
        facets=facets,
    )


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
    schedule: Schedule,
    seed: int,
    size: int,
    partners: Sequence[Classifier],
) -> SpectrumDescent | PixelDescent:
    if preset in {"lesson", "raw"}:
        if partners or schedule.pictures > 1:
            raise ValueError(f"The preset {preset} draws one picture for one network.")
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


def _hint(classifier: Classifier, aim: ImageObjective, best: Outcome, preset: Preset) -> str:
    other = "another seed or more steps" if preset in {"clear", "fine"} else "another seed, more steps or preset=clear"
    if isinstance(aim, ClassObjective):
        became = f"It became {classifier.labels[best.index].label!r} ({best.score:.1%})"
        return f"{became}, not {classifier.labels[aim.index].label!r}: try {other}."
    return f"The channel is no more active than at the start: try {other}."
