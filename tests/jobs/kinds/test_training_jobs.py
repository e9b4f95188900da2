import json
import shutil
import signal
import subprocess  # noqa: TC003
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.jobs.files import FileStore
from app.jobs.job import Event, Job, Order, Status
from app.jobs.queue import JobQueue
from app.settings import Settings
from tests.support.pictures import shapes, zipped
from tests.support.waiting import ended, started_twice, wait_until

Start = Callable[[], "subprocess.Popen[bytes]"]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("job_settings", ["sqlite"], indirect=True)]


def teach(name: str, **choices: Any) -> Order:
    return Order("model", "efficientnet_lite0/linear_probe/16", "ada", {"name": name, **choices}, zipped(shapes(3)))


def tune(name: str, epochs: int) -> Order:
    return teach(name, mode="fine_tune", epochs=epochs)


def correct(model: str, picture: str) -> Order:
    return Order("correction", model, "ada", {"model": model, "corrections": [{"picture": picture, "label": None}]})


def tunes(_job: Job, events: list[Event]) -> bool:
    """Past looking at the six pictures and the fits of the first head."""
    return any(event.name == "metric" for event in events)


def edit_card(folder: Path, job: Job) -> None:
    """As if the job had published it, and its worker had died before it could say so."""
    card = json.loads((folder / "model.json").read_text())
    card["training"]["job"] = job.id
    (folder / "model.json").write_text(json.dumps(card))


def test_a_worker_that_is_killed_while_it_teaches_is_followed_by_another_that_makes_the_same_model(
    queue: JobQueue, start_worker: Start, job_settings: Settings
) -> None:
    worker = start_worker()
    interrupted = queue.submit(tune("interrupted", 3))
    wait_until(queue, interrupted, tunes)
    worker.kill()
    worker.wait()
    assert not (job_settings.trained_dir / "interrupted").exists()
    whole = queue.submit(tune("whole", 3))
    start_worker()
    for job in (interrupted, whole):
        found = wait_until(queue, job, ended, seconds=300)
        assert found.status is Status.SUCCEEDED, found.outcome
    one, other = (job_settings.trained_dir / name / "v1" for name in ("interrupted", "whole"))
    for file in ("head.safetensors", "backbone.safetensors", "labels.json"):
        assert (one / file).read_bytes() == (other / file).read_bytes()
    assert [path.name for path in job_settings.trained_dir.glob(".*")] == [], "no draft is left"


def test_sigterm_hands_a_lesson_back_with_its_checkpoint(
    queue: JobQueue, start_worker: Start, job_settings: Settings
) -> None:
    files = FileStore(job_settings.jobs_files, max_bytes=1)
    worker = start_worker()
    job = queue.submit(tune("tuned", 100))
    wait_until(queue, job, lambda *_: files.kept(job.id, "checkpoint") is not None)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert queue.get(job.id).status is Status.RUNNING
    reached = queue.get(job.id).progress
    assert reached
    start_worker()
    wait_until(queue, job, started_twice)
    second = [event.name for event in queue.events({job.id: 0})[job.id][1]].index("started", 1)

    def tunes_again(_job: Job, events: list[Event]) -> bool:
        return any(event.name == "progress" and event.data["step"] > reached["step"] for event in events[second:])

    wait_until(queue, job, tunes_again)
    events = queue.events({job.id: 0})[job.id][1][second:]
    assert events[0].data["resumed"] is True
    assert "metric" not in [event.name for event in events[:2]], "the epochs before are not learned again"
    queue.cancel(job.id)


def test_jobs_that_had_published_when_their_worker_died_end_well(
    queue: JobQueue, start_worker: Start, job_settings: Settings
) -> None:
    worker = start_worker()
    for order in (teach("one"), correct("one", "red/0.png")):
        assert wait_until(queue, queue.submit(order), ended).status is Status.SUCCEEDED
    worker.terminate()
    worker.wait()
    one, two = (job_settings.trained_dir / name for name in ("one", "two"))
    taught, corrected = queue.submit(teach("two")), queue.submit(correct("one", "red/0.png"))
    shutil.copytree(one, two)
    edit_card(two, taught)
    edit_card(one, corrected)
    start_worker()
    for job in (taught, corrected):
        found = wait_until(queue, job, ended)
        assert found.status is Status.SUCCEEDED, found.outcome
    assert json.loads((two / "model.json").read_text())["training"]["counts"] == {"red": 3, "blue": 3}
    assert json.loads((one / "model.json").read_text())["training"]["counts"] == {"red": 2, "blue": 3}


def test_two_first_lessons_of_one_name_at_once_both_make_a_version(queue: JobQueue, start_worker: Start) -> None:
    jobs = [queue.submit(teach("shapes", replace=True, seed=seed)) for seed in (1, 2)]
    start_worker()
    found = [wait_until(queue, job, ended) for job in jobs]
    assert [job.status for job in found] == [Status.SUCCEEDED] * 2, [job.outcome for job in found]
    assert sorted(job.outcome["result"]["version"] for job in found) == [1, 2]
