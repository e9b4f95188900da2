import asyncio
import logging

import pytest

from app.jobs import patience
from app.jobs.engine import EngineStoppedError
from app.jobs.files import StorageDownError
from app.jobs.outage import Outage
from app.jobs.patience import Patience


class Away:
    """A store that is away for so many attempts."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts

    def put(self, name: str) -> str:
        if self.attempts:
            self.attempts -= 1
            raise StorageDownError("The store of the jobs' files cannot be reached.")
        return f"{name} is there"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0)


def patience_of(*, ends: bool = False) -> Patience:
    return Patience(StorageDownError, Outage("The store of the jobs' files"), lambda: ends)


def test_what_needs_the_store_waits_for_it_and_the_log_is_told_twice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    store = patience_of()
    assert asyncio.run(store.until_done(Away(5).put, "final.png")) == "final.png is there"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("The store of the jobs' files cannot be reached (")
    assert told[1].startswith("The store of the jobs' files is back after ")


def test_a_worker_that_leaves_hands_the_job_on() -> None:
    store = patience_of(ends=True)
    with pytest.raises(EngineStoppedError):
        asyncio.run(store.until_done(Away(1).put, "final.png"))


def test_other_failures_are_the_jobs_own() -> None:
    def broken() -> None:
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        asyncio.run(patience_of().until_done(broken))
