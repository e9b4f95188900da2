import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.jobs.damage import Ledger, find_damage, guard, set_aside
from app.jobs.database import open_engine
from app.jobs.files import FileStore
from app.jobs.job import Order, QueueLimits
from app.jobs.outage import Outage
from app.jobs.queue import JobQueue
from app.jobs.remains import Remains
from app.main import create_app
from app.settings import Settings
from tests.support.commands import run
from tests.support.service import free_port, wait_until_ready

ORDER = Order("ideal_image", "imagenet/clear", "ada", {"steps": 5})
JOBS = 5


def open_queue(folder: Path) -> JobQueue:
    return JobQueue(f"sqlite:///{folder / 'jobs.sqlite'}", FileStore(str(folder / "files"), max_bytes=1), QueueLimits())


@pytest.fixture
def crashed(tmp_path: Path) -> Iterator[Path]:
    """A data folder as a service leaves it that was killed with five accepted jobs, most of them in the log alone."""
    with closing(open_queue(tmp_path / "alive")) as queue:
        for _ in range(JOBS):
            queue.submit(ORDER)
        folder = tmp_path / "crashed"
        folder.mkdir()
        for path in (tmp_path / "alive").glob("jobs.sqlite*"):
            if not path.name.endswith(".lock"):
                shutil.copy(path, folder)
        yield folder


def cut_log(folder: Path) -> None:
    os.truncate(folder / "jobs.sqlite-wal", 0)


def cut_end_of_log(folder: Path) -> None:
    log = folder / "jobs.sqlite-wal"
    os.truncate(log, log.stat().st_size - 4096)


def scribble(folder: Path) -> None:
    (folder / "jobs.sqlite-wal").unlink()
    (folder / "jobs.sqlite").write_bytes(b"this is no database " * 4096)


def lose(folder: Path) -> None:
    (folder / "jobs.sqlite").unlink()


def test_what_a_killed_service_leaves_is_whole(crashed: Path) -> None:
    assert find_damage(crashed / "jobs.sqlite") is None
    with closing(open_queue(crashed)) as queue:
        assert len(queue.list("ada", limit=9)) == JOBS
    assert find_damage(crashed / "jobs.sqlite") is None
    assert set_aside(crashed / "jobs.sqlite") == []


@pytest.mark.parametrize(
    ("damage", "sentence", "left"),
    [
        (cut_log, "5 of 5 jobs that were accepted are missing", 0),
        (cut_end_of_log, "1 of 5 jobs that were accepted are missing", JOBS - 1),
        (scribble, "It is broken: file is not a database.", 0),
        (lose, "It is gone, and with it 5 jobs that were accepted.", 0),
    ],
)
def test_a_damaged_database_is_set_aside_once_and_told_of(
    crashed: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], sentence: str, left: int
) -> None:
    damage(crashed)
    found = {path.name: path.read_bytes() for path in crashed.glob("jobs.sqlite*") if not path.name.endswith("-shm")}
    with caplog.at_level(logging.ERROR), closing(open_queue(crashed)) as queue:
        assert len(queue.list("ada", limit=9)) == left
        queue.submit(ORDER)
    ((folder, reason),) = set_aside(crashed / "jobs.sqlite")
    assert sentence in reason
    assert f"{sentence}" in caplog.text
    assert str(folder) in caplog.text
    assert folder.name.startswith("jobs.sqlite.damaged-")
    assert {name: (folder / name).read_bytes() for name in found} == found
    with closing(open_queue(crashed)) as queue:
        assert len(queue.list("ada", limit=9)) == left + 1
    assert len(set_aside(crashed / "jobs.sqlite")) == 1


def test_what_somebody_else_has_open_is_left_alone(crashed: Path) -> None:
    held = guard(crashed / "jobs.sqlite")
    scribble(crashed)
    os.close(guard(crashed / "jobs.sqlite"))
    assert set_aside(crashed / "jobs.sqlite") == []
    os.close(held)
    os.close(guard(crashed / "jobs.sqlite"))
    assert len(set_aside(crashed / "jobs.sqlite")) == 1


def test_the_ledger_knows_the_highest_number(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs.sqlite")
    for number in (1, 7, 3):
        ledger.note(number)
    assert int((tmp_path / "jobs.sqlite.accepted").read_text()) == 7
    Ledger(tmp_path / "jobs.sqlite")
    assert int((tmp_path / "jobs.sqlite.accepted").read_text()) == 7


def test_an_order_is_counted_within_the_transaction_that_takes_it(tmp_path: Path) -> None:
    with closing(open_queue(tmp_path)) as queue:
        queue.submit(ORDER, key="k")
        queue.submit(ORDER, key="k")
        queue.submit(ORDER)
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


@pytest.mark.parametrize(("patience_s", "level"), [(1.0, 2), (None, 1)])
def test_a_service_writes_through_to_the_disk_and_a_worker_need_not(
    tmp_path: Path, patience_s: float | None, level: int
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'jobs.sqlite'}", Outage(), patience_s=patience_s)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
    engine.dispose()


def test_the_files_of_the_jobs_that_it_knew_are_not_swept(crashed: Path) -> None:
    files = FileStore(str(crashed / "files"), max_bytes=1 << 20)
    files.put("job_of_old", "final.png", b"a picture")
    picture = crashed / "files/jobs/job_of_old/final.png"
    os.utime(picture, (0, 0))
    scribble(crashed)
    with closing(open_queue(crashed)):
        engine = open_engine(f"sqlite:///{crashed / 'jobs.sqlite'}", Outage())
        remains, keep = Remains(engine, files), timedelta(days=7)
        remains.sweep(keep)
        assert picture.is_file()
        shutil.rmtree(set_aside(crashed / "jobs.sqlite")[0][0])
        remains.sweep(keep)
        assert not picture.exists()
        engine.dispose()


@pytest.mark.slow
def test_readiness_and_the_doctor_tell_of_it(
    crashed: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_log(crashed)
    with TestClient(create_app(replace(settings, data_dir=crashed))) as client:
        wait_until_ready(client)
        ready = client.get("/readyz").json()
        (note,) = ready["notes"]
        assert "5 of 5 jobs that were accepted are missing" in note
        assert str(crashed) not in note
        assert client.get("/v1/jobs").json()["data"] == []
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(crashed))
    monkeypatch.setenv("INKBLOT_PORT", str(free_port()))
    _, out, _ = run("doctor")
    assert "jobs.sqlite.damaged-" in out
    assert "5 of 5 jobs" in out
