"""Which worker goes on with which jobs: with those of one that is gone, and those that were lost on their way."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from dbos import DBOS
from dbos._dbos import _get_dbos_instance

from app.jobs.database import Alive
from app.jobs.queue import QUEUE
from app.jobs.tables import Tables

log = logging.getLogger(__name__)

_GONE: Final = 3
"""Looks, one after the other: after a restart of the database each worker takes its own lock anew."""
_LOST: Final = 5
"""More of them: on a busy machine a job may be on its way for seconds."""


class Succession:
    """Of one worker, whose `lock` is held (see `database.first_free`)."""

    def __init__(self, engine: sa.Engine, lock: Alive) -> None:
        self._engine, self._lock = engine, lock
        self._tables = Tables(engine)
        self._here: Counter[str] = Counter()
        self._refused = 0
        self._seen: Counter[str] = Counter()
        """How often, look after look, each worker was gone and each job lost."""

    @contextmanager
    def having(self, job: str) -> Iterator[None]:
        """It is being done in this process; perhaps twice, if it was taken away and comes back. For one thread."""
        self._here[job] += 1
        try:
            yield
        finally:
            self._here[job] -= 1
            if not self._here[job]:
                del self._here[job]

    def look(self) -> bool:
        """Put the jobs of workers that are gone back into the queue, and own ones that are lost.

        Gone is whose lock is free. Lost is what the database gave to this worker, going away before it could say so.
        False if the name is another worker's by now: then this one must end.
        """
        if not self._lock.hold():  # by one that only looks, it may be
            self._refused += 1
            return self._refused < _GONE
        self._refused = 0
        at_work = self._tables.at_work()
        lost = {job for job in at_work.pop(self._lock.name, ()) if not self._here[job]}
        gone = {name for name in at_work if self._is_gone(name)}
        for job in lost:
            if self._seen[job] + 1 >= _LOST:
                log.warning("The job %s was begun, but did not arrive here; it is begun anew.", job)
                _get_dbos_instance()._sys_db.reenqueue_for_recovery(job, [self._lock.name], QUEUE)
        self._seen = Counter({one: self._seen[one] + 1 for one in gone | lost})
        return True

    def _is_gone(self, name: str) -> bool:
        """If it was so for long its jobs are put back, while nobody else can do so or take its name."""
        lock = Alive(self._engine, name)
        if not lock.take():
            return False
        try:
            if self._seen[name] + 1 >= _GONE:
                log.warning("The worker %s is gone; its jobs go on elsewhere.", name)
                DBOS._recover_pending_workflows([name])
        finally:
            lock.release()
        return True
