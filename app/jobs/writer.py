"""Writes what jobs show and keep while they run, beside them: what cannot be written stops no job."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger(__name__)


class Writer:
    """One thread, so that what is written last stays."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="files")
        self._failing: set[str] = set()

    def write(self, kind: str, job: str, what: Callable[[], object]) -> None:
        """Do `what` after all that came before.

        If it raises, that is logged, once for each kind of file until one of that kind is written again: a full disk
        fails the files of all jobs, twice a second.
        """
        self._thread.submit(self._attempt, kind, job, what)

    def afterwards(self, what: Callable[[], None]) -> "Future[None]":
        """Do something when all is written that came before."""
        return self._thread.submit(what)

    def _attempt(self, kind: str, job: str, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception:
            if kind not in self._failing:
                log.exception("The %s of the job %s was not written; the job goes on.", kind, job)
            self._failing.add(kind)
        else:
            if kind in self._failing:
                log.warning("The %s of the job %s was written: there is room again.", kind, job)
            self._failing.discard(kind)
