"""What it takes a look at other rows to know about jobs: how many are before them, what they will take, how far they
are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from dbos import WorkflowStatus

from app.jobs.files import PREVIEW
from app.jobs.job import Job, Status
from app.jobs.tables import Tables
from app.jobs.workflow import job_of

UNKNOWN_WORK_S: Final = 5.0
"""What a job is expected to take before one of its kind was seen."""


class Outlook:
    """For all jobs of a list the queue is looked at once."""

    def __init__(self, tables: Tables, keep: timedelta) -> None:
        self._tables, self._keep = tables, keep

    def whole(self, rows: Sequence[WorkflowStatus]) -> list[Job]:
        jobs = [job_of(row, self._keep) for row in rows]
        waiting = {job.id: row for job, row in zip(jobs, rows, strict=True) if job.status is Status.QUEUED}
        places = self._places(waiting)
        return [
            replace(job, position=places[job.id][0], eta_s=places[job.id][1]) if job.id in places else self._begun(job)
            for job in jobs
        ]

    def _places(self, waiting: Mapping[str, WorkflowStatus]) -> dict[str, tuple[int, float]]:
        """Place in the queue, and seconds until the end."""
        if not waiting:
            return {}
        known = self._tables.expected_work()

        def seconds(works: Counter[str]) -> float:
            return sum(number * known.get(work, UNKNOWN_WORK_S) for work, number in works.items())

        turns = [(row.priority or 0, row.created_at or 0, identity) for identity, row in waiting.items()]
        running, ahead = self._tables.before(turns)
        places = {}
        for (identity, row), works in zip(waiting.items(), ahead, strict=True):
            own = Counter([str((row.attributes or {}).get("work"))])
            places[identity] = works.total() + 1, round(seconds(running) / 2 + seconds(works + own), 1)
        return places

    def _begun(self, job: Job) -> Job:
        if job.status is Status.CANCELED and job.started_at is None:  # DBOS forgets it
            job = replace(job, started_at=self._tables.started_at(job.id))
        progress, preview = self._tables.last_events(job.id)
        eta_s = progress.get("eta_s") if progress and not job.status.is_final else None
        return replace(job, progress=progress, preview=PREVIEW if preview else None, eta_s=eta_s)
