import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos._utils import retriable_sqlite_exception
from obstore.exceptions import GenericError

from app.jobs.database import open_engine, reaching
from app.jobs.files import FileStore, StorageDownError, StorageFullError
from app.jobs.job import KeyReusedError, Order, QueueLimits, Status, TooManyJobsError, UnknownJobError
from app.jobs.outage import Outage
from app.jobs.queue import JobQueue
from app.settings import Settings
from tests.support.disks import mounted


def order(client: str = "ada", **more: Any) -> Order:
    return Order("ideal_image", "imagenet/clear", client, {"steps": 5, **more})


def uploads(settings: Settings, identity: str) -> list[bytes]:
    """All that lies where a job's upload is kept."""
    return [path.read_bytes() for path in (Path(settings.jobs_files) / "work" / identity).glob("*")]


def test_an_accepted_job_waits_with_its_place_and_its_input(queue: JobQueue) -> None:
    first, second = queue.submit(order()), queue.submit(order(seed=7))
    assert (first.status, first.position, second.position) == (Status.QUEUED, 1, 2)
    assert second.input == {"steps": 5, "seed": 7}
    assert second.eta_s is not None
    assert first.eta_s is not None
    assert second.eta_s > first.eta_s > 0
    assert queue.get(second.id).kind == "ideal_image"
    assert {job.id for job in queue.list("ada", limit=10)} == {first.id, second.id}
    assert queue.list("bob", limit=10) == []


def test_clients_take_turns(queue: JobQueue) -> None:
    pile = [queue.submit(order("ada")) for _ in range(4)]
    other = queue.submit(order("bob"))
    assert queue.get(other.id).position in {1, 2}
    assert queue.get(pile[3].id).position == 5


def test_a_list_tells_of_each_job_what_a_look_at_it_tells(queue: JobQueue) -> None:
    jobs = [queue.submit(order(client)) for client in ("ada", "bob", "ada", "eve", "ada")]
    queue.cancel(jobs[2].id)
    listed = {job.id: job for job in queue.list(None, limit=10)}
    assert listed == {job.id: queue.get(job.id) for job in jobs}
    assert sorted(job.position for job in listed.values() if job.position is not None) == [1, 2, 3, 4]
    waits = sorted((job.position, job.eta_s) for job in listed.values() if job.position and job.eta_s)
    assert [eta_s for _, eta_s in waits] == [5.0, 10.0, 15.0, 20.0], "nobody knows yet what such work takes"


def test_a_client_and_the_whole_queue_have_limits(queue: JobQueue) -> None:
    for _ in range(4):
        queue.submit(order("ada"))
    with pytest.raises(TooManyJobsError, match="4 jobs") as refused:
        queue.submit(order("ada"))
    assert refused.value.retry_after_s >= 1
    queue.submit(order("bob"))
    queue.submit(order("eve"))
    with pytest.raises(TooManyJobsError, match="full"):
        queue.submit(order("kim"))


def test_the_same_key_and_request_is_the_same_job(queue: JobQueue) -> None:
    first = queue.submit(order(), key="k")
    assert queue.submit(order(), key="k").id == first.id
    assert queue.submit(replace(order(), client="bob"), key="k").id != first.id
    with pytest.raises(KeyReusedError):
        queue.submit(order(seed=9), key="k")
    with pytest.raises(KeyReusedError):
        queue.submit(replace(order(), upload=b"a picture"), key="k")


def test_a_waiting_job_can_be_canceled_and_leaves_the_queue(queue: JobQueue) -> None:
    first, second = queue.submit(order()), queue.submit(order())
    canceled = queue.cancel(first.id)
    assert canceled.status is Status.CANCELED
    assert canceled.expires_at is not None
    assert queue.cancel(first.id).status is Status.CANCELED
    assert queue.get(second.id).position == 1
    assert [job.id for job in queue.list("ada", limit=5, status=Status.CANCELED)] == [first.id]
    assert queue.events({first.id: 0, second.id: 0}) == {first.id: (True, []), second.id: (False, [])}


def test_an_order_that_was_not_accepted_gives_its_place_back(queue: JobQueue, job_settings: Settings) -> None:
    full, files = FileStore(job_settings.jobs_files, max_bytes=0), queue._files
    queue._files = full
    for _ in range(10):
        with pytest.raises(StorageFullError):
            queue.submit(order())
    queue._files = files
    assert len({queue.submit(order()).id for _ in range(4)}) == 4
    with pytest.raises(TooManyJobsError):
        queue.submit(order())


def test_a_deleted_job_leaves_nothing(queue: JobQueue, job_settings: Settings) -> None:
    files = FileStore(job_settings.jobs_files, max_bytes=1)
    job = queue.submit(replace(order(), upload=b"a picture"))
    assert uploads(job_settings, job.id) == [b"a picture"]
    queue.delete(job.id)
    assert uploads(job_settings, job.id) == []
    assert files.jobs(older_than=timedelta()) == set()
    with pytest.raises(UnknownJobError):
        queue.get(job.id)
    with pytest.raises(UnknownJobError):
        queue.cancel(job.id)
    assert queue.events({job.id: 0}) == {}


def test_a_full_store_takes_no_more_jobs(queue: JobQueue, job_settings: Settings) -> None:
    queue._files = FileStore(job_settings.jobs_files, max_bytes=5)
    queue.submit(replace(order(), upload=b"123456"))
    with pytest.raises(StorageFullError):
        queue.submit(order())


class MeetingStore(FileStore):
    """A store that lets two uploads go on only when both are written: each of the two orders was new before."""

    def __init__(self, url: str, both: threading.Barrier) -> None:
        super().__init__(url, max_bytes=1 << 20)
        self._both = both

    def keep(self, *args: Any) -> None:
        super().keep(*args)
        self._both.wait(10)


@pytest.mark.parametrize("pictures", [(b"a cat", b"a dog"), (b"a cat", b"a cat")])
def test_of_two_services_with_one_key_at_once_one_wins_and_the_other_leaves_no_trace(
    job_settings: Settings, pictures: tuple[bytes, bytes]
) -> None:
    both = threading.Barrier(2)
    services = [
        JobQueue(job_settings.jobs_database, MeetingStore(job_settings.jobs_files, both), QueueLimits())
        for _ in pictures
    ]
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(service.submit, replace(order(), upload=picture), key="k")
            for service, picture in zip(services, pictures, strict=True)
        ]
    won = [picture for one, picture in zip(asked, pictures, strict=True) if one.exception() is None]
    if pictures[0] == pictures[1]:
        assert asked[0].result().id == asked[1].result().id
    else:
        assert len(won) == 1
        assert [type(one.exception()) for one in asked if one.exception()] == [KeyReusedError]
    (job,) = services[0].list("ada", limit=9)
    assert uploads(job_settings, job.id) == won[:1]
    (row,) = services[0]._client.list_workflows(workflow_ids=[job.id])
    assert row.input
    assert FileStore(job_settings.jobs_files, max_bytes=1).kept(job.id, row.input["args"][3]) == won[0]
    for service in services:
        service.close()


class SlowStore(FileStore):
    """A store that takes an upload only when it is let."""

    def __init__(self, url: str) -> None:
        super().__init__(url, max_bytes=1 << 20)
        self.began, self.may_end = threading.Event(), threading.Event()

    def keep(self, *args: Any) -> None:
        self.began.set()
        assert self.may_end.wait(10)
        super().keep(*args)


@pytest.mark.parametrize("job_settings", ["sqlite"], indirect=True)
def test_a_large_upload_holds_up_nobody_and_counts_all_the_while(job_settings: Settings) -> None:
    files = SlowStore(job_settings.jobs_files)
    queue = JobQueue(job_settings.jobs_database, files, QueueLimits(per_client=1, total=9))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(queue.submit, replace(order("ada"), upload=b"a picture"))
        assert files.began.wait(10)
        assert queue.submit(order("bob")).status is Status.QUEUED
        with pytest.raises(TooManyJobsError, match="1 jobs"):
            queue.submit(order("ada"))
        files.may_end.set()
        assert slow.result().status is Status.QUEUED
    queue.cancel(slow.result().id)
    assert queue.submit(order("ada")).status is Status.QUEUED
    queue.close()


def test_a_list_goes_on_over_its_pages_and_tells_each_job_once(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.queue._PAGE", 2)
    jobs = [queue.submit(order()).id for _ in range(4)]
    assert [job.id for job in queue.list("ada", limit=9, status=Status.QUEUED)] == jobs[::-1]
    assert [job.id for job in queue.list("ada", limit=3, status=Status.QUEUED)] == jobs[:0:-1]
    assert [job.id for job in queue.list("ada", limit=3)] == jobs[:0:-1]


class RefusingStore(FileStore):
    """A store whose disk is full while it is let be."""

    full: Exception | None = None

    def _put(self, path: str, data: bytes | Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if self.full:
                patch.setattr("obstore.put", self._refuse)
            super()._put(path, data)

    def _refuse(self, *_: object) -> None:
        assert self.full
        raise self.full


@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        GenericError("Generic LocalFileSystem error: Unable to copy: No space left on device (os error 28)"),
    ],
)
def test_a_store_that_has_no_room_refuses_the_order_as_a_whole(job_settings: Settings, full: Exception) -> None:
    files = RefusingStore(job_settings.jobs_files, max_bytes=1 << 20)
    queue = JobQueue(job_settings.jobs_database, files, QueueLimits(per_client=1))
    files.full = full
    asked = replace(order(), upload=b"a picture")
    for _ in range(3):  # none of them counts
        with pytest.raises(StorageFullError, match="no room"):
            queue.submit(asked, key="k")
    assert queue.list("ada", limit=9) == []
    assert list((Path(job_settings.jobs_files)).rglob("upload*")) == []
    files.full = None
    job = queue.submit(asked, key="k")
    assert uploads(job_settings, job.id) == [b"a picture"]
    queue.close()


def test_a_store_that_cannot_be_reached_is_told_from_a_full_one(job_settings: Settings) -> None:
    files = RefusingStore(job_settings.jobs_files, max_bytes=1 << 20)
    queue = JobQueue(job_settings.jobs_database, files, QueueLimits())
    files.full = GenericError("Generic S3 error: connection refused")
    with pytest.raises(StorageDownError):
        queue.submit(replace(order(), upload=b"a picture"))
    assert queue.list("ada", limit=9) == []
    queue.close()


def test_a_worker_waits_for_room_where_a_service_says_that_there_is_none(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as folder:
        url = f"sqlite:///{folder / 'jobs.sqlite'}"
        worker, service = open_engine(url, Outage()), open_engine(url, Outage(), patience_s=1)
        with service.begin() as connection:
            connection.execute(sa.text("CREATE TABLE words (word TEXT)"))
        filler = folder / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(2 << 20))
        insert = sa.text("INSERT INTO words VALUES (:word)")

        def write(engine: sa.Engine) -> None:
            with engine.begin() as connection:
                connection.execute(insert, {"word": "x" * 100_000})

        with pytest.raises(StorageFullError), reaching():
            write(service)
        with pytest.raises(sa.exc.OperationalError) as refused:
            write(worker)
        assert retriable_sqlite_exception(refused.value)
        filler.unlink()
        for engine in (worker, service):
            write(engine)
            engine.dispose()
