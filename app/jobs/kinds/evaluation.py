"""Jobs that judge a model, and perhaps another beside it, on an archive of pictures."""

from collections.abc import Mapping
from typing import BinaryIO

import torch

from app.jobs.kinds.images import Input, JobResult
from app.jobs.kinds.training import TrainingJobs
from app.jobs.params import EvaluationChoices, labels_told
from app.vision.ask import Steps
from app.vision.evaluation.evaluation import Choices, evaluate
from app.vision.evaluation.folders import strangers_for
from app.vision.evaluation.looking import Judged
from app.vision.models.model_folder import EXAMPLES
from app.vision.transfer.archive import Archive
from app.vision.transfer.examples import Examples


def evaluation(
    jobs: TrainingJobs, choices: Input, upload: BinaryIO, resume: Mapping[str, torch.Tensor] | None
) -> Steps[JobResult]:
    """Ask `model`, and `compare` if there is one. Raises also what `ModelRepository.load` raises."""
    asked = EvaluationChoices.model_validate(choices)
    judged = judged_by(jobs, asked.model or "")
    rival = judged_by(jobs, asked.compare) if asked.compare else None
    wanted = Choices(labels_told(asked.labels), asked.corruptions, asked.seed or 0, asked.lang or "en")
    strangers = strangers_for(judged.classifier.labels)
    with upload, Archive(upload, jobs.dataset_limits, scratch=jobs.cache_dir, strangers=strangers) as archive:
        found = yield from evaluate(
            archive, judged, rival, wanted, limits=jobs.limits, threads=jobs.threads, resume=resume
        )
    return JobResult(found.result, found.files)


def judged_by(jobs: TrainingJobs, name: str) -> Judged:
    """A model with all that it takes to judge it; slow the first time."""
    classifier = jobs.models.load(name)
    path = jobs.models.file(name, EXAMPLES)
    learned = Examples.read(path, classifier.backbone.weights.name) if path else None
    return Judged(classifier, jobs.forwards.prepare(classifier), learned)
