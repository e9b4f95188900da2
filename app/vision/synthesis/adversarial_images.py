"""An adversarial image with all that is to be said of it, measured on the file that is saved, never assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Algorithm, Ask
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.pixels import pixels_of
from app.vision.synthesis import attacks
from app.vision.synthesis.attacks import Method, Norm
from app.vision.synthesis.outcome import Outcome, outcomes_of
from app.vision.synthesis.quantization import within_levels
from app.vision.synthesis.resize import ResizeOperator
from app.vision.synthesis.scene import Attack, Criterion, Scene
from app.vision.synthesis.transformations import TRANSFORMATIONS, png_of, transformed

_MAX_AMPLIFICATION: Final = 40
_WINDOW: Final = 7


class TargetIsSourceError(ValueError):
    """The picture is taken for the target already."""


@dataclass(frozen=True)
class Perturbation:
    """`linf` in grey levels (255ths), `l2` of all values in [0, 1], `psnr_db` is None if nothing changed."""

    linf: int
    l2: float
    ssim: float
    psnr_db: float | None
    amplified: int
    """By how much the picture of it is."""


@dataclass(frozen=True)
class Transfer:
    classifier: Classifier
    before: Outcome
    after: Outcome
    fooled: bool


@dataclass(frozen=True)
class AdversarialImage:
    """`verified` says for each channel whether the saved picture still fools after it; the files are PNGs."""

    success: bool
    before: Outcome
    after: Outcome
    steps_to_success: int | None
    perturbation: Perturbation
    verified: Mapping[str, bool]
    noise_linf: int
    noise_fooled: bool
    transfer: Sequence[Transfer]
    hint: str | None
    original: bytes
    adversarial: bytes
    difference: bytes


def adversarial_image(
    classifier: Classifier,
    data: bytes,
    *,
    target: int | None = None,
    method: Method = "robust",
    norm: Norm = "linf",
    epsilon: float | None = None,
    steps: int | None = None,
    score: float | None = None,
    space: str = "original",
    seed: int = 0,
    others: Sequence[Classifier] = (),
    limits: ImageLimits | None = None,
    resume: Mapping[str, Tensor] | None = None,
) -> Algorithm[AdversarialImage]:
    """Change an uploaded picture until it is taken for `target`, or without one for anything else.

    `epsilon` bounds the change in [0, 1] (see each method for its default); in the `model` space it is the small canvas
    that is changed and saved. Raises `InvalidImageError`, or `TargetIsSourceError` before the first step.
    """
    limits = limits or ImageLimits()
    preprocessing = classifier.backbone.preprocessing
    upload = Picture.read(data, limits, preprocessing=preprocessing).canvas(preprocessing)
    picture = upload if space == "model" else Picture.read(data, limits).pixels()
    resize = ResizeOperator(picture, None if space == "model" else preprocessing)
    (before,) = outcomes_of(classifier, (yield Ask(classifier, pixels_of(upload))))
    if before.index == target:
        raise TargetIsSourceError("The picture is taken for the target already.")
    scene = Scene(classifier, resize, Criterion(before.index, target, score))
    attack = yield from _attack(scene, method, norm, epsilon, steps, seed, limits, resume)

    report = yield from _verify(scene, attack.picture, limits, seed, _note(classifier, before, target, method))
    success = report.verified["reupload"]
    return AdversarialImage(
        success=success,
        before=before,
        after=report.after,
        steps_to_success=attack.steps if success else None,
        perturbation=measure(picture, attack.picture),
        verified=report.verified,
        noise_linf=report.noise_linf,
        noise_fooled=report.noise_fooled,
        transfer=(yield from _transfer(others, scene.criterion, classifier, data, report.adversarial, limits)),
        hint=None if success else _hint(method, space, attack, report.probability),
        original=png_of(picture),
        adversarial=report.adversarial,
        difference=png_of(_difference(picture, attack.picture)),
    )


def measure(original: Canvas, changed: Canvas) -> Perturbation:
    """Of two pictures `(H, W, 3)`. SSIM (Wang 2004) with windows of 7 × 7, the mean of the three colours."""
    change = changed.astype(np.int16) - original.astype(np.int16)
    squares = float((change.astype(np.float32) ** 2).sum(dtype=np.float64))
    ssim = float(np.mean([_ssim(original[..., colour], changed[..., colour]) for colour in range(3)]))
    linf = int(np.abs(change).max(initial=0))
    psnr_db = 10 * np.log10(255**2 * change.size / squares) if squares else None
    return Perturbation(linf, squares**0.5 / 255, ssim, psnr_db and float(psnr_db), _amplification(linf))


@dataclass(frozen=True)
class _Report:
    adversarial: bytes
    after: Outcome
    probability: float
    verified: Mapping[str, bool]
    noise_linf: int
    noise_fooled: bool


def _attack(
    scene: Scene,
    method: Method,
    norm: Norm,
    epsilon: float | None,
    steps: int | None,
    seed: int,
    limits: ImageLimits,
    resume: Mapping[str, Tensor] | None,
) -> Algorithm[Attack]:
    match method:
        case "robust":
            return attacks.robust(scene, epsilon=epsilon, steps=steps, seed=seed, limits=limits, resume=resume)
        case "minimal":
            return attacks.minimal(scene, epsilon=epsilon, steps=steps, resume=resume)
        case "pgd":
            return attacks.pgd(scene, epsilon=epsilon, norm=norm, steps=steps, resume=resume)
        case "fgsm":
            return attacks.fgsm(scene, epsilon=epsilon, norm=norm)
        case "lesson":
            return attacks.lesson(scene, epsilon=epsilon, steps=steps, resume=resume)


def _verify(
    scene: Scene, picture: Canvas, limits: ImageLimits, seed: int, note: Mapping[str, str]
) -> Algorithm[_Report]:
    """By the saved file, decoded again as an upload is, and by what becomes of it on its way."""
    preprocessing = scene.classifier.backbone.preprocessing
    png = png_of(picture, dict(note))
    uploaded = ResizeOperator(Picture.read(png, limits).pixels(), preprocessing)
    noisy = _noise(scene.resize, picture, seed)
    canvases = [
        Picture.read(png, limits, preprocessing=preprocessing).canvas(preprocessing),
        *(transformed(name, uploaded.picture, uploaded, preprocessing, limits) for name in TRANSFORMATIONS),
        transformed("png", noisy, ResizeOperator(noisy, preprocessing), preprocessing, limits),
    ]
    answered = yield Ask(scene.classifier, pixels_of(*canvases))
    again, *through, noise = answered.logits
    verified = {name: scene.criterion.reached(logits) for name, logits in zip(TRANSFORMATIONS, through, strict=True)}
    return _Report(
        adversarial=png,
        after=outcomes_of(scene.classifier, answered)[0],
        probability=scene.criterion.probability(again),
        verified={"png": verified.pop("png"), "reupload": scene.criterion.reached(again), **verified},
        noise_linf=int(np.abs(noisy.astype(np.int16) - scene.resize.picture).max(initial=0)),
        noise_fooled=scene.criterion.reached(noise),
    )


def _noise(resize: ResizeOperator, picture: Canvas, seed: int) -> Canvas:
    """The very same changes, shuffled and with random signs: what the size of a change does without its direction."""
    change = torch.from_numpy(picture[resize.region].astype(np.int16) - resize.picture[resize.region]).flatten()
    generator = torch.Generator().manual_seed(seed)
    shuffled = change[torch.randperm(len(change), generator=generator)]
    signs = torch.randint(0, 2, shuffled.shape, generator=generator) * 2 - 1
    start = resize.start()
    noise = (shuffled * signs).reshape(start.shape[1], start.shape[2], 3).permute(2, 0, 1).float()
    return resize.changed(within_levels(noise, start))


def _transfer(
    others: Sequence[Classifier], criterion: Criterion, asked: Classifier, data: bytes, png: bytes, limits: ImageLimits
) -> Algorithm[Sequence[Transfer]]:
    """What the other networks take both pictures for; the label counts, since their classes may have other numbers."""
    found = []
    for other in others:
        preprocessing = other.backbone.preprocessing
        canvases = pixels_of(
            *(Picture.read(one, limits, preprocessing=preprocessing).canvas(preprocessing) for one in (data, png))
        )
        answered = yield Ask(other, canvases)
        before, after = outcomes_of(other, answered)
        label = other.labels[after.index].label
        if criterion.target is None:
            fooled = label != asked.labels[criterion.source].label and after.index != before.index
        else:
            fooled = label == asked.labels[criterion.target].label
        found.append(Transfer(other, before, after, fooled))
    return found


def _note(classifier: Classifier, before: Outcome, target: int | None, method: Method) -> dict[str, str]:
    source = classifier.labels[before.index].label
    aim = "anything else" if target is None else repr(classifier.labels[target].label)
    return {
        "Software": "Inkblot",
        "Description": f"Adversarial image: a picture of {source!r}, changed ({method}) so that the model "
        f"{classifier.card.name} takes it for {aim}.",
    }


def _hint(method: Method, space: str, attack: Attack, probability: float) -> str:
    steps = "one step" if attack.steps == 1 else f"{attack.steps} steps"
    reached = f"After {steps} it was at {probability:.1%}."
    if space == "model":
        return f"{reached} A change of the canvas rarely survives the upload: use space=original."
    if method == "fgsm":
        return f"{reached} A single step is often not enough: use method=pgd or robust."
    return f"{reached} Allow a larger epsilon, more steps, or choose a target that is more alike."


def _amplification(linf: int) -> int:
    return min(_MAX_AMPLIFICATION, 127 // linf) if linf else 1


def _difference(original: Canvas, changed: Canvas) -> Canvas:
    """The change around mid-grey, amplified so that it can be seen."""
    change = changed.astype(np.int16) - original.astype(np.int16)
    factor = _amplification(int(np.abs(change).max(initial=0)))
    return (128 + factor * change).clip(0, 255).astype(np.uint8)


def _ssim(one: Canvas, other: Canvas) -> float:
    """Of one colour `(H, W)`; small pictures have a smaller window."""
    window = min(_WINDOW, *one.shape)
    x, y = (torch.from_numpy(levels).float()[None, None] for levels in (one, other))

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, window, 1)

    unbiased = window**2 / max(1, window**2 - 1)
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = unbiased * (mean(x * x) - mean_x**2), unbiased * (mean(y * y) - mean_y**2)
    covariance = unbiased * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())
