from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.jobs.files import StorageDownError
from app.jobs.kinds import training
from app.jobs.kinds.images import JobResult
from app.jobs.kinds.training import TrainingJobs
from app.vision.ask import Steps, run_steps
from app.vision.models.model_folder import ModelExistsError
from app.vision.models.repository import ModelRepository, UnknownModelError


class Away:
    """Models whose store is away for so many attempts."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts

    def card(self, name: str) -> None:
        raise UnknownModelError(name, ())

    def publish(self, *_: object, **__: object) -> int:
        if self.attempts:
            self.attempts -= 1
            raise StorageDownError("The store of the models cannot be reached.")
        return 1


class Taken(Away):
    """Models of which one is there, which is known here once it was looked for."""

    def __init__(self, job: str) -> None:
        super().__init__(0)
        self.there = SimpleNamespace(is_trained=True, training={"job": job}, owner=None)
        self.here: SimpleNamespace | None = None

    def refresh(self) -> None:
        self.here = self.there

    def card(self, name: str) -> Any:
        return self.here or super().card(name)

    def publish(self, *args: object, **choices: object) -> int:
        if not choices["replace"]:
            raise ModelExistsError(str(args[0]))
        return 2


def published(models: Away, tmp_path: Path) -> Steps[JobResult]:
    nothing: Any = None
    jobs = TrainingJobs(cast("ModelRepository", models), nothing, nothing, tmp_path, "torch", 1)
    taught: Any = SimpleNamespace(record={"training": {"seconds": 1.0}, "metrics": {}}, files={}, worst=[], warnings=[])
    return jobs._published("job_1", "pets", taught, None, replace=False)


def test_a_lesson_that_the_store_took_as_it_went_away_is_its_own(tmp_path: Path) -> None:
    assert run_steps(published(Taken("job_1"), tmp_path)).result["version"] == 2
    with pytest.raises(ModelExistsError):
        run_steps(published(Taken("job_2"), tmp_path))


def test_a_model_that_stays_unknown_is_not_looked_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Taken, "refresh", lambda _: None)
    with pytest.raises(ModelExistsError):
        run_steps(published(Taken("job_1"), tmp_path))


def test_a_lesson_whose_store_is_away_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_STORE_PAUSE_S", 0)
    models = Away(3)
    steps = published(models, tmp_path)
    for _ in range(3):
        next(steps)  # a pause, at which it may be canceled
    assert run_steps(steps).result["version"] == 1
    assert models.attempts == 0
