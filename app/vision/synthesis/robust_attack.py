"""Pictures that go on fooling on the ways that pictures travel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Algorithm, Ask
from app.vision.image import Canvas
from app.vision.synthesis.attacks import RESERVE
from app.vision.synthesis.direction import Direction, Way
from app.vision.synthesis.quantization import signed_step, whole_levels
from app.vision.synthesis.scene import Attack, Moment, Scene, State, mean_size
from app.vision.synthesis.transformations import GROUPS, canvases_through

_WEAK: Final = 2.0
"""Logits beyond the reserve up to which a way is still worked on."""


@dataclass(frozen=True)
class _Plan:
    """Rungs of grey levels with so many steps each, through so many ways a step; `sigma` is the blur's, in pixels."""

    ladder: tuple[int, ...]
    steps_a_rung: int
    views: int
    sigma: float

    @property
    def steps(self) -> int:
        return self.steps_a_rung * len(self.ladder)


_FEW: Final = _Plan((2, 3, 4, 6, 8, 12, 16), steps_a_rung=4, views=2, sigma=0.8)
_MANY: Final = _Plan((3, 4, 6, 8, 12, 16), steps_a_rung=6, views=3, sigma=1.8)
"""For more pairs of a network and a way than one network has with the ways of a file. With the other plan (and four
views) six dogs took 8.0 levels on average to survive all ways, at 6.1 CPU-s; with this one 6.3, at 4.5.
"""


def _plan(pairs: int) -> _Plan:
    return _FEW if pairs <= len(GROUPS["file"]) else _MANY


def robust_steps(pairs: int) -> int:
    """What `robust` takes at most, if nothing else is asked for, for so many pairs of a network and a way."""
    return _plan(pairs).steps


def robust(
    scene: Scene, *, epsilon: float | None, steps: int | None, seed: int, resume: State | None = None
) -> Algorithm[Attack]:
    """The smallest epsilon of a ladder whose picture survives all ways of the scene, for all whom it is to fool.

    Expectation over transformations (Athalye 2018): momentum sign steps (Dong 2018), each through ways that still fail,
    with a blurred gradient; then all are checked by real encodes. `epsilon`, in [0, 1], bounds every value (L∞); below
    1/255 nothing can be changed. Steps beyond the ladder are spent on its last rung.
    """
    pairs = [(place, way) for place, victim in enumerate(scene.victims) for way in victim.passages]
    plan = _plan(len(pairs))
    rungs = [levels for levels in plan.ladder if epsilon is None or levels <= whole_levels(epsilon)]
    rungs = rungs or [whole_levels(epsilon or 0.0)]
    steps = steps or plan.steps
    start = scene.start()
    state = dict(resume or {})
    change = state.get("change", scene.unchanged())
    velocity = scene.restored("velocity", state)
    best = state.get("best", change)
    held = float(state.get("held", torch.tensor(-math.inf)))
    weak = [pairs[index] for index in state.get("weak", torch.arange(len(pairs))).tolist()]
    score = float(state["score"]) if "score" in state else None
    for number in range(int(state.get("number", torch.tensor(0))), steps):
        rung = rungs[min(number // plan.steps_a_rung, len(rungs) - 1)]
        kept = {"change": change, "best": best, "number": torch.tensor(number), **velocity.state("velocity")}
        kept["held"] = torch.tensor(held, dtype=torch.float64)
        kept["weak"] = torch.tensor([pairs.index(pair) for pair in weak])
        pull = yield from _gradient(scene, plan, weak, Moment(change, number + 1, steps, score, kept), seed)
        velocity = velocity.times(0.9).plus(pull)
        change = signed_step(change, velocity, max(1, round(rung / 3)), rung, start)
        if (number + 1) % plan.steps_a_rung and number + 1 < steps:
            continue
        margins, score = yield from _check(scene, scene.changed(change))
        if min(margins.values()) > RESERVE:
            return Attack(scene.changed(change), number + 1)
        weak = [pair for pair, margin in margins.items() if margin < RESERVE + _WEAK] or pairs
        if (now_held := sum(margin > 0 for margin in margins.values())) >= held:
            best, held = change, now_held
    return Attack(scene.changed(best), steps)


def _gradient(
    scene: Scene, plan: _Plan, weak: Sequence[tuple[int, str]], now: Moment, seed: int
) -> Algorithm[Direction]:
    """For each victim through some of its weak ways, chosen at random, all of a size."""
    picture = scene.changed(now.change)
    generator = torch.Generator().manual_seed(seed * 1009 + now.step - 1)
    pulls: dict[Way, Tensor] = {}
    behind = sorted({place for place, _ in weak})
    for place in behind:
        victim = scene.victims[place]
        ways = [way for whose, way in weak if whose == place]
        chosen = [ways[index] for index in torch.randperm(len(ways), generator=generator)[: plan.views].tolist()]
        passages = [victim.passages[way] for way in chosen]
        answered = yield scene.ask(victim, canvases_through(passages, picture), now)
        own: dict[Way, Tensor] = {}
        densities: dict[Way, float] = {}
        for passage, gradient in zip(passages, answered.gradient, strict=True):
            key = place, passage.geometry
            own[key] = own[key] + gradient if key in own else gradient
            densities[key] = passage.density
        blurred = {key: _blur(gradient, plan.sigma) for key, gradient in own.items()}
        # About of size 1 in the picture, over which each value of the canvas is spread.
        size = torch.stack([densities[key] * mean_size(one) for key, one in blurred.items()]).sum()
        pulls |= {key: gradient / (size * len(behind)) for key, gradient in blurred.items()}
    return scene.direction(pulls)


def _check(scene: Scene, picture: Canvas) -> Algorithm[tuple[dict[tuple[int, str], float], float]]:
    """The margin of each victim on each way, and how sure the least sure one is of what is saved."""
    margins, score = {}, 1.0
    for place, victim in enumerate(scene.victims):
        canvases = canvases_through(victim.passages.values(), picture)
        checked = yield Ask(victim.classifier, canvases, verifies=True)
        for way, logits in zip(victim.passages, checked.logits, strict=True):
            margins[place, way] = victim.criterion.margin(logits)
        score = min(score, victim.criterion.probability(checked.logits[0]))
    return margins, score


def _blur(gradient: Tensor, sigma: float) -> Tensor:
    """Gaussian, on the canvas, where it costs the same for a picture of any size."""
    kernel = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    rows = functional.conv2d(gradient[None], kernel, padding=(0, 2), groups=3)
    return functional.conv2d(rows, kernel.transpose(2, 3), padding=(2, 0), groups=3)[0]
