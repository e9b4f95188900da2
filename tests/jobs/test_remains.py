"""After every end of a job only its result remains, whether it was about a picture or an archive."""

import os
import subprocess  # noqa: TC003
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.jobs.files import FileStore
from app.jobs.job import Event, Job, Order, QueueLimits, Status
from app.jobs.queue import JobQueue
from app.jobs.remains import Remains
from app.settings import Settings
from tests.support.pictures import shape, shapes, zipped
from tests.support.service import free_port
from tests.support.waiting import ended, wait_until

Start = Callable[[], "subprocess.Popen[bytes]"]
pytestmark = pytest.mark.parametrize("job_settings", ["sqlite"], indirect=True)


@pytest.fixture
def queue(job_settings: Settings) -> Iterator[JobQueue]:
    files = FileStore(job_settings.jobs_files, max_bytes=job_settings.files_max_bytes)
    queue = JobQueue(job_settings.jobs_database, files, QueueLimits())
    yield queue
    queue.close()


def attack(**choices: Any) -> Order:
    """Of a picture; it would take for ever, if it is not told otherwise."""
    long = {"model": "imagenet", "target": "tabby", "method": "lesson", "epsilon": 0.001, "steps": 1000, "seed": 1}
    return Order("adversarial_image", "imagenet/lesson", "ada", long | choices, shape("red", 0))


def lesson(name: str, archive: bytes = zipped(shapes(3)), **choices: Any) -> Order:
    """Of an archive; it would take for ever, if it is not told otherwise."""
    return Order("model", "lesson", "ada", {"name": name, "mode": "fine_tune", "epochs": 100} | choices, archive)


def left(settings: Settings) -> set[str]:
    """All files of all jobs, those included that no list of the store shows."""
    place = Path(settings.jobs_files)
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def moves(_job: Job, events: list[Event]) -> bool:
    return any(event.name == "progress" for event in events)


def test_of_jobs_that_never_ran_nothing_remains(queue: JobQueue, job_settings: Settings) -> None:
    for order in (attack(), lesson("never")):
        canceled, deleted = queue.submit(order), queue.submit(order)
        assert len(left(job_settings)) == 2
        assert queue.cancel(canceled.id).status is Status.CANCELED
        queue.delete(deleted.id)
        assert left(job_settings) == set()


def begun(queue: JobQueue, order: Order, state: str = "PENDING") -> Job:
    """An order as a worker has it, or leaves it, that is at it, with all that it writes by the way."""
    job = queue.submit(order)
    with queue._engine.begin() as connection:
        values = {"state": state, "job": job.id}
        connection.execute(sa.text("UPDATE workflow_status SET status = :state WHERE workflow_uuid = :job"), values)
    queue._files.keep(job.id, "checkpoint", b"a state")
    queue._files.put(job.id, "preview.webp", b"a preview")
    queue._files.put(job.id, "final.png", b"a result, perhaps of many files the first")
    return job


@pytest.fixture
def remains(queue: JobQueue) -> Remains:
    return Remains(queue._engine, queue._files)


@pytest.mark.parametrize("order", [attack(), lesson("shapes")], ids=["picture", "archive"])
def test_after_every_end_only_the_result_remains(
    queue: JobQueue, remains: Remains, job_settings: Settings, order: Order
) -> None:
    def names(job: Job) -> set[str]:
        return {path.rpartition("/")[2] for path in left(job_settings) if job.id in path}

    succeeded, failed, noticed = (begun(queue, order) for _ in range(3))
    for job, status in ((succeeded, "succeeded"), (failed, "failed"), (noticed, "canceled")):
        remains.tidy(job.id, {"status": status})
    assert names(succeeded) == {"preview.webp", "final.png"}
    assert names(failed) == names(noticed) == {"preview.webp"}

    canceled, deleted, elsewhere = (begun(queue, order) for _ in range(3))
    assert queue.cancel(canceled.id).status is Status.CANCELED
    queue.delete(deleted.id)
    queue._files.keep(deleted.id, "checkpoint", b"what the worker wrote before it noticed")
    before = names(elsewhere)
    for job in (canceled, deleted, elsewhere):
        remains.tidy(job.id)
    assert names(canceled) == {"preview.webp"}
    assert names(deleted) == set()
    assert names(elsewhere) == before, "it has not ended: another worker goes on with it"


def test_what_a_worker_leaves_that_dies_before_it_could_tidy_the_next_sweep_deletes(
    queue: JobQueue, remains: Remains, job_settings: Settings
) -> None:
    keep = timedelta(days=7)
    running = begun(queue, attack())
    over = [begun(queue, attack(), state) for state in ("SUCCESS", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")]
    half_written = Path(job_settings.jobs_files) / "work" / over[0].id / "checkpoint#1"
    half_written.write_bytes(b"half")
    remains.sweep(keep)
    of_running = {f"work/{running.id}/checkpoint", f"jobs/{running.id}/preview.webp", f"jobs/{running.id}/final.png"}
    results = {f"jobs/{job.id}/preview.webp" for job in over} | {f"jobs/{over[0].id}/final.png"}
    found = left(job_settings)
    assert of_running <= found
    assert {path for path in found if running.id not in path} == results
    with queue._engine.begin() as connection:
        connection.execute(sa.text("UPDATE workflow_status SET completed_at = 1 WHERE status <> 'PENDING'"))
    remains.sweep(timedelta(days=365 * 30))  # a quarter of the time after which they would be forgotten altogether
    assert all(running.id in path for path in left(job_settings))


def test_what_a_killed_process_has_not_written_to_its_end_goes_with_the_job_or_after_an_hour(
    queue: JobQueue, remains: Remains, job_settings: Settings
) -> None:
    place = Path(job_settings.jobs_files)
    job = begun(queue, attack())
    (place / "jobs" / job.id / "final.png#1").write_bytes(b"half")
    remains.tidy(job.id, {"status": "succeeded"})
    assert left(job_settings) == {f"jobs/{job.id}/preview.webp", f"jobs/{job.id}/final.png"}

    never_accepted = place / "work" / "job_1" / "upload-1#1"
    never_accepted.parent.mkdir(parents=True)
    never_accepted.write_bytes(b"half an archive")
    remains.sweep(timedelta(days=7))
    assert never_accepted.exists(), "it may still be being written"
    an_hour_ago = time.time() - 3700
    os.utime(never_accepted, (an_hour_ago, an_hour_ago))
    remains.sweep(timedelta(days=7))
    assert not never_accepted.exists()


def test_a_store_that_is_away_costs_a_sweep_and_a_cancellation_nothing_but_their_deletions(
    queue: JobQueue,
    remains: Remains,
    job_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    waiting, running = queue.submit(attack()), begun(queue, attack())
    over = begun(queue, attack(), "SUCCESS")
    there, away = queue._files, nowhere(monkeypatch)
    queue._files = away
    before = left(job_settings)
    assert queue.cancel(waiting.id).status is Status.CANCELED
    Remains(queue._engine, away).sweep(timedelta(days=7))
    assert left(job_settings) == before
    assert [record.levelname for record in caplog.records if record.name == "app.jobs.remains"] == ["WARNING"]
    queue._files = there
    remains.sweep(timedelta(days=7))
    results = {f"jobs/{over.id}/preview.webp", f"jobs/{over.id}/final.png"}
    assert {path for path in left(job_settings) if running.id not in path} == results


def nowhere(monkeypatch: pytest.MonkeyPatch) -> FileStore:
    """A bucket at a port where nobody listens."""
    place = {"ENDPOINT": f"http://127.0.0.1:{free_port()}", "REGION": "here", "ALLOW_HTTP": "true"}
    for name, value in {**place, "SKIP_SIGNATURE": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return FileStore("s3://bucket/folder", max_bytes=1 << 20)


def test_uploads_are_kept_for_as_long_as_the_service_says(
    queue: JobQueue, remains: Remains, job_settings: Settings
) -> None:
    keeping = Remains(queue._engine, queue._files, timedelta(hours=2))
    done, running, deleted = (
        begun(queue, attack(), "SUCCESS"),
        begun(queue, attack()),
        begun(queue, attack(), "SUCCESS"),
    )

    def work_of(job: Job) -> set[str]:
        return {path.rpartition("/")[2].partition("-")[0] for path in left(job_settings) if f"work/{job.id}/" in path}

    def end_ago(hours: float) -> None:
        with queue._engine.begin() as connection:
            at = (datetime.now(UTC) - timedelta(hours=hours)).timestamp() * 1e3
            change = "UPDATE workflow_status SET completed_at = :at WHERE status = 'SUCCESS'"
            connection.execute(sa.text(change), {"at": at})

    end_ago(1)
    keeping.tidy(done.id)
    queue.delete(deleted.id)
    keeping.sweep(timedelta(days=7))
    assert work_of(done) == {"upload"}
    assert work_of(running) == {"upload", "checkpoint"}
    assert work_of(deleted) == set(), "who deletes a job deletes all of it"
    end_ago(3)
    keeping.sweep(timedelta(days=7))
    assert work_of(done) == set()
    assert work_of(running) == {"upload", "checkpoint"}


@pytest.mark.slow
def test_a_worker_leaves_the_results_alone(queue: JobQueue, start_worker: Start, job_settings: Settings) -> None:
    start_worker()
    canceled, deleted = queue.submit(attack()), queue.submit(attack())
    succeeded, failed = queue.submit(attack(method="fgsm", steps=1)), queue.submit(lesson("broken", b"no archive"))
    for job in (canceled, deleted):
        wait_until(queue, job, moves, seconds=300)
    assert queue.cancel(canceled.id).status is Status.CANCELED
    queue.delete(deleted.id)
    assert wait_until(queue, succeeded, ended, seconds=300).status is Status.SUCCEEDED
    assert wait_until(queue, failed, ended, seconds=300).status is Status.FAILED
    previews = {f"jobs/{job.id}/preview.webp" for job in (succeeded, canceled)}
    files = {f"jobs/{succeeded.id}/{name}" for name in ("original.png", "adversarial.png", "perturbation.png")}
    results = {*files, f"jobs/{succeeded.id}/recipe.json"}
    # The worker notices a cancellation at the next step.
    wait_until(queue, succeeded, lambda *_: results <= left(job_settings) <= results | previews)
