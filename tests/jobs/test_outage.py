import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.jobs import outage as outages
from app.jobs.database import Alive, open_engine
from app.jobs.files import FileStore
from app.jobs.job import Event, Job, Order, QueueDownError, QueueLimits, Status
from app.jobs.outage import Outage
from app.jobs.queue import JobQueue
from app.settings import Settings
from benchmarks.postgres import Postgres
from tests.support.clock import Clock
from tests.support.paths import ROOT
from tests.support.postgres import running_postgres
from tests.support.waiting import ended, wait_until

_PATIENCE_S = 240.0
"""A worker has a low priority, and this machine may be busy."""


def test_one_at_a_time_tries_and_the_log_has_one_line(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("The sea")
    caplog.set_level(logging.WARNING)
    assert outage.may_try()
    assert outage.may_try()
    for _ in range(50):
        outage.failed(OSError("no water\nand more"))
    assert outage.lasts
    assert not outage.may_try()
    while not outage.may_try():  # a second later
        pass
    assert not outage.may_try()
    outage.is_over()
    assert outage.may_try()
    assert outage.may_try()
    (away, back) = [record.getMessage() for record in caplog.records]
    assert away == "The sea cannot be reached (no water); it is tried again all the while."
    assert "The sea is back" in back


def test_who_is_not_let_try_does_not_put_off_who_may(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(outages, "time", clock)
    outage = Outage()
    outage.failed(OSError("no water"))
    while not outage.may_try():
        outage.failed(OSError("there was none a moment ago"))
        clock.sleep(0.3)
        assert clock.now < 2


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


def until_back(what: Callable[[], bool]) -> bool:
    while True:
        with suppress(sa.exc.OperationalError):  # nobody tries within a second of the last who did
            return what()


@pytest.mark.slow
def test_a_lock_that_a_restart_of_the_database_freed_is_taken_anew(own_postgres: Postgres) -> None:
    engine = open_engine(own_postgres.url, Outage())
    mine, other = Alive(engine, "me"), Alive(engine, "me")
    assert mine.take()
    assert not other.take()
    own_postgres.stop()
    own_postgres.start()
    assert until_back(mine.hold)
    assert not other.take()
    assert mine.hold()
    own_postgres.stop()
    own_postgres.start()
    assert until_back(other.take)
    assert not until_back(mine.hold)
    other.release()
    engine.dispose()


@pytest.mark.slow
def test_the_server_keeps_no_lock_of_a_machine_that_is_gone(own_postgres: Postgres) -> None:
    engine = open_engine(own_postgres.url, Outage())
    limits = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
    limits["idle_in_transaction_session_timeout"] = "1min"
    for _ in range(2):  # what the pool resets goes on
        with engine.connect() as connection:
            assert {name: connection.scalar(sa.text(f"SHOW {name}")) for name in limits} == limits
    engine.dispose()


def running(_job: Job, events: list[Event]) -> bool:
    return any(event.name == "progress" for event in events)


@contextmanager
def worker_of(settings: Settings, said: Path) -> Iterator[None]:
    with said.open("w") as log:
        command = [sys.executable, "-m", "app", "worker"]
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings.environ(), stderr=log)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["frozen", "gone"])
def test_a_running_job_outlives_an_outage_and_the_log_stays_short(
    own_postgres: Postgres, tmp_path: Path, how: str
) -> None:
    settings = Settings(data_dir=tmp_path / "var", database_url=own_postgres.url, worker="external", engine="torch")
    queue = JobQueue(settings.jobs_database, FileStore(settings.jobs_files, max_bytes=1 << 30), QueueLimits())
    choices = {"model": "imagenet", "objective": {"label": "zebra"}, "preset": "quick", "size": 64, "seed": 3}
    said = tmp_path / "worker.log"
    with closing(queue), worker_of(settings, said):
        job = queue.submit(Order("ideal_image", "quick", "ada", {**choices, "steps": 8}))
        wait_until(queue, job, running, seconds=_PATIENCE_S)
        own_postgres.freeze() if how == "frozen" else own_postgres.stop()
        away = time.monotonic()
        while time.monotonic() - away < 4:  # so long is the outage
            with pytest.raises(QueueDownError):
                queue.get(job.id)
            threading.Event().wait(0.2)
        own_postgres.thaw() if how == "frozen" else own_postgres.start()
        while True:
            with suppress(QueueDownError):
                queue.get(job.id)
                break
        assert wait_until(queue, job, ended, seconds=_PATIENCE_S).status is Status.SUCCEEDED
        after = queue.submit(Order("ideal_image", "quick", "ada", {**choices, "steps": 1}))
        assert wait_until(queue, after, ended, seconds=_PATIENCE_S).status is Status.SUCCEEDED
    lines = [line for line in said.read_text().splitlines() if " INFO " not in line]
    assert sum("cannot be reached" in line for line in lines) <= 1, lines
    assert not any("Retrying" in line for line in lines), lines
