from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.jobs.files import StorageDownError
from app.jobs.kinds import training
from app.jobs.kinds.training import TrainingJobs
from app.vision.ask import run_steps
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


def test_a_lesson_whose_store_is_away_waits_for_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_STORE_PAUSE_S", 0)
    models = Away(3)
    nothing: Any = None
    jobs = TrainingJobs(cast("ModelRepository", models), nothing, nothing, tmp_path, "torch", 1)
    taught: Any = SimpleNamespace(record={"training": {"seconds": 1.0}, "metrics": {}}, files={}, worst=[], warnings=[])
    steps = jobs._published("job_1", "pets", taught, None, replace=False)
    for _ in range(3):
        next(steps)  # a pause, at which it may be canceled
    assert run_steps(steps).result["version"] == 1
    assert models.attempts == 0
