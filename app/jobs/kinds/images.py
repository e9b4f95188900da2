"""What each kind of job does: from its input to an algorithm that the engine runs, and what is left in the end."""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from math import ceil, sqrt
from typing import Any, Final

from PIL import Image
from torch import Tensor

from app import __version__
from app.jobs.attack_params import AdversarialImageChoices
from app.jobs.params import ADVERSARIAL_IMAGE, IDEAL_IMAGE, ChannelChoice, IdealImageChoices
from app.vision.ask import Algorithm
from app.vision.classifier import Classifier
from app.vision.drawing.gallery import draw_gallery
from app.vision.feature_space import UNKNOWN
from app.vision.image import ImageLimits, pixels_in
from app.vision.models.model_folder import BrokenModelError
from app.vision.models.repository import ModelRepository
from app.vision.networks.weights import MissingWeightsError, WeightsError
from app.vision.pixels import to_levels
from app.vision.synthesis.adversarial_images import AdversarialImage, adversarial_image
from app.vision.synthesis.facets import Facet
from app.vision.synthesis.ideal_images import IdealImage, ideal_image
from app.vision.synthesis.objectives import ChannelObjective, ClassObjective
from app.vision.synthesis.outcome import Outcome
from app.vision.synthesis.patch_attack import DEFAULT_SHARE
from app.vision.threads import threads_at_hand

_PATCH: Final = ("diameter", "share", "places", "fooled")
_LIBRARIES: Final = ("torch", "pillow", "numpy")
_TILE: Final = 300

Input = Mapping[str, Any]


@dataclass(frozen=True)
class JobResult:
    """`files` by name; `result` is JSON, and its `files` say which name is what."""

    result: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


class Tasks:
    """Makes the algorithm of a job; loads the models that it needs, which may take seconds.

    `prepare` is told each classifier that is going to verify something, as what serves it.
    """

    def __init__(
        self, models: ModelRepository, *, limits: ImageLimits, prepare: Callable[[Classifier], object] = lambda _: None
    ) -> None:
        self._models, self._limits, self._prepare = models, limits, prepare

    def start(
        self, kind: str, choices: Input, upload: bytes | None, resume: Mapping[str, Tensor] | None
    ) -> Algorithm[JobResult]:
        """Raises what `ModelRepository.load` raises."""
        classifier = self._loaded(choices["model"])
        others = self._others(classifier)
        partners = [self._loaded(name) for name in (choices.get("models") or [])[1:]]
        if kind == IDEAL_IMAGE:
            return self._ideal_image(classifier, partners, others, choices, resume)
        assert kind == ADVERSARIAL_IMAGE
        assert upload is not None
        return self._adversarial_image(classifier, partners, others, choices, upload, resume)

    def pixels_held(self, choices: Input, upload: bytes | None) -> int:
        """Of a picture that the job changes at its own size; raises as `Picture.read`."""
        return 0 if upload is None or choices.get("space") == "model" else pixels_in(upload, self._limits)

    def _others(self, classifier: Classifier) -> Sequence[Classifier]:
        """The original classifiers of all other backbones that are present; a broken one is left out."""
        found = []
        for card in self._models.cards():
            if card.original_head and card.backbone != classifier.card.backbone:
                try:
                    found.append(self._loaded(card.name))
                except (BrokenModelError, MissingWeightsError, WeightsError):
                    continue
        return found

    def _loaded(self, name: str) -> Classifier:
        classifier = self._models.load(name)
        self._prepare(classifier)
        return classifier

    def _ideal_image(
        self,
        classifier: Classifier,
        partners: Sequence[Classifier],
        others: Sequence[Classifier],
        choices: Input,
        resume: Mapping[str, Tensor] | None,
    ) -> Algorithm[JobResult]:
        threads = threads_at_hand()  # beside the engine's own thread, where a run may end, there is one
        asked = IdealImageChoices.model_validate(choices)
        wanted = asked.objective
        if isinstance(wanted, ChannelChoice):
            aim: ClassObjective | ChannelObjective = ChannelObjective(wanted.layer, wanted.channel, wanted.x, wanted.y)
        else:
            aim = ClassObjective(classifier.labels.find(wanted.label).index)
        image: IdealImage = yield from ideal_image(
            classifier,
            aim,
            preset=asked.preset,
            steps=asked.steps,
            seed=asked.seed or 0,
            size=asked.size,
            count=asked.count,
            diversity=asked.diversity,
            partners=partners,
            others=[other for other in others if other not in partners],
            resume=resume,
        )
        result = {
            **_facet(classifier, image),
            "start_score": image.start,
            "steps_run": image.steps,
            "hint": image.hint,
            "facets": None,
        }
        files = {"final": ("final.png", image.final), "animation": ("animation.webp", image.animation)}
        if asked.count > 1:
            names = [f"facet-{number}.png" for number in range(1, asked.count + 1)]
            facets = list(zip(names, image.facets, strict=True))
            result["facets"] = [{**_facet(classifier, facet), "file": name} for name, facet in facets]
            sheet = _sheet(classifier, image.facets, is_class=isinstance(aim, ClassObjective))
            files |= {"sheet": ("sheet.png", sheet), "final": (names[0], image.final)}
            files |= {f"facet_{number}": (name, facet.final) for number, (name, facet) in enumerate(facets[1:], 2)}
        return _outcome(IDEAL_IMAGE, classifier, choices, None, result, files, threads)

    def _adversarial_image(
        self,
        classifier: Classifier,
        partners: Sequence[Classifier],
        others: Sequence[Classifier],
        choices: Input,
        upload: bytes,
        resume: Mapping[str, Tensor] | None,
    ) -> Algorithm[JobResult]:
        threads = threads_at_hand()
        asked = AdversarialImageChoices.model_validate(choices)
        image: AdversarialImage = yield from adversarial_image(
            classifier,
            upload,
            partners=partners,
            target=classifier.labels.find(asked.target).index if asked.target else None,
            method=asked.method,
            survive=asked.survive,
            norm=asked.norm,
            epsilon=asked.epsilon,
            steps=asked.steps,
            score=asked.score,
            space=asked.space,
            share=asked.patch or DEFAULT_SHARE,
            where=asked.place or "anywhere",
            seed=asked.seed or 0,
            others=[other for other in others if other.card.name not in (asked.models or [])],
            limits=self._limits,
            resume=resume,
        )
        change = image.perturbation
        result = {
            "success": image.success,
            "before": _named(classifier, image.before),
            "after": _named(classifier, image.after),
            "perturbation": {
                "linf": f"{change.linf}/255",
                "l2": change.l2,
                "ssim": change.ssim,
                "psnr_db": change.psnr_db,
                "amplified": change.amplified,
            },
            "steps_to_success": image.steps_to_success,
            "verified": image.verified,
            "models": [
                {
                    "model": one.classifier.card.name,
                    **_named(one.classifier, one.after),
                    "before": _named(one.classifier, one.before),
                    "fooled": one.verified["reupload"],
                    "verified": dict(one.verified),
                }
                for one in image.verdicts
            ],
            "control": {"noise": {"linf": f"{image.noise_linf}/255", "fooled": image.noise_fooled}},
            "transfer": [
                {
                    "model": one.classifier.card.name,
                    **_named(one.classifier, one.after),
                    "before": _named(one.classifier, one.before),
                    "fooled": one.fooled,
                }
                for one in image.transfer
            ],
            "patch": image.patch and {name: getattr(image.patch, name) for name in _PATCH},
            "hint": image.hint,
        }
        files = {
            "original": ("original.png", image.original),
            "adversarial": ("adversarial.png", image.adversarial),
            "perturbation": ("perturbation.png", image.difference),
            **({"patch": ("patch.png", image.patch.printable)} if image.patch else {}),
        }
        return _outcome(ADVERSARIAL_IMAGE, classifier, choices, upload, result, files, threads)


def _facet(classifier: Classifier, facet: Facet) -> dict[str, Any]:
    return {
        "success": facet.success,
        "label": _named(classifier, facet.taken)["label"],
        "score": facet.score,
        "png_score": facet.png_score,
        "similarity": facet.similarity,
        "checks": [
            {
                "model": check.classifier.card.name,
                **_named(check.classifier, check.taken),
                "agrees": check.agrees,
                "took_part": check.took_part,
            }
            for check in facet.checks
        ],
    }


def _sheet(classifier: Classifier, facets: Sequence[Facet], *, is_class: bool) -> bytes:
    """All facets in rows, under each its score, and what it became if that is not what was asked for."""
    columns = ceil(sqrt(len(facets)))
    shown = [
        (Image.open(BytesIO(facet.final)), [f"{number} · {_told(classifier, facet, is_class=is_class)}"])
        for number, facet in enumerate(facets, 1)
    ]
    file = BytesIO()
    rows = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    draw_gallery(rows, width=_TILE).save(file, "PNG")
    return file.getvalue()


def _told(classifier: Classifier, facet: Facet, *, is_class: bool) -> str:
    if not is_class:
        return f"{facet.png_score:.3g}"
    if facet.success:
        return f"{facet.png_score:.0%}"
    return f"{classifier.labels[facet.taken.index].label} {facet.taken.score:.0%}"


def preview_file(pixels: Tensor) -> bytes:
    """WebP of `(3, H, W)` in [0, 1]."""
    file = BytesIO()
    Image.fromarray(to_levels(pixels)).save(file, "WEBP", quality=85)
    return file.getvalue()


def _named(classifier: Classifier, outcome: Outcome) -> dict[str, Any]:
    named = {"label": classifier.labels[outcome.index].label, "index": outcome.index, "score": round(outcome.score, 6)}
    if outcome.unknown is None:
        return named | {"unknown": None}
    return named | {"unknown": {"is_unknown": outcome.unknown > UNKNOWN, "score": round(outcome.unknown, 4)}}


def _outcome(
    kind: str,
    classifier: Classifier,
    choices: Input,
    upload: bytes | None,
    result: Mapping[str, Any],
    files: Mapping[str, tuple[str, bytes]],
    threads: int,
) -> JobResult:
    recipe = _recipe(kind, classifier, choices, upload, files, threads)
    named = {role: name for role, (name, _) in files.items()} | {"recipe": "recipe.json"}
    saved = dict(files.values()) | {"recipe.json": recipe}
    return JobResult({**result, "files": named}, saved)


def _recipe(
    kind: str,
    classifier: Classifier,
    choices: Input,
    upload: bytes | None,
    files: Mapping[str, tuple[str, bytes]],
    threads: int,
) -> bytes:
    """All that it takes to make the same files again, on the same kind of machine."""
    card = classifier.card
    device = classifier.backbone.mean.device.type
    record = {
        "kind": kind,
        "request": dict(choices),
        "upload_sha256": sha256(upload).hexdigest() if upload else None,
        "model": {
            "name": card.name,
            "version": card.version,
            "backbone": card.backbone,
            "weights": classifier.backbone.weights.name,
        },
        "inkblot": __version__,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "machine": {"processor": platform.machine(), "device": device, "threads": threads},
        "promises": "the same bits" if device == "cpu" else "an image as good",
        "files_sha256": {name: sha256(data).hexdigest() for name, data in files.values()},
    }
    return json.dumps(record, indent=2, ensure_ascii=False).encode()
