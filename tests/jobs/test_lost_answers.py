"""The database goes away at the worst of moments: between what it did and what it says of it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.jobs.files import FileStore
from app.jobs.job import Order, QueueDownError, QueueLimits, Status
from app.jobs.queue import JobQueue
from app.settings import Settings
from tests.support.paths import ROOT
from tests.support.pictures import png
from tests.support.waiting import ended, wait_until
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

_PATIENCE_S = 120.0
"""A worker has a low priority, and this machine may be busy."""
_CHOICES = {"model": "imagenet", "objective": {"layer": "_blocks.0", "channel": 7}, "preset": "raw", "size": 64}
_ORDER = Order("ideal_image", "raw", "ada", {**_CHOICES, "steps": 2, "seed": 3})


@pytest.fixture
def wire(job_settings: Settings) -> Iterator[Wire]:
    with Wire(int(sa.make_url(job_settings.jobs_database).port or 0)) as wire:
        yield wire


def over(wire: Wire, settings: Settings) -> Settings:
    url = sa.make_url(settings.jobs_database).set(port=wire.port)
    return replace(settings, database_url=url.render_as_string(hide_password=False))


@contextmanager
def worker_of(settings: Settings) -> Iterator[None]:
    command = [sys.executable, "-m", "app", "worker"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings.environ())
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def once(wire: Wire, what: Callable[[bytes, bytes], bool]) -> Callable[[bytes, bytes], bool]:
    return lambda said, before: wire.cuts == 0 and what(said, before)


@pytest.mark.parametrize("job_settings", ["postgres"], indirect=True)
def test_a_job_that_is_begun_as_the_database_goes_away_waits_for_it(
    queue: JobQueue, wire: Wire, job_settings: Settings
) -> None:
    wire.before = once(wire, lambda said, _: b"SELECT dbos.workflow_status.attributes \n" in said)
    job = queue.submit(_ORDER)
    with worker_of(over(wire, job_settings)):
        done = wait_until(queue, job, ended, seconds=_PATIENCE_S)
    assert wire.cuts == 1
    assert done.status is Status.SUCCEEDED, done.outcome


@pytest.mark.parametrize("job_settings", ["postgres"], indirect=True)
def test_an_order_that_is_taken_after_its_service_gave_up_has_its_upload(wire: Wire, job_settings: Settings) -> None:
    wire.after = once(wire, lambda said, before: b"COMMIT" in said and b"INSERT INTO dbos.workflow_status" in before)
    files = FileStore(job_settings.jobs_files, max_bytes=1 << 20)
    order = replace(_ORDER, upload=png())
    with closing(JobQueue(over(wire, job_settings).jobs_database, files, QueueLimits())) as service:
        with pytest.raises(QueueDownError):
            service.submit(order, key="k")
        assert service.list("ada", limit=9) == []
        wire.late.set()
        while not (found := service.list("ada", limit=9)):
            pass
        job = service.submit(order, key="k")
        (row,) = service._client.list_workflows(workflow_ids=[job.id])
    assert [one.id for one in found] == [job.id]
    assert wire.cuts == 1
    assert row.input
    assert files.kept(job.id, row.input["args"][3]) == order.upload


@pytest.mark.parametrize("job_settings", ["postgres"], indirect=True)
def test_a_job_that_was_given_to_a_worker_which_did_not_hear_of_it_is_begun_anew(
    queue: JobQueue, wire: Wire, job_settings: Settings
) -> None:
    wire.after = once(wire, lambda said, before: b"COMMIT" in said and b"recovery_attempts=" in before)
    wire.late.set()
    job = queue.submit(_ORDER)
    with worker_of(over(wire, job_settings)):
        done = wait_until(queue, job, ended, seconds=_PATIENCE_S)
    assert wire.cuts == 1
    assert done.status is Status.SUCCEEDED, done.outcome
