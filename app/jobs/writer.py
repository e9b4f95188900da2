"""Writes what jobs show and keep while they run, beside them: what cannot be written stops no job."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger(__name__)


class Writer:
    """One thread, so that what is written last stays; of each kind of file of a job at most one waits for it, so that a
    store that hangs does not fill the memory.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="files")
        self._changing = threading.Lock()
        self._newest: dict[tuple[str, str], Callable[[], object]] = {}
        self._failing: set[str] = set()

    def write(self, kind: str, job: str, what: Callable[[], object]) -> None:
        """Do `what` after all that came before, or in the place of an older one of that kind and job that still waits.

        If it raises, that is logged, once for each kind of file until one of that kind is written again: a full disk
        fails the files of all jobs, twice a second.
        """
        with self._changing:
            waits = (kind, job) in self._newest
            self._newest[kind, job] = what
        if not waits:
            self._thread.submit(self._attempt, kind, job)

    def afterwards(self, what: Callable[[], None]) -> "Future[None]":
        """Do something when all is written that came before."""
        return self._thread.submit(what)

    def _attempt(self, kind: str, job: str) -> None:
        with self._changing:
            what = self._newest.pop((kind, job))
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
