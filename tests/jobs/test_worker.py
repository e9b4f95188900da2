import json
import signal
import subprocess  # noqa: TC003
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any

import pytest

from app.jobs.checkpoint import unpacked
from app.jobs.engine import CanceledError, Run, cancel_unwanted, run_alone
from app.jobs.files import FileStore
from app.jobs.job import Event, Job, Order, Status
from app.jobs.queue import JobQueue
from app.settings import Settings
from app.vision.ask import Pause, Steps
from tests.support.waiting import ended, started_twice, wait_until

pytestmark = pytest.mark.slow

Start = Callable[[], "subprocess.Popen[bytes]"]


def ideal(steps: int = 4, *, client: str = "ada", preset: str = "clear", **more: object) -> Order:
    choices = {"model": "imagenet", "objective": {"label": "zebra"}, "preset": preset, "steps": steps, "seed": 3}
    return Order("ideal_image", f"imagenet/{preset}", client, {**choices, "size": 96, **more})


def stepped(_job: Job, events: list[Event]) -> bool:
    return any(event.name == "progress" and event.data["step"] >= 2 for event in events)


def course() -> Steps[str]:
    yield Pause()
    return "done"


def test_only_jobs_that_are_not_called_running_any_more_are_canceled() -> None:
    ours: dict[str, Run[Any]] = {name: Run(course()) for name in ("goes on", "canceled", "deleted")}

    def states(asked: Iterable[str]) -> Mapping[str, str]:
        found = {name: state for name, state in (("goes on", "PENDING"), ("canceled", "CANCELLED")) if name in asked}
        ours["begins meanwhile"] = Run(course())
        del ours["deleted"]
        return found

    runs = dict(ours)
    cancel_unwanted(ours, states)
    runs |= ours
    for run in runs.values():
        run_alone(run, lambda: False)
    ends = {name: type(run.result.exception(0)) for name, run in runs.items()}
    assert ends == {
        "goes on": type(None),
        "begins meanwhile": type(None),
        "canceled": CanceledError,
        "deleted": CanceledError,
    }


def test_a_job_is_done_and_its_recipe_makes_the_same_file_again(
    queue: JobQueue, start_worker: Start, job_settings: Settings
) -> None:
    start_worker()
    job = wait_until(queue, queue.submit(ideal()), ended)
    assert job.status is Status.SUCCEEDED, job.outcome
    files = FileStore(job_settings.jobs_files, max_bytes=1)
    assert set(files.names(job.id)) >= {"final.png", "animation.webp", "recipe.json"}
    recipe = json.loads(files.get(job.id, "recipe.json") or b"")
    final = files.get(job.id, "final.png") or b""
    assert recipe["files_sha256"]["final.png"] == sha256(final).hexdigest()
    again = [queue.submit(Order(recipe["kind"], "again", "ada", recipe["request"])) for _ in range(3)]
    for one in again:  # this time in company
        assert wait_until(queue, one, ended).status is Status.SUCCEEDED
        assert files.get(one.id, "final.png") == final
    events = queue.events({job.id: 0})[job.id][1]
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[0].name == "started"
    assert files.kept(job.id, "checkpoint") is None


def test_a_killed_worker_is_followed_by_another_that_goes_on(
    queue: JobQueue, start_worker: Start, job_settings: Settings
) -> None:
    worker = start_worker()
    long = queue.submit(ideal(2000))
    waiting = [queue.submit(ideal(3)) for _ in range(2)]
    wait_until(queue, long, stepped)
    files = FileStore(job_settings.jobs_files, max_bytes=1)

    def is_under_way(*_: object) -> bool:
        """The first checkpoint may be that of the first step."""
        kept = files.kept(long.id, "checkpoint")
        return kept is not None and int(unpacked(kept)["step"]) > 2

    wait_until(queue, long, is_under_way)
    worker.kill()
    worker.wait()
    kept = int(unpacked(files.kept(long.id, "checkpoint") or b"")["step"])
    start_worker()
    resumed = wait_until(
        queue, long, lambda _, events: sum(event.name == "started" for event in events) == 2, seconds=30
    )
    assert resumed.status is Status.RUNNING
    events = queue.events({long.id: 0})[long.id][1]
    second = next(index for index, event in enumerate(events) if event.data.get("resumed"))
    wait_until(queue, long, lambda _, now: any(event.name == "progress" for event in now[second:]))
    step = next(e.data["step"] for e in queue.events({long.id: 0})[long.id][1][second:] if e.name == "progress")
    assert step - kept in {0, 1}
    queue.cancel(long.id)
    for job in waiting:
        assert wait_until(queue, job, ended).status is Status.SUCCEEDED


def test_a_second_worker_takes_over_from_a_dead_one(queue: JobQueue, start_worker: Start) -> None:
    first = start_worker()
    job = queue.submit(ideal(2000))
    wait_until(queue, job, stepped)
    start_worker()
    other = queue.submit(ideal(1))
    wait_until(queue, other, ended)
    first.kill()
    wait_until(queue, job, started_twice, seconds=40)
    queue.cancel(job.id)


def test_sigterm_hands_the_job_back(queue: JobQueue, start_worker: Start, job_settings: Settings) -> None:
    worker = start_worker()
    job = queue.submit(ideal(2000))
    wait_until(queue, job, stepped)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert queue.get(job.id).status is Status.RUNNING
    assert FileStore(job_settings.jobs_files, max_bytes=1).kept(job.id, "checkpoint")
    queue.cancel(job.id)


def test_a_running_job_is_canceled_with_its_last_preview(queue: JobQueue, start_worker: Start) -> None:
    start_worker()
    job = queue.submit(ideal(2000))
    wait_until(queue, job, lambda _, events: any(event.name == "preview" for event in events))
    assert queue.cancel(job.id).status is Status.CANCELED
    after = queue.submit(ideal(1))
    wait_until(queue, after, ended)
    told = queue.events({job.id: 0})[job.id][1]
    another = queue.submit(ideal(1))
    wait_until(queue, another, ended)
    assert queue.events({job.id: 0})[job.id][1] == told  # nothing comes any more
    assert queue.get(job.id).preview


def test_a_deleted_running_job_leaves_no_files(queue: JobQueue, start_worker: Start, job_settings: Settings) -> None:
    start_worker()
    job = queue.submit(ideal(2000))
    wait_until(queue, job, lambda _, events: any(event.name == "preview" for event in events))
    queue.delete(job.id)
    files = FileStore(job_settings.jobs_files, max_bytes=1)
    for _ in range(2):  # the worker has noticed, once it has done something else
        wait_until(queue, queue.submit(ideal(1)), ended)
    assert files.names(job.id) == []
    assert files.kept(job.id, "checkpoint") is None


@pytest.mark.parametrize("job_settings", ["sqlite"], indirect=True)
def test_what_cannot_be_done_fails_with_a_reason(queue: JobQueue, start_worker: Start) -> None:
    start_worker()
    late = queue.submit(ideal(2000, deadline_s=0.5))
    unknown = queue.submit(ideal(1, model="nonsense"))
    broken = queue.submit(ideal(1, objective={"label": "no such class"}))
    found = [wait_until(queue, job, ended) for job in (late, unknown, broken)]
    assert [job.status for job in found] == [Status.FAILED] * 3
    kinds = [job.outcome["error"]["kinds"][0] for job in found]
    assert kinds == ["DeadlineExceededError", "UnknownModelError", "UnknownLabelError"]
    for _ in range(5):  # more than four times the limit lie before what is asked for
        wait_until(queue, queue.submit(ideal(1)), ended)
    assert [job.id for job in queue.list("ada", limit=1, status=Status.FAILED)] == [broken.id]
    assert len(queue.list("ada", limit=9, status=Status.SUCCEEDED)) == 5
    assert len(queue.list("ada", limit=9, status=Status.FAILED)) == 3
