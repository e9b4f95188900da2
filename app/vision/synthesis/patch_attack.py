"""A patch that fools wherever it lies: one round sticker instead of a change that nobody sees (Brown 2017)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Algorithm, Ask
from app.vision.image import Canvas, Preprocessing
from app.vision.pixels import pixels_of, to_levels
from app.vision.synthesis.priors import total_variation
from app.vision.synthesis.scene import Attack, Moment, Patch, Scene, State, Victim, mean_size

Whereabouts = Literal["anywhere", "center", "top-left", "top-right", "bottom-left", "bottom-right"]

PATCH_STEPS: Final = 120
DEFAULT_SHARE: Final = 0.1
PLACES: Final = 32
"""At how many random places it is verified."""
_PARTS: Final[dict[Whereabouts, tuple[float, float, float]]] = {
    "anywhere": (0, 0, 1),
    "center": (1 / 3, 1 / 3, 1 / 3),
    "top-left": (0, 0, 1 / 3),
    "top-right": (2 / 3, 0, 1 / 3),
    "bottom-left": (0, 2 / 3, 1 / 3),
    "bottom-right": (2 / 3, 2 / 3, 1 / 3),
}
"""Of all places that its middle can have: where they begin, across and down, and how wide they are."""
_VIEWS: Final = 6
_SMALLEST: Final = 0.8
"""Of the diameter: its size is random between this and the whole."""
_TURN: Final = 22.5
_LIGHT: Final = (0.85, 1.05)
"""A print is paler or darker than the screen."""
_CHECKED: Final = 16
_EVERY: Final = 20
_SURE: Final = 1.0
_ROUGH: Final = 0.3
_PRINTED: Final = 1024
_DPI: Final = (260, 260)
"""Ten centimetres across."""


@dataclass(frozen=True)
class Place:
    """The middle of the patch and its diameter in pixels of the picture, and by how many degrees it is turned."""

    x: float
    y: float
    diameter: float
    turn: float


def patch(
    scene: Scene,
    *,
    share: float,
    where: Whereabouts = "anywhere",
    steps: int | None,
    seed: int,
    resume: State | None = None,
) -> Algorithm[Attack]:
    """A disc of `share` of the picture that fools at random places, sizes and turns within what the networks see, or
    within one part of that.

    Expectation over these, by sign steps with momentum; the variation loss keeps it printable. Verified at places that
    it was not made for, on pictures with the patch laid over by Pillow; the best of these is the picture.
    """
    steps = steps or PATCH_STEPS
    diameter = diameter_in(scene, share)
    size = max(16, round(diameter * _scale(scene, scene.victims[0])))
    state = dict(resume or {})
    generator = torch.Generator().manual_seed(seed)
    pixels = state.get("pixels", 0.5 + 0.1 * torch.randn(3, size, size, generator=generator)).clamp(0, 1)
    velocity = state.get("velocity", torch.zeros_like(pixels))
    score = float(state["score"]) if "score" in state else None
    used = steps
    for step in range(int(state.get("step", torch.tensor(1))), steps + 1):
        kept = {"pixels": pixels, "velocity": velocity, "step": torch.tensor(step)}
        places = places_in(scene, diameter, _VIEWS, seed * 1009 + step, where)
        light = torch.empty(_VIEWS, 1, 1, 1).uniform_(*_LIGHT, generator=torch.Generator().manual_seed(step))
        now = Moment(pixels, step, steps, score, kept, shown=pixels)
        gradient = yield from _gradient(scene, pixels, places, light, now)
        velocity = 0.8 * velocity + gradient
        size_of_step = (2 + 14 * (1 + math.cos(math.pi * (step - 1) / steps)) / 2) / 255
        pixels = (pixels + size_of_step * velocity.sign()).clamp(0, 1)
        if step % _EVERY and step < steps:
            continue
        checked = places_in(scene, diameter, _CHECKED, seed * 1009 - step, where)
        margins, score = yield from _check(scene, pixels, checked)
        if min(margins) > _SURE:
            used = step
            break
    places = places_in(scene, diameter, PLACES, seed * 1009, where)
    return (yield from _verified(scene, pixels, diameter, used, places))


def pasted(picture: Canvas, disc: Image.Image, place: Place) -> Canvas:
    """The picture with the patch, as it is printed, laid over it."""
    side = max(1, round(place.diameter))
    turned = disc.resize((side, side), Image.Resampling.LANCZOS).rotate(place.turn, Image.Resampling.BICUBIC)
    whole = Image.fromarray(picture)
    whole.paste(turned, (round(place.x - side / 2), round(place.y - side / 2)), turned.getchannel("A"))
    return np.array(whole)


def _verified(scene: Scene, pixels: Tensor, diameter: float, steps: int, places: Sequence[Place]) -> Algorithm[Attack]:
    disc = disc_of(pixels)
    file = BytesIO()
    disc.save(file, "PNG", dpi=_DPI)
    margins = [math.inf] * len(places)
    seen: list[list[Canvas]] = [[] for _ in scene.victims]
    for place in places:  # one at a time: a large photo has many megabytes
        picture = pasted(scene.picture, disc, place)
        for victim, canvases_of in zip(scene.victims, seen, strict=True):
            canvases_of.append(victim.passages["png"].canvas(picture))
    for victim, canvases_of in zip(scene.victims, seen, strict=True):
        canvases = pixels_of(*canvases_of)
        for first in range(0, len(places), 8):
            answered = yield Ask(victim.classifier, canvases[first : first + 8], verifies=True)
            for index, logits in enumerate(answered.logits, first):
                margins[index] = min(margins[index], victim.criterion.margin(logits))
    best = max(range(len(places)), key=margins.__getitem__)
    height, width = scene.picture.shape[:2]
    share = math.pi * diameter**2 / 4 / (width * height)
    found = Patch(file.getvalue(), round(diameter), share, len(places), sum(margin > 0 for margin in margins))
    return Attack(pasted(scene.picture, disc, places[best]), steps, found)


def _gradient(scene: Scene, pixels: Tensor, places: Sequence[Place], light: Tensor, now: Moment) -> Algorithm[Tensor]:
    """By the pixels of the patch."""
    leaf = pixels.detach().requires_grad_()
    total = torch.zeros_like(pixels)
    for victim in scene.victims:
        canvases = overlaid(scene, victim, leaf, places, light)
        answered = yield scene.ask(victim, canvases.detach(), now)
        (gradient,) = torch.autograd.grad(canvases, leaf, answered.gradient)
        total += gradient / mean_size(gradient)
    (rough,) = torch.autograd.grad(total_variation(leaf), leaf)
    return total - _ROUGH * len(scene.victims) * rough / mean_size(rough)


def _check(scene: Scene, pixels: Tensor, places: Sequence[Place]) -> Algorithm[tuple[list[float], float]]:
    """Margins at these places, and the mean probability, of the victim that is furthest from being fooled."""
    margins, score = [], 1.0
    for victim in scene.victims:
        probabilities = []
        for first in range(0, len(places), 8):
            some = places[first : first + 8]
            answered = yield Ask(
                victim.classifier, overlaid(scene, victim, pixels, some, torch.ones(len(some), 1, 1, 1))
            )
            margins += [victim.criterion.margin(logits) for logits in answered.logits]
            probabilities += [victim.criterion.probability(logits) for logits in answered.logits]
        score = min(score, sum(probabilities) / len(probabilities))
    return margins, score


def overlaid(scene: Scene, victim: Victim, pixels: Tensor, places: Sequence[Place], light: Tensor) -> Tensor:
    """The victim's canvases `(n, 3, crop, crop)` with the patch at these places; differentiable by its pixels."""
    canvas = pixels_of(victim.passages["png"].canvas(scene.picture))
    crop = canvas.shape[2]
    scale = _scale(scene, victim)
    left, top, *_ = _box(scene, victim)
    thetas = []
    for place in places:
        x, y = ((place.x - left) * scale / crop * 2 - 1), ((place.y - top) * scale / crop * 2 - 1)
        zoom = crop / (place.diameter * scale)
        cosine, sine = (zoom * part(math.radians(place.turn)) for part in (math.cos, math.sin))
        thetas.append([[cosine, -sine, -cosine * x + sine * y], [sine, cosine, -sine * x - cosine * y]])
    grid = functional.affine_grid(torch.tensor(thetas), [len(places), 3, crop, crop], align_corners=False)
    radii = torch.tensor([place.diameter * scale / 2 for place in places])[:, None, None]
    mask = ((1 - grid.norm(dim=3)) * radii + 0.5).clamp(0, 1)[:, None]
    disc = functional.grid_sample(
        pixels.expand(len(places), -1, -1, -1), grid, padding_mode="border", align_corners=False
    )
    together: Tensor = canvas * (1 - mask) + (disc * light).clamp(0, 1) * mask
    return together


def places_in(scene: Scene, diameter: float, number: int, seed: int, where: Whereabouts = "anywhere") -> list[Place]:
    """Wholly within what all networks see of the picture, the middle in that part of the places that it can have."""
    generator = torch.Generator().manual_seed(seed)
    boxes = [_box(scene, victim) for victim in scene.victims]
    left, top = (max(box[side] for box in boxes) for side in (0, 1))
    right, bottom = (min(box[side] for box in boxes) for side in (2, 3))
    places = []
    first_across, first_down, span = _PARTS[where]
    for across, down, size, turn in torch.rand(number, 4, generator=generator).tolist():
        wide = diameter * (_SMALLEST + (1 - _SMALLEST) * size)
        x = left + wide / 2 + (first_across + span * across) * (right - left - wide)
        y = top + wide / 2 + (first_down + span * down) * (bottom - top - wide)
        places.append(Place(x, y, wide, _TURN * (2 * turn - 1)))
    return places


def _preprocessing(victim: Victim) -> Preprocessing:
    return victim.classifier.backbone.preprocessing


def _box(scene: Scene, victim: Victim) -> tuple[float, float, float, float]:
    height, width = scene.picture.shape[:2]
    return _preprocessing(victim).box(width, height)


def _scale(scene: Scene, victim: Victim) -> float:
    """Pixels of the canvas for one of the picture."""
    left, _, right, _ = _box(scene, victim)
    return _preprocessing(victim).crop / (right - left)


def diameter_in(scene: Scene, share: float) -> float:
    """Of a disc of this share of the picture, as far as it has room in what the networks see."""
    height, width = scene.picture.shape[:2]
    seen = min(right - left for left, _, right, _ in (_box(scene, victim) for victim in scene.victims))
    return min(2 * math.sqrt(share * width * height / math.pi), seen)


def disc_of(pixels: Tensor) -> Image.Image:
    """Large enough to print, and transparent outside the disc."""
    image = Image.fromarray(to_levels(pixels)).resize((_PRINTED, _PRINTED), Image.Resampling.BICUBIC)
    middle = (_PRINTED - 1) / 2
    rows, columns = np.ogrid[:_PRINTED, :_PRINTED]
    radii = np.hypot(rows - middle, columns - middle)
    image.putalpha(Image.fromarray((255 * np.clip(_PRINTED / 2 - radii, 0, 1)).astype(np.uint8)))
    return image
