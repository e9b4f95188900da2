"""From an archive of labelled pictures to the files of a model and an account of how good it is."""

import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from app.vision.ask import Steps
from app.vision.feature_space import FeatureSpace
from app.vision.image import ImageLimits
from app.vision.labels import Labels
from app.vision.models.model_folder import EXAMPLES, HEAD, LABELS, OWN_WEIGHTS, head_tensors
from app.vision.networks.backbones import Backbone, load_backbone
from app.vision.serving.runtimes import FeatureExtractor, TorchFeatureExtractor
from app.vision.transfer.archive import Archive, Skipped
from app.vision.transfer.cross_validation import Split, split
from app.vision.transfer.examples import Examples, Extractor
from app.vision.transfer.fine_tuning import Pictures, State, fine_tune, steps_of
from app.vision.transfer.namesakes import ClassLabels, class_labels, labels_file, members_of
from app.vision.transfer.rejection import features_by_group, features_of_noise, rejection_rates
from app.vision.transfer.report import Mistake, Warned, oddities, zero_shot_accuracy
from app.vision.transfer.training import L2_PENALTIES, Learned, Probe, classes_of, count_of_fits, learn, of_logits

Mode = Literal["linear_probe", "fine_tune"]
_LIBRARIES: Final = ("inkblot", "torch", "pillow", "numpy")


@dataclass(frozen=True)
class Plan:
    """`val_fraction` of the pictures judge in turn what was learned from the others; `augment` adds mirrored ones."""

    mode: Mode = "linear_probe"
    epochs: int = 5
    val_fraction: float = 0.2
    augment: bool = False
    seed: int = 0

    @property
    def parts(self) -> int:
        """In how many parts the pictures are divided."""
        return max(2, round(1 / self.val_fraction))


@dataclass(frozen=True, eq=False)
class TransferContext:
    """What teaching needs of its surroundings: a frozen backbone with its ImageNet head, and its quickest `forward`.

    `weights_dir` is where further backbones' weights lie.
    """

    backbone: Backbone
    original: nn.Linear
    imagenet: Labels
    forward: FeatureExtractor
    threads: int
    weights_dir: Path | None = None
    limits: ImageLimits = ImageLimits()  # noqa: RUF009 -- frozen

    def extractor(self, plan: Plan) -> Extractor:
        """What makes features of pictures, also of mirrored ones if the plan says so."""
        return Extractor(self.forward, self.backbone.preprocessing, self.limits, self.threads, mirror=plan.augment)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """`record` is the model's card, `files` what lies beside it; `worst` are the surest mistakes."""

    record: Mapping[str, Any]
    files: Mapping[str, bytes]
    warnings: tuple[Warned, ...]
    worst: tuple[Mistake, ...]


def teach(
    archive: Archive,
    plan: Plan,
    context: TransferContext,
    *,
    known: Examples | None = None,
    resume: State | None = None,
) -> Steps[TrainedModel]:
    """Learn the classes of an archive. Pictures that are among the `known` ones are not looked at again.

    The same pictures, plan and machine give the same head, bit for bit; so does fine-tuning that was interrupted and
    goes on from where `resume` was kept. Raises `NotEnoughImagesError`.
    """
    began = time.perf_counter()
    archive.check()
    extractor = context.extractor(plan)
    pictures = len(archive.entries) + len(archive.out_of_distribution)
    total = pictures + count_of_fits(len(archive.entries), plan.parts)
    if plan.mode == "fine_tune":
        total += steps_of(len(archive.entries), plan.epochs)
    examples, broken = yield from extractor.extract(archive, archive.entries, known, total)
    out_of_distribution, lost = yield from extractor.extract(
        archive, archive.out_of_distribution, None, total, done=len(archive.entries)
    )
    classes_of(examples, archive.labels)
    names = class_labels(archive, context.imagenet)
    looked = time.perf_counter() - began
    skipped = (*archive.skipped, *broken, *lost)
    work = _Work(examples, plan, context, names, skipped, looked, pictures)
    if plan.mode == "fine_tune":
        return (yield from _fine_tuned(work, archive, out_of_distribution, total, resume))
    return (yield from _learned(work, features_by_group(archive, out_of_distribution)))


def correct(
    examples: Examples, corrections: Mapping[str, str | None], plan: Plan, context: TransferContext, labels: Labels
) -> Steps[TrainedModel]:
    """Learn anew with other labels for some pictures, or without them (None); no picture is looked at again.

    `labels` are the classes so far, whose display names are kept. Raises `UnknownPictureError`, or
    `NotEnoughImagesError`.
    """
    displays = {label.label: label.display for label in labels if label.display}
    told = {label.label: label.imagenet for label in labels if label.imagenet}
    members = {one.label: members_of(one.label, told, context.imagenet) for one in labels}
    names = ClassLabels(displays, members, told)
    corrected = examples.corrected(corrections)
    return (yield from _learned(_Work(corrected, plan, context, names, (), 0.0, 0), {}))


@dataclass(frozen=True, eq=False)
class _Work:
    """What is there once all pictures were looked at, which took `looked` seconds and `done` steps of progress."""

    examples: Examples
    plan: Plan
    context: TransferContext
    names: ClassLabels
    skipped: Sequence[Skipped]
    looked: float
    done: int

    def zero_shot(self, classes: Sequence[str]) -> float | None:
        with torch.inference_mode():
            device = self.context.backbone.mean.device
            original = self.context.original(self.examples.features.to(device)).softmax(1).cpu()
        return zero_shot_accuracy(self.examples, classes, original, self.names.members)

    def taught(
        self, classes: Sequence[str], divided: Split, learned: Learned, unknown: Mapping[str, Any], began: float
    ) -> TrainedModel:
        """With what both modes leave behind."""
        backbone, seconds = self.context.backbone, {"features": self.looked, "fit": time.perf_counter() - began}
        record = {
            **_card(backbone, classes, learned.space),
            "training": _training(self.examples, self.plan, seconds),
            "metrics": {**learned.metrics, "unknown": unknown},
        }
        files = {
            LABELS: labels_file(classes, self.names),
            HEAD: save(head_tensors(learned.weights.weight, learned.weights.bias, learned.space)),
        }
        skipped = (_skipped(self.skipped),) if self.skipped else ()
        return TrainedModel(record, files, (*skipped, *oddities(self.examples, divided)), learned.worst)


def _learned(work: _Work, out_of_distribution: Mapping[str, Tensor]) -> Steps[TrainedModel]:
    began = time.perf_counter()
    examples, context, plan = work.examples, work.context, work.plan
    classes = classes_of(examples)
    divided = split(examples, classes, parts=plan.parts, seed=plan.seed)
    zero_shot = work.zero_shot(classes)
    learned = yield from learn(examples, classes, divided, seed=plan.seed, done=work.done, zero_shot=zero_shot)
    unknown = rejection_rates(
        learned.space,
        learned.distances,
        {**out_of_distribution, "noise": features_of_noise(context.forward, context.backbone.preprocessing)},
    )
    taught = work.taught(classes, divided, learned, unknown, began)
    remembered = {EXAMPLES: examples.to_bytes(context.backbone.weights.name)}
    return replace(taught, files={**taught.files, **remembered})


def _fine_tuned(
    work: _Work, archive: Archive, out_of_distribution: Examples, total: int, resume: State | None
) -> Steps[TrainedModel]:
    """From the head that a linear probe learns of all but the part that judges."""
    began = time.perf_counter()
    examples, context, plan = work.examples, work.context, work.plan
    classes = classes_of(examples)
    divided = split(examples, classes, parts=plan.parts, seed=plan.seed)
    judging = divided.fold == 0
    probe = Probe(examples, len(classes), divided)
    start = probe.on_raw_features((yield from probe.fit(~judging, L2_PENALTIES[-2])))
    entries = {entry.name: entry for entry in (*archive.entries, *archive.out_of_distribution)}
    looked_at = [entries[name] for name in (*examples.names, *out_of_distribution.names)]
    pictures = Pictures(archive, looked_at, divided.labels, judging, context.limits)
    backbone, _ = load_backbone(context.backbone.card.name, context.weights_dir, fold=False)
    device = context.backbone.mean.device
    tuned = yield from fine_tune(
        backbone.to(device),
        start,
        pictures,
        epochs=plan.epochs,
        augment=plan.augment,
        seed=plan.seed,
        threads=context.threads,
        done=work.done,
        total=total,
        resume=resume,
    )
    learned = of_logits(
        replace(examples, features=tuned.features[: len(examples)], mirrored=tuned.features[:0]),
        classes,
        divided,
        tuned.logits,
        tuned.weights,
        judged=judging,
        seed=plan.seed,
        zero_shot=work.zero_shot(classes),
        tuned=True,
    )
    learned = replace(learned, metrics={**learned.metrics, "best_epoch": tuned.epoch})
    groups = features_by_group(archive, replace(out_of_distribution, features=tuned.features[len(examples) :]))
    groups["noise"] = features_of_noise(TorchFeatureExtractor(backbone, device), backbone.preprocessing)
    unknown = rejection_rates(learned.space, learned.distances, groups)
    taught = work.taught(classes, divided, learned, unknown, began)
    return replace(taught, files={**taught.files, OWN_WEIGHTS: save(tuned.network)})


def _card(backbone: Backbone, classes: Sequence[str], space: FeatureSpace) -> dict[str, Any]:
    few = len(classes) <= 5
    return {
        "backbone": backbone.card.name,
        "weights": backbone.weights.name,
        "num_classes": len(classes),
        "description": {
            "en": f"{', '.join(classes)}: taught here" if few else f"{len(classes)} classes, taught here",
            "tr": f"{', '.join(classes)}: burada öğretildi" if few else f"{len(classes)} sınıf, burada öğretildi",
        },
        "unknown": {"threshold": round(space.threshold, 6), "spread": round(space.spread, 6)},
    }


def _training(examples: Examples, plan: Plan, seconds: Mapping[str, float]) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "seed": plan.seed,
        "augment": plan.augment,
        "val_fraction": plan.val_fraction,
        "pictures": len(examples),
        "counts": dict(Counter(examples.labels)),
        "seconds": {name: round(took, 2) for name, took in seconds.items()},
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()},
    }


def _skipped(skipped: Sequence[Skipped]) -> Warned:
    first = "; ".join(f"{one.name}: {one.reason}" for one in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return Warned(
        "skipped", f"{len(skipped)} files were left out: {first}{more}", tuple(one.name for one in skipped[:100])
    )
