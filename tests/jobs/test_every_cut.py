"""The line to the database breaks at each thing that is said on it, one after the other."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from app.jobs.files import FileStore
from app.jobs.job import Order, QueueDownError, QueueLimits, UnknownJobError
from app.jobs.queue import JobQueue
from app.settings import Settings
from tests.support.pictures import png
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

_ORDER = Order("adversarial_image", "fgsm", "ada", {"model": "imagenet", "method": "fgsm"}, png())
_ASK: dict[str, Callable[[JobQueue, str], Any]] = {
    "submit": lambda queue, _: queue.submit(_ORDER),
    "submit again": lambda queue, _: queue.submit(_ORDER, key="k"),
    "came before": lambda queue, _: queue.came_before("ada", "k"),
    "check client": lambda queue, job: queue.check_client(job, "bob"),
    "get": lambda queue, job: queue.get(job),
    "list": lambda queue, _: queue.list("ada", limit=9),
    "events": lambda queue, job: queue.events({job: 0}),
    "workers": lambda queue, _: queue.workers(),
    "depth": lambda queue, _: queue.depth(),
    "cancel": lambda queue, job: queue.cancel(job),
    "delete": lambda queue, job: queue.delete(job),
}


def again_and_again(ask: Callable[[], Any]) -> int:
    """How often it was refused; whoever comes again is heard in the end."""
    for refused in itertools.count():
        try:
            ask()
        except QueueDownError:
            continue
        except UnknownJobError:
            assert refused  # it was deleted, and only the answer lost
        return refused
    raise AssertionError


@pytest.fixture
def wire(job_settings: Settings) -> Iterator[Wire]:
    with Wire(int(sa.make_url(job_settings.jobs_database).port or 0)) as wire:
        wire.late.set()
        yield wire


@pytest.fixture
def queues(job_settings: Settings, wire: Wire) -> Iterator[tuple[JobQueue, JobQueue]]:
    """One that reaches the database over the wire, and one that does so without."""
    url = sa.make_url(job_settings.jobs_database)
    files = FileStore(job_settings.jobs_files, max_bytes=1 << 30)
    over, direct = (
        JobQueue(one.render_as_string(hide_password=False), files, QueueLimits(per_client=1 << 20, total=1 << 20))
        for one in (url.set(port=wire.port), url)
    )
    with closing(over), closing(direct):
        yield over, direct


@pytest.mark.parametrize("job_settings", ["postgres"], indirect=True)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", _ASK)
def test_a_line_that_breaks_anywhere_is_a_database_that_is_away(
    queues: tuple[JobQueue, JobQueue], wire: Wire, when: str, what: str
) -> None:
    over, direct = queues
    refused = moment = 0
    while wire.cuts == moment:
        job = direct.submit(replace(_ORDER, client="bob"), key=f"{moment}")
        said = itertools.count()

        def is_now(*_: bytes, said: Iterator[int] = said, moment: int = moment) -> bool:
            return next(said) == moment

        setattr(wire, when, is_now)
        refused += again_and_again(lambda job=job: _ASK[what](over, job.id))  # type: ignore[misc]
        moment += 1
    assert moment > 3
    assert refused
