"""A cancellation that comes too late changes nothing."""

import time

import pytest
import sqlalchemy as sa

from app.jobs.job import Job, Order, Status
from app.jobs.queue import JobQueue

ORDER = Order("ideal_image", "imagenet/clear", "ada", {"steps": 5})


def end(queue: JobQueue, job: Job, state: str) -> None:
    """As a worker ends it, or the last of many that died of it."""
    jobs = queue._tables._jobs
    now = int(time.time() * 1e3)
    with queue._engine.begin() as connection:
        values = {"status": state, "completed_at": now}
        connection.execute(sa.update(jobs).where(jobs.c.workflow_uuid == job.id).values(values))


@pytest.mark.parametrize(
    ("state", "status"),
    [("SUCCESS", Status.SUCCEEDED), ("ERROR", Status.FAILED), ("MAX_RECOVERY_ATTEMPTS_EXCEEDED", Status.FAILED)],
)
def test_a_job_that_has_ended_stays_as_it_ended(queue: JobQueue, state: str, status: Status) -> None:
    job = queue.submit(ORDER)
    queue._files.put(job.id, "final.png", b"a picture")
    end(queue, job, state)
    before = queue.get(job.id)
    assert before.status is status
    assert queue.cancel(job.id) == queue.cancel(job.id) == before
    assert queue._files.get(job.id, "final.png") == b"a picture"


def test_a_job_that_ends_while_it_is_being_canceled_has_succeeded(queue: JobQueue) -> None:
    job = queue.submit(ORDER)
    queue._files.put(job.id, "final.png", b"a picture")
    look = queue.get

    def look_and_end(identity: str) -> Job:
        found = look(identity)
        end(queue, job, "SUCCESS")
        return found

    queue.get = look_and_end  # type: ignore[method-assign]
    assert queue.cancel(job.id).status is Status.SUCCEEDED
    assert queue._files.get(job.id, "final.png") == b"a picture"
