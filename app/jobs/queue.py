"""The durable queue, as an API process sees it: jobs that were accepted survive every crash.

One workflow of DBOS is one job, and the workflow's stream holds the job's events, in SQLite or PostgreSQL.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

import sqlalchemy as sa
from dbos import DBOSClient, EnqueueOptions, WorkflowStatus

from app.jobs.damage import Ledger
from app.jobs.database import migrate, open_engine, reaching
from app.jobs.files import UPLOAD, FileStore, StorageDownError
from app.jobs.job import (
    Event,
    Job,
    JobExpiredError,
    Order,
    QueueDownError,
    QueueLimits,
    Status,
    TooManyJobsError,
    UnknownJobError,
)
from app.jobs.outage import Outage
from app.jobs.outlook import UNKNOWN_WORK_S, Outlook
from app.jobs.tables import SERIALIZER, WORKFLOW, Tables
from app.jobs.workers import WorkerSeen, workers_seen
from app.jobs.workflow import STATUS, digest_of, id_of, job_of, same, uses

QUEUE: Final = "jobs"
VERSION: Final = "1"
"""Of the workflow's body: workers run jobs of their own version alone."""

_PAGE: Final = 100
"""Jobs that are read at once for a list of one status."""
_PATIENCE_S: Final = 3.0
"""Without an answer of the database; then nobody waits for it until it is back."""


class JobQueue:
    """What an API process does with jobs. All methods block: call them in a thread.

    Each raises `QueueDownError` within seconds while the database is away, `StorageFullError` if it has no room.
    """

    def __init__(self, url: str, files: FileStore, limits: QueueLimits, outage: Outage | None = None) -> None:
        """Makes the tables if they are not there; raises SQLAlchemy's errors if the database cannot be reached."""
        self._files, self._limits = files, limits
        self._engine = open_engine(url, outage or Outage(), patience_s=_PATIENCE_S)
        try:
            migrate(self._engine, url)
            self._client = DBOSClient(
                system_database_engine=self._engine, serializer=SERIALIZER, retry_connection_errors=False
            )
        except Exception:
            self._engine.dispose()
            raise
        self._tables = Tables(self._engine)
        self._outlook = Outlook(self._tables, limits.keep)
        sqlite = self._engine.url.database if self._engine.dialect.name == "sqlite" else None
        self._ledger = Ledger(Path(sqlite)) if sqlite else None
        self._changed = threading.Condition()
        self._submitting: set[str] = set()
        self._underway: dict[str, str] = {}
        """The clients of orders that are being accepted, by the ids that the jobs have or will have."""

    def close(self) -> None:
        self._client.destroy()
        self._engine.dispose()

    @reaching()
    def submit(self, order: Order, *, key: str | None = None) -> Job:
        """Accept a job; with an idempotency `key` that came before, the job that it made.

        Raises `TooManyJobsError`, `StorageFullError`, or `KeyReusedError` if the key came with another order.
        """
        digest = digest_of(order)
        identity = id_of(order.client, key) if key else f"job_{token_hex(12)}"
        # A name of its own: another process may be given the same key and another picture at the same moment.
        upload = None if order.upload is None else f"{UPLOAD}-{token_hex(8)}"
        with self._one_at_a_time(identity):
            if key and (present := self._found(identity)):
                return self._outlook.whole([same(present, digest)])[0]
            with self._place(identity, order.client):
                try:
                    self._files.check_room()
                    if upload and order.upload is not None:
                        self._files.keep(identity, upload, order.upload)
                    with reaching():
                        self._enqueue(identity, order, digest, upload)
                except QueueDownError:  # the order may be taken, or be so yet; an upload of none is swept after an hour
                    raise
                except Exception:
                    if upload:
                        self._discard_unused(identity, upload)
                    raise
        found = self._found(identity)
        if found is None:
            raise UnknownJobError(f"The job {identity} was deleted at once.")
        if upload and not uses(found, upload):  # another process was quicker with this key
            self._files.discard(identity, upload)
        return self._outlook.whole([same(found, digest)])[0]

    def _discard_unused(self, identity: str, upload: str) -> None:
        """Unless the database cannot say."""
        with suppress(sa.exc.SQLAlchemyError):
            found = self._found(identity)
            if found is None or not uses(found, upload):
                self._files.discard(identity, upload)

    @contextmanager
    def _one_at_a_time(self, identity: str) -> Iterator[None]:
        """Of requests with one key the later ones wait until the first was accepted; no others do."""
        with self._changed:
            self._changed.wait_for(lambda: identity not in self._submitting)
            self._submitting.add(identity)
        try:
            yield
        finally:
            with self._changed:
                self._submitting.remove(identity)
                self._changed.notify_all()

    @contextmanager
    def _place(self, identity: str, client: str) -> Iterator[None]:
        """Counts an order while its upload is on its way, so that the limits hold; raises `TooManyJobsError`."""
        with self._changed:
            total, own = self._tables.not_done(client, besides=self._underway)
            total += len(self._underway)
            own += Counter(self._underway.values())[client]
            if total >= self._limits.total:
                raise TooManyJobsError("The queue is full.", self._retry_after())
            if own >= self._limits.per_client:
                raise TooManyJobsError(
                    f"You have {own} jobs that are not done; more are not accepted.", self._retry_after()
                )
            self._underway[identity] = client
        try:
            yield
        finally:
            with self._changed:
                del self._underway[identity]

    def _enqueue(self, identity: str, order: Order, digest: str, upload: str | None) -> None:
        with self._changed:
            options: EnqueueOptions = {
                "queue_name": QUEUE,
                "workflow_name": WORKFLOW,
                "workflow_id": identity,
                "app_version": VERSION,
                "authenticated_user": order.client,
                "priority": self._turn(order.client),
                "attributes": {
                    "work": f"{order.kind}/{order.flavour}",
                    "digest": digest,
                    "owner": order.owner,
                    "traceparent": order.traceparent,
                },
            }
            arguments = (identity, order.kind, dict(order.input), upload)
            if self._ledger is None:
                self._client.enqueue(options, *arguments)
            else:
                with self._engine.begin() as transaction:
                    self._client.enqueue_in_transaction(transaction, options, *arguments)
                    number = self._ledger.count(transaction)
                self._ledger.note(number)

    @reaching()
    def came_before(self, client: str, key: str) -> bool:
        """Whether an idempotency key of this client has made a job."""
        return self._found(id_of(client, key)) is not None

    @reaching()
    def check_client(self, identity: str, client: str) -> None:
        """Raises `UnknownJobError` for another's job, in the words for one that there is not."""
        if self._tables.client_of(identity) != client:
            raise UnknownJobError(f"There is no job {identity!r}.")

    @reaching()
    def get(self, identity: str) -> Job:
        """Raises `UnknownJobError` or `JobExpiredError`."""
        found = self._found(identity)
        if found is None:
            raise UnknownJobError(f"There is no job {identity!r}.")
        job = job_of(found, self._limits.keep)
        if job.expires_at and job.expires_at < datetime.now(UTC):
            raise JobExpiredError(f"The job {identity} ended more than {self._limits.keep.days} days ago.")
        return self._outlook.whole([found])[0]

    @reaching()
    def list(self, client: str | None, *, limit: int, status: Status | None = None) -> Sequence[Job]:
        """A client's jobs, or everybody's, newest first."""
        names = [name for name, one in STATUS.items() if one is status]
        if status in {Status.SUCCEEDED, Status.FAILED}:
            names.append("SUCCESS")  # a job that failed ended well as a workflow: see `Job.outcome`
        now = datetime.now(UTC)
        jobs = ((row, job_of(row, self._limits.keep)) for row in self._rows(client, names, _PAGE if status else limit))
        wanted = (
            row
            for row, job in jobs
            if (status is None or job.status is status) and (job.expires_at is None or job.expires_at > now)
        )
        return self._outlook.whole(list(itertools.islice(wanted, limit)))

    def _rows(self, client: str | None, names: Sequence[str], page: int) -> Iterator[WorkflowStatus]:
        """All of a client's (or everybody's), newest first.

        No query can tell whether a job failed, since that stands in its outcome.

        A job that is accepted meanwhile moves the others on, so that a page may begin with what was there already.
        """
        seen: set[str] = set()
        for start in itertools.count(0, page):
            rows = self._client.list_workflows(
                name=WORKFLOW, user=client, status=list(names) or None, limit=page, offset=start, sort_desc=True
            )
            yield from (row for row in rows if row.workflow_id not in seen)
            seen.update(row.workflow_id for row in rows)
            if len(rows) < page:
                return

    @reaching()
    def cancel(self, identity: str) -> Job:
        """Idempotent: a job that has ended stays as it is."""
        before = self.get(identity)
        if before.status.is_final:
            return before
        self._client.cancel_workflow(identity)
        job = self.get(identity)
        # No worker has one that was queued, which would do so.
        if before.status is Status.QUEUED and job.status is Status.CANCELED and not self._limits.keep_uploads:
            with suppress(StorageDownError):  # the next sweep deletes it
                self._files.forget(identity)
        return job

    @reaching()
    def delete(self, identity: str) -> None:
        """Cancel it if need be, and forget it and its files."""
        if not self.get(identity).status.is_final:
            self._client.cancel_workflow(identity)
        # First the files: a disk that is full has room for the rest then, and nobody can have its id anew yet.
        self._files.delete(identity)
        self._client.delete_workflow(identity)  # a worker that is still at it deletes what it writes later

    @reaching()
    def events(self, after: Mapping[str, int]) -> dict[str, tuple[bool, Sequence[Event]]]:
        """For each job, whether it has ended, and its events after that number. Jobs that were deleted are missing."""
        states = self._tables.states(after)
        news = self._tables.news(after)
        return {
            identity: (STATUS.get(state, Status.SUCCEEDED).is_final, news.get(identity, []))
            for identity, state in states.items()
        }

    @reaching()
    def workers(self) -> Sequence[WorkerSeen]:
        """Those that were seen in the last day, alive or not."""
        return workers_seen(self._engine)

    @reaching()
    def depth(self) -> tuple[int, int, float]:
        """How many jobs wait, how many run, and the seconds for which the oldest has waited."""
        return self._tables.depth()

    def _turn(self, client: str) -> int:
        """The priority of a client's next job: start-time fair queueing (Goyal 1996), each job counting as one.

        So clients take turns, and nobody waits for the pile of another.
        """
        return max(self._tables.latest_turn(), self._tables.latest_turn(client) + 1)

    def _retry_after(self) -> int:
        work = self._tables.expected_work()
        return max(1, round(min(work.values(), default=UNKNOWN_WORK_S)))

    def _found(self, identity: str) -> WorkflowStatus | None:
        found = self._client.list_workflows(workflow_ids=[identity], name=WORKFLOW)
        return found[0] if found else None
