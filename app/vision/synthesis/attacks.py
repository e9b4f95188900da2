"""Adversarial images: changes of whole grey levels, at the picture's own size, that move a network to another answer.

All are algorithms that ask. `Attack.picture` is the best that was found; whether it fools is for whoever saves it to
measure, on the saved file.
"""

import math
from functools import partial
from typing import Final, Literal

import torch
from torch import Tensor

from app.vision.ask import Algorithm
from app.vision.synthesis.field import Computed, Field, by_bands
from app.vision.synthesis.quantization import norm_of, round_to_norm, rounded, signed_step, whole_levels
from app.vision.synthesis.scene import Attack, Moment, Scene, State, of_mean_1

Method = Literal["robust", "minimal", "pgd", "fgsm", "lesson", "patch"]
Norm = Literal["linf", "l2"]
STEPS: Final = {"minimal": 20, "pgd": 40, "fgsm": 1, "lesson": 100}
"""What each of these methods takes at most, if nothing else is asked for."""
_CAPS: Final = ((0, 1), (8, 2), (12, 4), (16, None))
RESERVE: Final = 0.3
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
    start = scene.start()
    state = dict(resume or {})
    change = state.get("change", scene.unchanged())
    velocity = scene.restored("velocity", state)
    best, best_margin = state.get("best", change), float(state.get("margin", torch.tensor(-math.inf)))
    step_size, levels = max(1, round(bound / 2)), whole_levels(bound / 255)
    score = float(state["score"]) if "score" in state else None
    for step in range(int(state.get("step", torch.tensor(1))), steps + 1):
        kept = {"change": change, "best": best, "step": torch.tensor(step), **velocity.state("velocity")}
        kept["margin"] = torch.tensor(best_margin, dtype=torch.float64)
        look = yield from scene.look(Moment(change, step, steps, score, kept))
        margin, score = look.margin, look.probability
        if margin > best_margin:
            best, best_margin = change, margin
        if margin > RESERVE:
            return Attack(scene.changed(best), step - 1)
        velocity = velocity.times(0.75).plus(of_mean_1(look.direction))
        if norm == "linf":
            size = max(1, step_size // (1 + step // 10))
            change = signed_step(change, velocity, size, levels, start)
        else:
            moved = _moved(change, velocity.times(bound / 4 / max(velocity.norm, 1e-20)))
            change = round_to_norm(moved, min(moved.norm, 0.98 * bound), start, None)
    return Attack(scene.changed(best), steps)


def fgsm(scene: Scene, *, epsilon: float | None, norm: Norm) -> Algorithm[Attack]:
    """One step along the gradient's sign (Goodfellow 2015); along the gradient itself for the L2 norm.

    `epsilon` bounds every value in [0, 1] (L∞, by default 8/255), or the L2 norm of all values (by default 3.0).
    """
    start = scene.start()
    none = scene.unchanged()
    look = yield from scene.look(Moment(none, 1, 1, None, {}))
    if norm == "l2":
        change = round_to_norm(look.direction, 0.98 * (epsilon or 3.0) * 255, start, None)
    else:
        levels = whole_levels(epsilon or 8 / 255)
        change = signed_step(none, look.direction, levels, levels, start)
    return Attack(scene.changed(change), 1)


def lesson(scene: Scene, *, epsilon: float | None, steps: int | None, resume: State | None = None) -> Algorithm[Attack]:
    """Plain gradient descent on the pixels, until the answer flips.

    `epsilon` bounds every value in [0, 1] (L∞); by default nothing is bounded.
    """
    steps = steps or STEPS["lesson"]
    start = scene.start()
    state = dict(resume or {})
    moved = state["moved"].clone() if "moved" in state else scene.unchanged().float()
    bound = whole_levels(epsilon) if epsilon else math.inf
    score = float(state["score"]) if "score" in state else None
    change = rounded(moved, start)
    for step in range(int(state.get("step", torch.tensor(1))), steps + 1):
        kept = {"moved": moved, "step": torch.tensor(step)}
        look = yield from scene.look(Moment(change, step, steps, score, kept))
        score = look.probability
        if look.margin > RESERVE:
            return Attack(scene.changed(change), step - 1)
        slope = look.direction.times(1 / max(look.direction.largest, 1e-20))
        by_bands(partial(_add_, moved, slope, bound), *start.shape[1:])
        change = rounded(moved, start)
    return Attack(scene.changed(change), steps)


def minimal(
    scene: Scene, *, epsilon: float | None, steps: int | None, resume: State | None = None
) -> Algorithm[Attack]:
    """The smallest change in L2: its direction and its norm are searched apart (as DDN, Rony 2019), on whole levels.

    Every step sees the picture that would be saved. The norm shrinks after a success and grows after a failure; no
    value changes by more than 1, then 2, then 4 levels while nothing was found. A line search ends it. With `epsilon`
    (the L2 norm in [0, 1] units) nothing larger is tried.
    """
    steps = steps or STEPS["minimal"]
    start = scene.start()
    limit = epsilon * 255 if epsilon else math.inf
    scale = max(math.sqrt(start[0].numel()) / scene.victims[0].classifier.backbone.preprocessing.crop, 0.25)
    state = dict(resume or {})
    direction, best = (scene.restored(name, state) for name in ("direction", "best"))
    search = state.get("search", torch.tensor([min(255 * scale, limit), math.inf, 0, 1], dtype=torch.float64)).tolist()
    norm, best_norm, found, first = search[0], search[1], int(search[2]), int(search[3])
    score = float(state["score"]) if "score" in state else None
    for step in range(first, steps + 1):
        change = round_to_norm(direction, norm, start, _cap(step, found, steps))
        kept = {**direction.state("direction"), **best.state("best")}
        kept["search"] = torch.tensor([norm, best_norm, found, step], dtype=torch.float64)
        look = yield from scene.look(Moment(change, step, steps, score, kept))
        score = look.probability
        size, length = norm_of(change), norm
        if look.margin > _MINIMAL_RESERVE:
            if size < best_norm:
                best, best_norm = direction, size
            found = found or step
            norm = min(norm, size) * 0.85
        else:
            norm = min(norm * 1.15, best_norm * 0.985) if found else min(norm * 1.05, limit)
        share = 0.01 + 0.99 * (1 + math.cos(math.pi * (step - 1) / steps)) / 2
        pull = look.direction.times(255 * scale * share / max(look.direction.norm, 1e-12))
        direction = direction.times(length / max(direction.norm, 1e-12)).plus(pull)
    if not found:
        return Attack(scene.changed(round_to_norm(direction, norm, start, _cap(steps + 1, found, steps))), steps)
    change = yield from _shrink(scene, best, best_norm, start, _cap(found, found, steps))
    return Attack(scene.changed(change), found)


def _add_(values: Tensor, slope: Field, bound: float, rows: slice) -> None:
    values[:, rows] = (values[:, rows] + slope.rows(rows)).clamp_(-bound, bound)


def _moved(change: Tensor, direction: Field) -> Field:
    return Computed(lambda rows: change[:, rows] + direction.rows(rows), *change.shape[1:])


def _cap(step: int, found: int, steps: int) -> int | None:
    """By how many levels a value may change in this step; as it was when the first success was found."""
    at = (found or step) - 1
    return [cap for begin, cap in _CAPS if at * 20 >= begin * steps][-1]


def _shrink(scene: Scene, direction: Field, norm: float, start: Tensor, cap: int | None) -> Algorithm[Tensor]:
    """The smallest change along a direction that still succeeds, of norms 70 to 100 % of the one that does."""
    low, high = 0.7, 1.0
    best = round_to_norm(direction, norm, start, cap)
    for _ in range(3):
        points = [low + (high - low) * third / 3 for third in (1, 2)]  # two at once cost as much as one
        changes = [round_to_norm(direction, norm * point, start, cap) for point in points]
        margins = yield from scene.margins(changes)
        for point, change, margin in zip(points, changes, margins, strict=True):
            if margin > _MINIMAL_RESERVE:
                best, high = change, point
                break
            low = point
    return best
