"""What remains of a job when it has ended: its result alone, and after its time nothing."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from dbos import DBOS

from app.jobs.database import is_set_aside
from app.jobs.files import PREVIEW, FileStore, StorageDownError, StorageFullError
from app.jobs.job import Status
from app.jobs.tables import ACTIVE, Tables

log = logging.getLogger(__name__)

_YOUNG: Final = timedelta(hours=1)
"""A file of a job that nobody knows may belong to one that is being submitted."""


class Remains:
    """Whoever ends a job deletes what it does not need any more; what nobody deleted, since who ended it died of it, or
    it was given up, the next `sweep` does.
    """

    def __init__(self, engine: sa.Engine, files: FileStore, keep_uploads: timedelta = timedelta(0)) -> None:
        """Uploads stay for `keep_uploads` after the end of their job."""
        self._engine, self._files, self._tables = engine, files, Tables(engine)
        self._keep_uploads = keep_uploads

    def tidy(self, job: str, record: Mapping[str, Any] | None = None) -> None:
        """As the job ended, of which its last preview remains unless it succeeded; nothing happens if it has not ended.

        `record` is what it is about to end with, once that is kept.
        """
        state = self._tables.states([job]).get(job)
        if state is None:
            self._files.delete(job)
        elif state not in ACTIVE:
            self._keep_of(job, succeeded=state == "SUCCESS")
        elif record:
            self._keep_of(job, succeeded=record["status"] == Status.SUCCEEDED)

    def _keep_of(self, job: str, *, succeeded: bool) -> None:
        if self._keep_uploads:
            self._files.forget_checkpoint(job)
        else:
            self._files.forget(job)
        if not succeeded:  # it may have ended while its result was being written
            self._files.retain(job, PREVIEW)

    def sweep(self, keep: timedelta) -> None:
        """Delete what was kept long enough, what jobs that have ended needed, and files that belong to no job.

        What cannot be deleted now is so by the next one.
        """
        try:
            self._sweep(keep)
        except (StorageDownError, StorageFullError) as error:
            log.warning("What ended jobs left could not be deleted: %s", error)

    def _sweep(self, keep: timedelta) -> None:
        for job in self._tables.ended_before(datetime.now(UTC) - keep):
            self._files.delete(job)
        for job in self._tables.ended_before(datetime.now(UTC) - 4 * keep):
            DBOS.delete_workflow(job)
        at_work = self._files.at_work()
        for job in self._tables.states(at_work):
            self.tidy(job)
        for job in at_work & set(self._tables.ended_before(datetime.now(UTC) - self._keep_uploads)):
            self._files.forget(job)
        if is_set_aside(self._engine):  # the files may be of jobs that a damaged database knew
            return
        old = self._files.jobs(older_than=_YOUNG)
        for job in old - self._tables.states(old).keys():
            self._files.delete(job)
