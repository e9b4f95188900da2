"""From an archive of labelled pictures to the files of a model and an account of how good it is."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from app.vision.ask import Steps
from app.vision.image import ImageLimits
from app.vision.labels import Labels
from app.vision.models.model_folder import EXAMPLES, HEAD, LABELS, OWN_WEIGHTS, head_tensors
from app.vision.networks.backbones import Backbone, load_backbone
from app.vision.serving.runtimes import FeatureExtractor, TorchFeatureExtractor
from app.vision.transfer.archive import Archive
from app.vision.transfer.cross_validation import Split, split
from app.vision.transfer.dataset import NotEnoughImagesError, Skipped, joined
from app.vision.transfer.examples import Examples
from app.vision.transfer.extraction import Extractor
from app.vision.transfer.fine_tuning import Pictures, State, fine_tune, steps_of
from app.vision.transfer.namesakes import ClassLabels, class_labels, labels_file, members_of
from app.vision.transfer.record import card_of, training_of
from app.vision.transfer.rejection import features_by_group, features_of_noise, rejection_rates
from app.vision.transfer.report import Mistake, Warned, copies_in, left_out, oddities, zero_shot_accuracy
from app.vision.transfer.training import (
    L2_PENALTIES,
    Learned,
    Probe,
    classes_of,
    count_of_fits,
    judged_by,
    learn,
    of_logits,
)

Mode = Literal["linear_probe", "fine_tune"]


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
    parts = Counter(entry.part for entry in archive.entries)
    learned = len(archive.entries) - parts["test"]
    total = pictures + count_of_fits(learned, 1 if parts["validation"] else plan.parts)
    if plan.mode == "fine_tune":
        total += steps_of(learned, plan.epochs)
    examples, broken = yield from extractor.extract(archive, archive.entries, known, total)
    out_of_distribution, lost = yield from extractor.extract(
        archive, archive.out_of_distribution, None, total, done=len(archive.entries)
    )
    _check(examples, archive)
    names = class_labels(archive, context.imagenet)
    looked = time.perf_counter() - began
    skipped = (*archive.skipped, *broken, *lost)
    layout = {"name": archive.layout.name, "detail": archive.layout.detail}
    work = _Work(examples, plan, context, names, skipped, looked, pictures, layout)
    if plan.mode == "fine_tune":
        return (yield from _fine_tuned(work, archive, out_of_distribution, total, resume))
    return (yield from _learned(work, features_by_group(archive, out_of_distribution)))


def correct(
    examples: Examples,
    corrections: Mapping[str, str | None],
    plan: Plan,
    context: TransferContext,
    labels: Labels,
    *,
    layout: Mapping[str, str] | None = None,
) -> Steps[TrainedModel]:
    """Learn anew with other labels for some pictures, or without them (None); no picture is looked at again.

    `labels` are the classes so far, whose display names are kept; `layout` says how the pictures were read.
    Raises `UnknownPictureError`, or `NotEnoughImagesError`.
    """
    displays = {label.label: label.display for label in labels if label.display}
    told = {label.label: label.imagenet for label in labels if label.imagenet}
    members = {one.label: members_of(one.label, told, context.imagenet) for one in labels}
    names = ClassLabels(displays, members, told)
    corrected = examples.corrected(corrections)
    return (yield from _learned(_Work(corrected, plan, context, names, (), 0.0, 0, layout), {}))


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
    layout: Mapping[str, str] | None

    @cached_property
    def learning(self) -> Examples:
        """Those that are learned from or choose."""
        return self.examples.of("learning", "validation")

    @cached_property
    def test(self) -> Examples:
        """Those that judge, where the archive says so; else the others do, in turn."""
        return self.examples.of("test")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return classes_of(self.examples.of("learning"), self.examples.labels)

    def zero_shot(self) -> float | None:
        judging = self.test if len(self.test) else self.learning
        with torch.inference_mode():
            device = self.context.backbone.mean.device
            original = self.context.original(judging.features.to(device)).softmax(1).cpu()
        return zero_shot_accuracy(judging, self.classes, original, self.names.members)

    def taught(self, divided: Split, learned: Learned, unknown: Mapping[str, Any], began: float) -> TrainedModel:
        """With what both modes leave behind."""
        classes, backbone = self.classes, self.context.backbone
        seconds = {"features": self.looked, "fit": time.perf_counter() - began}
        record = {
            **card_of(backbone, classes, learned.space),
            "training": training_of(self.learning, vars(self.plan), seconds) | self._origin(),
            "metrics": {**learned.metrics, "unknown": unknown},
        }
        files = {
            LABELS: labels_file(classes, self.names),
            HEAD: save(head_tensors(learned.weights.weight, learned.weights.bias, learned.space)),
        }
        skipped = (left_out(self.skipped),) if self.skipped else ()
        odd = (*oddities(self.learning, divided), *copies_in(self.test, self.learning))
        return TrainedModel(record, files, (*skipped, *odd), learned.worst)

    def _origin(self) -> dict[str, Any]:
        """How the archive was read, and what its pictures are for."""
        return {"layout": {**self.layout, "pictures": dict(Counter(self.examples.parts))}} if self.layout else {}


def _learned(work: _Work, out_of_distribution: Mapping[str, Tensor]) -> Steps[TrainedModel]:
    began = time.perf_counter()
    learning, classes, context, plan = work.learning, work.classes, work.context, work.plan
    divided = split(learning, classes, parts=plan.parts, seed=plan.seed)
    zero_shot = work.zero_shot()
    learned = yield from learn(learning, classes, divided, seed=plan.seed, done=work.done, zero_shot=zero_shot)
    if len(work.test):
        learned = judged_by(learned, work.test, classes, zero_shot)
    unknown = rejection_rates(
        learned.space,
        learned.distances,
        {**out_of_distribution, "noise": features_of_noise(context.forward, context.backbone.preprocessing)},
    )
    taught = work.taught(divided, learned, unknown, began)
    remembered = {EXAMPLES: work.examples.to_bytes(context.backbone.weights.name)}
    return replace(taught, files={**taught.files, **remembered})


def _fine_tuned(
    work: _Work, archive: Archive, out_of_distribution: Examples, total: int, resume: State | None
) -> Steps[TrainedModel]:
    """From the head that a linear probe learns of all but the part that judges."""
    began = time.perf_counter()
    learning, test, classes, context, plan = work.learning, work.test, work.classes, work.context, work.plan
    divided = split(learning, classes, parts=plan.parts, seed=plan.seed)
    judging = divided.fold == 0
    probe = Probe(learning, len(classes), divided)
    start = probe.on_raw_features((yield from probe.fit(~judging, L2_PENALTIES[-2])))
    entries = {entry.name: entry for entry in (*archive.entries, *archive.out_of_distribution)}
    looked_at = [entries[name] for name in (*learning.names, *test.names, *out_of_distribution.names)]
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
        replace(learning, features=tuned.features[: len(learning)], mirrored=tuned.features[:0]),
        classes,
        divided,
        tuned.logits,
        tuned.weights,
        judged=judging,
        seed=plan.seed,
        zero_shot=work.zero_shot(),
        tuned=True,
    )
    rest = tuned.features[len(learning) :]
    if len(test):
        learned = judged_by(learned, replace(test, features=rest[: len(test)]), classes, work.zero_shot())
    learned = replace(learned, metrics={**learned.metrics, "best_epoch": tuned.epoch})
    groups = features_by_group(archive, replace(out_of_distribution, features=rest[len(test) :]))
    groups["noise"] = features_of_noise(TorchFeatureExtractor(backbone, device), backbone.preprocessing)
    unknown = rejection_rates(learned.space, learned.distances, groups)
    taught = work.taught(divided, learned, unknown, began)
    return replace(taught, files={**taught.files, OWN_WEIGHTS: save(tuned.network)})


def _check(examples: Examples, archive: Archive) -> None:
    """Raises `NotEnoughImagesError` where pictures that could not be read were needed."""
    classes_of(examples.of("learning"), archive.labels)
    if lost := {entry.part for entry in archive.entries} - set(examples.parts):
        raise NotEnoughImagesError(
            f"None of the pictures can be read that are for {joined(sorted(lost))}.", dict(Counter(examples.labels))
        )
