"""An adversarial image with all that is to be said of it, measured on the file that is saved, never assumed."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from app.vision.ask import Algorithm, Ask
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.pixels import pixels_of
from app.vision.synthesis import attacks
from app.vision.synthesis.attacks import Method, Norm
from app.vision.synthesis.outcome import Outcome, outcomes_of
from app.vision.synthesis.patch_attack import DEFAULT_SHARE, PATCH_STEPS, Whereabouts, patch
from app.vision.synthesis.perturbation import Perturbation, difference_of, linf_of, measure, noise_like
from app.vision.synthesis.robust_attack import robust, robust_steps
from app.vision.synthesis.scene import Attack, Criterion, Patch, Scene, State, Victim
from app.vision.synthesis.transformations import Group, Passage, canvases_through, png_of, ways_of


class TargetIsSourceError(ValueError):
    """The picture is taken for the target already."""


@dataclass(frozen=True)
class Verdict:
    """What one of the networks that are to be fooled takes the saved picture for, and on which ways it is fooled."""

    classifier: Classifier
    before: Outcome
    after: Outcome
    probability: float
    verified: Mapping[str, bool]
    noise_fooled: bool


@dataclass(frozen=True)
class Transfer:
    classifier: Classifier
    before: Outcome
    after: Outcome
    fooled: bool


@dataclass(frozen=True)
class AdversarialImage:
    """`verdicts` has those who are to be fooled, in the order in which they were named; the files are PNGs."""

    verdicts: Sequence[Verdict]
    steps_to_success: int | None
    perturbation: Perturbation
    noise_linf: int
    transfer: Sequence[Transfer]
    hint: str | None
    patch: Patch | None
    original: bytes
    adversarial: bytes
    difference: bytes

    @property
    def success(self) -> bool:
        """Whether all are fooled by the saved picture."""
        return self.verified["reupload"]

    @property
    def before(self) -> Outcome:
        return self.verdicts[0].before

    @property
    def after(self) -> Outcome:
        return self.verdicts[0].after

    @property
    def verified(self) -> dict[str, bool]:
        """For each way, whether all are fooled by what the saved picture becomes on it."""
        return _by_all(self.verdicts)

    @property
    def noise_fooled(self) -> bool:
        return all(verdict.noise_fooled for verdict in self.verdicts)


def adversarial_image(
    classifier: Classifier,
    data: bytes,
    *,
    partners: Sequence[Classifier] = (),
    target: int | None = None,
    method: Method = "robust",
    survive: Sequence[Group] = ("file",),
    norm: Norm = "linf",
    epsilon: float | None = None,
    steps: int | None = None,
    score: float | None = None,
    space: str = "original",
    share: float = DEFAULT_SHARE,
    where: Whereabouts = "anywhere",
    seed: int = 0,
    others: Sequence[Classifier] = (),
    limits: ImageLimits | None = None,
    resume: State | None = None,
) -> Algorithm[AdversarialImage]:
    """Change an uploaded picture until it is taken for `target`, or without one for anything else.

    With `partners`, which must have a class of that name, all of them are fooled at once. It is verified on the
    ways of the groups in `survive`, for which `robust` optimises it. `epsilon` bounds the change in [0, 1] (see
    each method for its default); in the `model` space, for one network alone, it is the small canvas that is
    changed and saved. A patch covers `share` of the picture, `where` it is said to lie. Raises `InvalidImageError`,
    or `TargetIsSourceError` before the first step.
    """
    limits = limits or ImageLimits()
    ways = ways_of(survive)
    wanted = None if target is None else classifier.labels[target].label
    picture = _canvas(classifier, data, limits) if space == "model" else Picture.read(data, limits).pixels()
    victims, before = [], []
    for member in (classifier, *partners):
        seen = yield Ask(member, pixels_of(_canvas(member, data, limits)), verifies=True)
        (outcome,) = outcomes_of(member, seen)
        index = None if wanted is None else member.labels.find(wanted).index
        passages = _passages(member, picture, ways, limits, direct=space == "model")
        victims.append(Victim(member, Criterion(outcome.index, index, score), passages))
        before.append(outcome)
    if before[0].index == target:
        raise TargetIsSourceError("The picture is taken for the target already.")
    scene = Scene(picture, victims)
    attack = yield from _attack(scene, method, norm, epsilon, steps, share, where, seed, resume)

    note = _note([victim.classifier for victim in victims], before[0], wanted, method)
    files, noisy = _files(scene, attack, note, seed)
    steps, found = attack.steps, attack.patch
    del picture, scene, attack  # of a photo of 24 megapixels 72 MB each; from here on the saved file counts
    saved = Picture.read(files.adversarial, limits)
    verdicts = yield from _verify(victims, before, saved, noisy, limits)
    fooled = _by_all(verdicts)
    return AdversarialImage(
        verdicts=verdicts,
        steps_to_success=steps if fooled["reupload"] else None,
        transfer=(yield from _transfer(others, victims[0].criterion, classifier, data, saved, limits)),
        hint=_hint(method, space, steps, verdicts),
        patch=found,
        **vars(files),
    )


@dataclass(frozen=True)
class _Files:
    perturbation: Perturbation
    noise_linf: int
    original: bytes
    adversarial: bytes
    difference: bytes


def _files(scene: Scene, attack: Attack, note: dict[str, str], seed: int) -> tuple[_Files, Canvas]:
    """What is saved, and the picture with noise as large as the change."""
    picture, changed = scene.picture, attack.picture
    with ThreadPoolExecutor(1) as beside:  # of a large picture each of the three files takes half a second and more
        original = beside.submit(png_of, picture)
        adversarial = png_of(changed, note)
        perturbation = measure(picture, changed)
        difference = beside.submit(png_of, difference_of(picture, changed, perturbation.amplified))
        noisy = _scrambled(picture, changed, seed) if attack.patch else noise_like(picture, changed, scene.region, seed)
    noise_linf = linf_of(picture, noisy)
    return _Files(perturbation, noise_linf, original.result(), adversarial, difference.result()), noisy


def steps_of(method: Method, networks: int, survive: Sequence[Group]) -> int:
    """What a method takes at most, if nothing else is asked for."""
    if method == "patch":
        return PATCH_STEPS
    return robust_steps(networks * len(ways_of(survive))) if method == "robust" else attacks.STEPS[method]


def _by_all(verdicts: Sequence[Verdict]) -> dict[str, bool]:
    return {way: all(verdict.verified[way] for verdict in verdicts) for way in verdicts[0].verified}


def _canvas(classifier: Classifier, data: bytes, limits: ImageLimits) -> Canvas:
    """As for a classification of the upload."""
    preprocessing = classifier.backbone.preprocessing
    return Picture.read(data, limits, preprocessing=preprocessing).canvas(preprocessing)


def _passages(
    classifier: Classifier, picture: Canvas, ways: Sequence[str], limits: ImageLimits, *, direct: bool = False
) -> dict[str, Passage]:
    """`direct`: the picture, saved as it is, is the network's canvas already."""
    usual = classifier.backbone.preprocessing
    return {way: Passage(way, picture, None if direct and way == "png" else usual, limits) for way in ways}


def _attack(
    scene: Scene,
    method: Method,
    norm: Norm,
    epsilon: float | None,
    steps: int | None,
    share: float,
    where: Whereabouts,
    seed: int,
    resume: State | None,
) -> Algorithm[Attack]:
    match method:
        case "robust":
            return robust(scene, epsilon=epsilon, steps=steps, seed=seed, resume=resume)
        case "minimal":
            return attacks.minimal(scene, epsilon=epsilon, steps=steps, resume=resume)
        case "pgd":
            return attacks.pgd(scene, epsilon=epsilon, norm=norm, steps=steps, resume=resume)
        case "fgsm":
            return attacks.fgsm(scene, epsilon=epsilon, norm=norm)
        case "lesson":
            return attacks.lesson(scene, epsilon=epsilon, steps=steps, resume=resume)
        case "patch":
            return patch(scene, share=share, where=where, steps=steps, seed=seed, resume=resume)


def _verify(
    victims: Sequence[Victim], before: Sequence[Outcome], saved: Picture, noisy: Canvas, limits: ImageLimits
) -> Algorithm[list[Verdict]]:
    """By the saved file, decoded again as an upload is, and by what becomes of it on its ways."""
    verdicts = []
    uploaded = saved.pixels()
    for victim, outcome in zip(victims, before, strict=True):
        classifier, criterion = victim.classifier, victim.criterion
        passages = _passages(classifier, uploaded, list(victim.passages), limits)
        own = pixels_of(saved.canvas(classifier.backbone.preprocessing), passages["png"].canvas(noisy))
        canvases = torch.cat([own, canvases_through(passages.values(), uploaded)])
        answered = yield Ask(classifier, canvases, verifies=True)
        again, noise, *through = answered.logits
        verified = {way: criterion.reached(logits) for way, logits in zip(passages, through, strict=True)}
        verdicts.append(
            Verdict(
                classifier=classifier,
                before=outcome,
                after=outcomes_of(classifier, answered)[0],
                probability=criterion.probability(again),
                verified={"png": verified.pop("png"), "reupload": criterion.reached(again), **verified},
                noise_fooled=criterion.reached(noise),
            )
        )
    return verdicts


def _scrambled(original: Canvas, picture: Canvas, seed: int) -> Canvas:
    """The pixels of the patch in another order."""
    places = (picture != original).any(2)
    pixels = picture[places]
    noisy = picture.copy()
    noisy[places] = np.random.default_rng(seed).permutation(pixels)
    return noisy


def _transfer(
    others: Sequence[Classifier],
    criterion: Criterion,
    asked: Classifier,
    data: bytes,
    saved: Picture,
    limits: ImageLimits,
) -> Algorithm[Sequence[Transfer]]:
    """What the other networks take both pictures for; the label counts, since their classes may have other numbers."""
    found = []
    for other in others:
        canvases = pixels_of(_canvas(other, data, limits), saved.canvas(other.backbone.preprocessing))
        answered = yield Ask(other, canvases, verifies=True)
        before, after = outcomes_of(other, answered)
        label = other.labels[after.index].label
        if criterion.target is None:
            fooled = label != asked.labels[criterion.source].label and after.index != before.index
        else:
            fooled = label == asked.labels[criterion.target].label
        found.append(Transfer(other, before, after, fooled))
    return found


def _note(classifiers: Sequence[Classifier], before: Outcome, wanted: str | None, method: Method) -> dict[str, str]:
    source = classifiers[0].labels[before.index].label
    aim = "anything else" if wanted is None else repr(wanted)
    names = ", ".join(classifier.card.name for classifier in classifiers)
    who = f"the model {names} takes" if len(classifiers) == 1 else f"the models {names} take"
    return {
        "Software": "Inkblot",
        "Description": f"Adversarial image: a picture of {source!r}, changed ({method}) so that {who} it for {aim}.",
    }


def _hint(method: Method, space: str, number: int, verdicts: Sequence[Verdict]) -> str | None:
    verified = _by_all(verdicts)
    steps = "one step" if number == 1 else f"{number} steps"
    if verified["reupload"]:
        lost = ", ".join(way for way, held in verified.items() if not held)
        return f"It does not fool after: {lost}. Allow a larger epsilon." if lost and method == "robust" else None
    reached = f"After {steps} it was at {min(verdict.probability for verdict in verdicts):.1%}."
    if space == "model":
        return f"{reached} A change of the canvas rarely survives the upload: use space=original."
    if method == "patch":
        return f"{reached} Allow a larger patch, more steps, or choose another target."
    if method == "fgsm":
        return f"{reached} A single step is often not enough: use method=pgd or robust."
    return f"{reached} Allow a larger epsilon, more steps, or choose a target that is more alike."
