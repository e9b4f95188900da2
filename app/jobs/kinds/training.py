"""Jobs that teach: a new model from an archive of pictures, or its next version from corrected labels."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import torch

from app.jobs.files import StorageDownError
from app.jobs.kinds.images import Input, JobResult
from app.jobs.params import CorrectionChoices, TeachChoices
from app.vision.ask import Pause, Steps
from app.vision.classifier import ModelCard
from app.vision.image import ImageLimits
from app.vision.models.model_folder import EXAMPLES, ModelExistsError
from app.vision.models.repository import ModelRepository, UnknownModelError
from app.vision.serving.forwards import Forwards
from app.vision.serving.precision import Precision
from app.vision.serving.runtimes import Runtime
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import DatasetLimits
from app.vision.transfer.examples import Examples, NoExamplesError
from app.vision.transfer.teaching import Plan, TrainedModel, TransferContext, correct, teach

State = Mapping[str, torch.Tensor]
_STORE_PAUSE_S: Final = 1.0
_KEPT: Final = ("mode", "epochs", "val_fraction", "augment", "seed")


@dataclass
class TrainingJobs:
    """Makes the steps of a job that teaches. `cache_dir` keeps what the quickest implementation was converted to.

    Heads are learned in float32, also where something quicker serves: they serve on other machines, too.
    """

    models: ModelRepository
    limits: ImageLimits
    dataset_limits: DatasetLimits
    cache_dir: Path
    engine: Runtime
    threads: int
    precision: Precision = "exact"

    @cached_property
    def forwards(self) -> Forwards:
        """What answers in this process."""
        return Forwards(
            self.models.device,
            engine=self.engine,
            precision=self.precision,
            cache_dir=self.cache_dir,
            threads=self.threads,
        )

    def teach(
        self, identity: str, choices: Input, upload: BinaryIO, resume: State | None, *, owner: str | None = None
    ) -> Steps[JobResult]:
        """Learn what the archive holds, and publish it as the `owner`'s, or everybody's.

        Raises also what `ModelRepository.backbone` raises, and `ModelExistsError` for a model that is another's.
        """
        asked = TeachChoices.model_validate(choices)
        self._check_name(asked.name, identity, owner, replace=asked.replace)
        plan = _plan(asked.model_dump())
        with upload, Archive(upload, self.dataset_limits, scratch=self.cache_dir) as archive:
            known = self._known(asked.name, asked.backbone) if asked.replace else None
            taught = yield from teach(archive, plan, self.context(asked.backbone), known=known, resume=resume)
        return (yield from self._published(identity, asked.name, taught, owner, replace=asked.replace))

    def correct(self, identity: str, choices: Input) -> Steps[JobResult]:
        """Learn anew from remembered pictures with other labels. Raises `NoExamplesError`."""
        name = str(choices["model"])
        asked = CorrectionChoices.model_validate({key: one for key, one in choices.items() if key != "model"})
        card = self.models.card(name)
        examples = self._known(name, card.backbone)
        if examples is None:
            raise NoExamplesError(name)
        corrections = {one.picture: one.label for one in asked.corrections}
        if card.training.get("job") == identity:  # interrupted after it had published: what it left out is gone
            corrections = {picture: corrections[picture] for picture in examples.names if picture in corrections}
        context, labels = self.context(card.backbone), self.models.labels(name)
        plan, layout = _plan(card.training), cast("Mapping[str, str] | None", card.training.get("layout"))
        taught = yield from correct(examples, corrections, plan, context, labels, layout=layout)
        return (yield from self._published(identity, name, taught, card.owner, replace=True))

    def _check_name(self, name: str, identity: str, owner: str | None, *, replace: bool) -> ModelCard | None:
        """The one that is replaced, if there is one. Whoever has no owner is an admin, or there are no keys."""
        try:
            card = self.models.card(name)
        except UnknownModelError:
            return None
        if not card.is_trained or not (replace or card.training.get("job") == identity):
            raise ModelExistsError(name)
        if owner not in {None, card.owner}:
            raise ModelExistsError(name)
        return card

    def _known(self, name: str, backbone: str) -> Examples | None:
        path = self.models.file(name, EXAMPLES)
        return Examples.read(path, self.models.backbone(backbone)[0].weights.name) if path else None

    def context(self, name: str) -> TransferContext:
        """For a backbone; slow the first time. Raises what `ModelRepository.backbone` raises."""
        backbone, original = self.models.backbone(name)
        forward = self.forwards.precise(backbone, original)
        return TransferContext(
            backbone,
            original,
            self.models.original_labels(),
            forward,
            threads=self.threads,
            weights_dir=self.models.weights_dir,
            limits=self.limits,
        )

    def _published(
        self, identity: str, name: str, taught: TrainedModel, owner: str | None, *, replace: bool
    ) -> Steps[JobResult]:
        """A job that was interrupted after it had published does so again; one whose store is away waits for it.

        What an admin replaces stays its owner's.
        """
        record = {**taught.record, "training": {**taught.record["training"], "job": identity}}
        version: int | None = None
        looked = False
        while version is None:
            try:
                before = self._check_name(name, identity, owner, replace=replace)
                if belongs := before.owner if before else owner:
                    record["owner"] = belongs
                version = self.models.publish(name, record, taught.files, replace=replace or before is not None)
            except StorageDownError:
                looked = False
                yield Pause()  # here it can be canceled, or go on elsewhere
                time.sleep(_STORE_PAUSE_S)
            except ModelExistsError:  # perhaps our own, which the store took before it went away
                if looked:
                    raise
                looked = True
                self.models.refresh()
        files = {f"worst-{number:02}.jpg": one.thumbnail for number, one in enumerate(taught.worst, 1)}
        result: dict[str, Any] = {
            "model": name,
            "version": version,
            "layout": record["training"].get("layout"),
            "metrics": record["metrics"],
            "worst": [
                {"picture": one.name, "true": one.true, "predicted": one.predicted, "score": one.score, "file": file}
                for one, file in zip(taught.worst, files, strict=True)
            ],
            "warnings": [
                {"kind": one.kind, "detail": one.detail, "pictures": list(one.pictures)} for one in taught.warnings
            ],
            "seconds": record["training"]["seconds"],
            "files": {},
        }
        return JobResult(result, files)


def _plan(choices: Mapping[str, Any]) -> Plan:
    return Plan(**{name: choices[name] for name in _KEPT if choices.get(name) is not None})
