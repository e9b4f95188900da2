"""Adversarial images: changes of whole grey levels, at the picture's own size, that move a network to another answer.

All are algorithms that ask. `Attack.picture` is the best that was found; whether it fools is for whoever saves it to
measure, on the saved file.
"""

import math
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Algorithm, Ask
from app.vision.image import ImageLimits
from app.vision.pixels import pixels_of
from app.vision.synthesis.quantization import round_to_norm, whole_levels, within_levels
from app.vision.synthesis.scene import Attack, Scene, State
from app.vision.synthesis.transformations import TRANSFORMATIONS, transformed

Method = Literal["robust", "minimal", "pgd", "fgsm", "lesson"]
Norm = Literal["linf", "l2"]
STEPS: Final = {"robust": 28, "minimal": 20, "pgd": 40, "fgsm": 1, "lesson": 100}
"""What each method takes at most, if nothing else is asked for."""


_LADDER: Final = (2, 3, 4, 6, 8, 12, 16)
_STEPS_A_RUNG: Final = 4
_SIGMA: Final = 0.8
_CAPS: Final = ((0, 1), (8, 2), (12, 4), (16, None))
_RESERVE: Final = 0.3
"""Logits by which a picture must have crossed the boundary: the served network rounds a little differently."""
_MINIMAL_RESERVE: Final = 1.0


def pgd(
    scene: Scene, *, epsilon: float | None, norm: Norm, steps: int | None, resume: State | None = None
) -> Algorithm[Attack]:
    """Projected gradient descent (Madry 2018) on whole levels, with momentum, until it is beyond the boundary.

    `epsilon` is in [0, 1]: 2/255 by default, or 3.0 for the L2 norm of all values.
    """
    steps = steps or STEPS["pgd"]
    bound = (epsilon or (2 / 255 if norm == "linf" else 3.0)) * 255
    start = scene.resize.start()
    state = dict(resume or {})
    change, velocity = state.get("change", torch.zeros_like(start)), state.get("velocity", torch.zeros_like(start))
    best, best_margin = state.get("best", change), float(state.get("margin", torch.tensor(-math.inf)))
    step_size, levels = max(1, round(bound / 2)), whole_levels(bound / 255)
    score = float(state["score"]) if "score" in state else None
    for step in range(int(state.get("step", torch.tensor(1))), steps + 1):
        kept = {"change": change, "velocity": velocity, "best": best, "step": torch.tensor(step)}
        kept["margin"] = torch.tensor(best_margin, dtype=torch.float64)
        answered = yield scene.ask(scene.seen(change), change, step, steps, score, kept)
        logits = answered.logits[0]
        margin, score = scene.criterion.margin(logits), scene.criterion.probability(logits)
        if margin > best_margin:
            best, best_margin = change, margin
        if margin > _RESERVE:
            return Attack(scene.resize.changed(best), step - 1)
        gradient = scene.pull_back(answered)
        velocity = 0.75 * velocity + gradient / gradient.abs().mean().clamp(min=1e-20)
        if norm == "linf":
            size = max(1, step_size // (1 + step // 10))
            change = within_levels((change + size * velocity.sign()).clamp(-levels, levels), start)
        else:
            moved = change + velocity * (bound / 4 / velocity.norm().clamp(min=1e-20))
            change = round_to_norm(moved, min(float(moved.norm()), 0.98 * bound), start, None)
    return Attack(scene.resize.changed(best), steps)


def fgsm(scene: Scene, *, epsilon: float | None, norm: Norm) -> Algorithm[Attack]:
    """One step along the gradient's sign (Goodfellow 2015); along the gradient itself for the L2 norm.

    `epsilon` bounds every value in [0, 1] (L∞, by default 8/255), or the L2 norm of all values (by default 3.0).
    """
    start = scene.resize.start()
    none = torch.zeros_like(start)
    answered = yield scene.ask(scene.seen(none), none, 1, 1, None, {})
    gradient = scene.pull_back(answered)
    if norm == "l2":
        change = round_to_norm(gradient, 0.98 * (epsilon or 3.0) * 255, start, None)
    else:
        change = within_levels(gradient.sign() * whole_levels(epsilon or 8 / 255), start)
    return Attack(scene.resize.changed(change), 1)


def lesson(scene: Scene, *, epsilon: float | None, steps: int | None, resume: State | None = None) -> Algorithm[Attack]:
    """Plain gradient descent on the pixels, until the answer flips.

    `epsilon` bounds every value in [0, 1] (L∞); by default nothing is bounded.
    """
    steps = steps or STEPS["lesson"]
    start = scene.resize.start()
    state = dict(resume or {})
    moved = state.get("moved", torch.zeros_like(start))
    score = float(state["score"]) if "score" in state else None
    change = within_levels(moved.round(), start)
    for step in range(int(state.get("step", torch.tensor(1))), steps + 1):
        kept = {"moved": moved, "step": torch.tensor(step)}
        answered = yield scene.ask(scene.seen(change), change, step, steps, score, kept)
        logits = answered.logits[0]
        score = scene.criterion.probability(logits)
        if scene.criterion.margin(logits) > _RESERVE:
            return Attack(scene.resize.changed(change), step - 1)
        gradient = scene.pull_back(answered)
        moved = moved + gradient / gradient.abs().max().clamp(min=1e-20)
        if epsilon:
            moved = moved.clamp(-whole_levels(epsilon), whole_levels(epsilon))
        change = within_levels(moved.round(), start)
    return Attack(scene.resize.changed(change), steps)


def minimal(
    scene: Scene, *, epsilon: float | None, steps: int | None, resume: State | None = None
) -> Algorithm[Attack]:
    """The smallest change in L2: its direction and its norm are searched apart (as DDN, Rony 2019), on whole levels.

    Every step sees the picture that would be saved. The norm shrinks after a success and grows after a failure; no
    value changes by more than 1, then 2, then 4 levels while nothing was found. A line search ends it. With `epsilon`
    (the L2 norm in [0, 1] units) nothing larger is tried.
    """
    steps = steps or STEPS["minimal"]
    start = scene.resize.start()
    limit = epsilon * 255 if epsilon else math.inf
    scale = max(math.sqrt(start[0].numel()) / scene.classifier.backbone.preprocessing.crop, 0.25)
    state = dict(resume or {})
    zero = torch.zeros_like(start)
    direction, change, best = (state.get(name, zero) for name in ("direction", "change", "best"))
    searched = state.get("searched", torch.tensor([min(255 * scale, limit), math.inf, 0], dtype=torch.float64))
    norm, best_norm, found = float(searched[0]), float(searched[1]), int(searched[2])
    score = float(state["score"]) if "score" in state else None
    for step in range(int(state.get("step", torch.tensor(1))), steps + 1):
        kept = {"direction": direction, "change": change, "best": best, "step": torch.tensor(step)}
        kept["searched"] = torch.tensor([norm, best_norm, found], dtype=torch.float64)
        answered = yield scene.ask(scene.seen(change), change, step, steps, score, kept)
        logits = answered.logits[0]
        score = scene.criterion.probability(logits)
        size = float(change.norm())
        if scene.criterion.margin(logits) > _MINIMAL_RESERVE:
            if size < best_norm:
                best, best_norm = direction, size
            found = found or step
            norm = min(norm, size) * 0.85
        else:
            norm = min(norm * 1.15, best_norm * 0.985) if found else min(norm * 1.05, limit)
        gradient = scene.pull_back(answered)
        share = 0.01 + 0.99 * (1 + math.cos(math.pi * (step - 1) / steps)) / 2
        direction = direction + gradient * (255 * scale * share / max(float(gradient.norm()), 1e-12))
        direction = direction * (norm / max(float(direction.norm()), 1e-12))
        change = round_to_norm(direction, norm, start, _cap(step + 1, found, steps))
    if not found:
        return Attack(scene.resize.changed(change), steps)
    change = yield from _shrink(scene, best, best_norm, start, _cap(found, found, steps))
    return Attack(scene.resize.changed(change), found)


def _cap(step: int, found: int, steps: int) -> int | None:
    """By how many levels a value may change in this step; as it was when the first success was found."""
    at = (found or step) - 1
    return [cap for begin, cap in _CAPS if at * 20 >= begin * steps][-1]


def _shrink(scene: Scene, direction: Tensor, norm: float, start: Tensor, cap: int | None) -> Algorithm[Tensor]:
    """The smallest change along a direction that still succeeds, of norms 70 to 100 % of the one that does."""
    low, high = 0.7, 1.0
    best = round_to_norm(direction, norm, start, cap)
    for _ in range(3):
        points = [low + (high - low) * third / 3 for third in (1, 2)]  # two at once cost as much as one
        changes = [round_to_norm(direction, norm * point, start, cap) for point in points]
        answered = yield Ask(scene.classifier, torch.cat([scene.seen(change) for change in changes]))
        for point, change, logits in zip(points, changes, answered.logits, strict=True):
            if scene.criterion.margin(logits) > _MINIMAL_RESERVE:
                best, high = change, point
                break
            low = point
    return best


def robust(
    scene: Scene,
    *,
    epsilon: float | None,
    steps: int | None,
    seed: int,
    limits: ImageLimits,
    resume: State | None = None,
) -> Algorithm[Attack]:
    """The smallest epsilon of a ladder whose picture survives PNG, JPEG 95, 90 and 75, and half the size.

    Expectation over transformations (Athalye 2018): momentum sign steps (Dong 2018), each through two transformations
    that still fail, with a blurred gradient; then all are checked by real encodes. `epsilon`, in [0, 1], bounds every
    value (L∞); below 1/255 nothing can be changed.
    """
    rungs = [levels for levels in _LADDER if epsilon is None or levels <= whole_levels(epsilon)]
    rungs = rungs or [whole_levels(epsilon or 0.0)]
    plan = [(rung, step) for rung in rungs for step in range(_STEPS_A_RUNG)][: steps or STEPS["robust"]]
    preprocessing = scene.classifier.backbone.preprocessing
    start = scene.resize.start()
    state = dict(resume or {})
    change, velocity = (state.get(name, torch.zeros_like(start)) for name in ("change", "velocity"))
    weak = [TRANSFORMATIONS[index] for index in state.get("weak", torch.arange(len(TRANSFORMATIONS))).tolist()]
    score = float(state["score"]) if "score" in state else None
    for number in range(int(state.get("number", torch.tensor(0))), len(plan)):
        rung, step = plan[number]
        kept = {"change": change, "velocity": velocity, "number": torch.tensor(number)}
        kept["weak"] = torch.tensor([TRANSFORMATIONS.index(name) for name in weak])
        generator = torch.Generator().manual_seed(seed * 1009 + number)
        chosen = [weak[index] for index in torch.randperm(len(weak), generator=generator)[:2].tolist()]
        picture = scene.resize.changed(change)
        canvases = pixels_of(*(transformed(name, picture, scene.resize, preprocessing, limits) for name in chosen))
        answered = yield scene.ask(canvases, change, number + 1, len(plan), score, kept)
        gradient = scene.resize.pull_back(_blur(answered.gradient.mean(0)))
        velocity = 0.9 * velocity + gradient / gradient.abs().mean().clamp(min=1e-20)
        change = within_levels((change + max(1, round(rung / 3)) * velocity.sign()).clamp(-rung, rung), start)
        if step < _STEPS_A_RUNG - 1 and number < len(plan) - 1:
            continue
        picture = scene.resize.changed(change)
        canvases = pixels_of(
            *(transformed(name, picture, scene.resize, preprocessing, limits) for name in TRANSFORMATIONS)
        )
        checked = yield Ask(scene.classifier, canvases)
        margins = dict(zip(TRANSFORMATIONS, map(scene.criterion.margin, checked.logits), strict=True))
        score = scene.criterion.probability(checked.logits[0])
        if min(margins.values()) > _RESERVE:
            return Attack(picture, number + 1)
        weak = [name for name, margin in margins.items() if margin < _RESERVE + 2] or list(TRANSFORMATIONS)
    return Attack(scene.resize.changed(change), len(plan))


def _blur(gradient: Tensor) -> Tensor:
    """Gaussian, on the canvas, where it costs the same for a picture of any size."""
    kernel = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * _SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    rows = functional.conv2d(gradient[None], kernel, padding=(0, 2), groups=3)
    return functional.conv2d(rows, kernel.transpose(2, 3), padding=(2, 0), groups=3)[0]
