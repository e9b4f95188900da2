"""What DBOS's client does not offer, read from the tables that it documents: turns, places in the queue, new events."""

import itertools
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from dbos import DBOSPortableJSONSerializer

from app.jobs.job import Event

WORKFLOW: Final = "inkblot_job"
STREAM: Final = "events"
SERIALIZER: Final = DBOSPortableJSONSerializer()

Turn = tuple[int, int, str]
"""By which jobs are begun: priority, milliseconds of its acceptance, id."""
ACTIVE: Final = ("ENQUEUED", "PENDING")
"""The states of jobs that have not ended."""
_SEEN: Final = 20
_LAST: Final = 30


class Tables:
    """Each call is one query or two."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        schema = None if engine.dialect.name == "sqlite" else "dbos"
        names = ("workflow_uuid", "status", "name", "authenticated_user", "executor_id", "priority", "created_at")
        columns: list[Any] = [sa.column(name) for name in (*names, "completed_at")]
        attributes = sa.column("attributes", sa.JSON)
        self._jobs = sa.table("workflow_status", *columns, attributes, schema=schema)
        self._outputs = sa.table("workflow_output", *map(sa.column, ("workflow_uuid", "output")), schema=schema)
        of_streams: list[Any] = [sa.column(name) for name in ("workflow_uuid", "key", "value", "offset")]
        self._streams = sa.table("streams", *of_streams, schema=schema)

    def states(self, identities: Iterable[str]) -> dict[str, str]:
        jobs = self._jobs.c
        return dict(self._rows(sa.select(jobs.workflow_uuid, jobs.status).where(jobs.workflow_uuid.in_(identities))))

    def client_of(self, identity: str) -> str | None:
        """Whose job it is; None if there is none."""
        jobs = self._jobs.c
        query = sa.select(jobs.authenticated_user).where(jobs.workflow_uuid == identity, jobs.name == WORKFLOW)
        return next((client for (client,) in self._rows(query)), None)

    def attributes_of(self, identity: str) -> Mapping[str, Any]:
        """What its order said beside its input."""
        jobs = self._jobs.c
        found = self._rows(sa.select(jobs.attributes).where(jobs.workflow_uuid == identity))
        return next((attributes for (attributes,) in found if attributes), {})

    def at_work(self) -> dict[str, set[str]]:
        """The jobs of all workers that have some, be they alive or not, by the names of the workers."""
        jobs = self._jobs.c
        query = sa.select(jobs.executor_id, jobs.workflow_uuid).where(jobs.name == WORKFLOW, jobs.status == "PENDING")
        found: dict[str, set[str]] = {}
        for name, identity in self._rows(query):
            if name:
                found.setdefault(name, set()).add(identity)
        return found

    def ended_before(self, moment: datetime) -> list[str]:
        jobs = self._jobs.c
        query = sa.select(jobs.workflow_uuid).where(jobs.name == WORKFLOW, jobs.status.notin_(ACTIVE))
        rows = self._rows(query.where(jobs.completed_at < moment.timestamp() * 1e3))
        return [identity for (identity,) in rows]

    def news(self, after: Mapping[str, int]) -> dict[str, list[Event]]:
        """Events after these numbers; a number is the offset in the stream plus one."""
        stream = self._streams.c
        wanted = [
            sa.and_(stream.workflow_uuid == identity, stream.offset >= number) for identity, number in after.items()
        ]
        query = (
            sa.select(stream.workflow_uuid, stream.offset, stream.value)
            .where(stream.key == STREAM, sa.or_(*wanted))
            .order_by(stream.workflow_uuid, stream.offset)
        )
        found: dict[str, list[Event]] = {}
        for identity, offset, value in self._rows(query):
            record = SERIALIZER.deserialize(value)
            found.setdefault(identity, []).append(Event(offset + 1, record["name"], record["data"]))
        return found

    def last_events(self, identity: str) -> tuple[Mapping[str, Any] | None, bool]:
        """The last progress, and whether there was a preview."""
        stream = self._streams.c
        query = (
            sa.select(stream.value)
            .where(stream.key == STREAM, stream.workflow_uuid == identity)
            .order_by(stream.offset.desc())
        )
        progress: Mapping[str, Any] | None = None
        preview = False
        for (value,) in self._rows(query.limit(_LAST)):
            record = SERIALIZER.deserialize(value)
            if record["name"] == "progress" and progress is None:
                progress = record["data"]
            preview = preview or record["name"] == "preview"
        return progress, preview

    def started_at(self, identity: str) -> datetime | None:
        """When a worker first took the job, by its first event; None if none did."""
        stream = self._streams.c
        query = sa.select(stream.value).where(stream.key == STREAM, stream.workflow_uuid == identity)
        for (value,) in self._rows(query.order_by(stream.offset).limit(1)):
            at = SERIALIZER.deserialize(value)["data"].get("at")
            return datetime.fromisoformat(at) if at else None
        return None

    def not_done(self, client: str, *, besides: Collection[str]) -> tuple[int, int]:
        """How many jobs have not ended, of all clients and of this one, not counting some by their ids."""
        jobs = self._jobs.c
        own = sa.func.count().filter(jobs.authenticated_user == client)
        counts: list[sa.ColumnElement[Any]] = [sa.func.count(), own]
        query = sa.select(*counts).where(jobs.name == WORKFLOW, jobs.status.in_(ACTIVE))
        ((everybodys, of_client),) = self._rows(query.where(jobs.workflow_uuid.notin_(besides)))
        return int(everybodys), int(of_client)

    def depth(self) -> tuple[int, int, float]:
        """How many jobs wait, how many run, and the seconds for which the oldest has waited."""
        jobs = self._jobs.c
        query = (
            sa.select(jobs.status, sa.func.count(), sa.func.min(jobs.created_at))
            .where(jobs.name == WORKFLOW, jobs.status.in_(ACTIVE))
            .group_by(jobs.status)
        )
        found = {state: (number, oldest) for state, number, oldest in self._rows(query)}
        waiting, oldest = found.get("ENQUEUED", (0, None))
        running, _ = found.get("PENDING", (0, None))
        return waiting, running, max(0.0, time.time() - oldest / 1e3) if oldest else 0.0

    def latest_turn(self, client: str | None = None) -> int:
        """The highest turn that has begun; with a client, that this client was given."""
        jobs = self._jobs.c
        query = sa.select(sa.func.max(jobs.priority)).where(jobs.name == WORKFLOW)
        query = query.where(jobs.authenticated_user == client) if client else query.where(jobs.status != "ENQUEUED")
        ((turn,),) = self._rows(query)
        return int(turn or 0)

    def before(self, turns: Sequence[Turn]) -> tuple[Counter[str], list[Counter[str]]]:
        """How much of each work runs, and how much will be begun before each of these turns."""
        jobs = self._jobs.c
        order = sorted(turns)
        own = sa.tuple_(jobs.priority, jobs.created_at, jobs.workflow_uuid)
        since = sa.case(*((own < turn, index) for index, turn in enumerate(order)), else_=len(order)).label("since")
        work = jobs.attributes["work"].as_string().label("work")
        query = (
            sa.select(jobs.status, since, work, sa.func.count())
            .where(jobs.name == WORKFLOW, jobs.status.in_(ACTIVE))
            .group_by(jobs.status, "since", "work")
        )
        running: Counter[str] = Counter()
        between: list[Counter[str]] = [Counter() for _ in range(len(order) + 1)]
        for state, index, name, number in self._rows(query):
            (running if state == "PENDING" else between[index])[name] += number
        ahead = dict(zip(order, itertools.accumulate(between), strict=False))
        return running, [ahead[turn] for turn in turns]

    def expected_work(self) -> dict[str, float]:
        """Seconds of the device that each kind of work took, as the last ones tell."""
        jobs, outputs = self._jobs.c, self._outputs.c
        query = (
            sa.select(jobs.attributes, outputs.output)
            .where(jobs.name == WORKFLOW, jobs.status == "SUCCESS", jobs.workflow_uuid == outputs.workflow_uuid)
            .order_by(jobs.completed_at.desc())
            .limit(_SEEN)
        )
        seconds: dict[str, list[float]] = {}
        for attributes, output in self._rows(query):
            took = SERIALIZER.deserialize(output).get("work_s")
            if took is not None:
                seconds.setdefault(attributes["work"], []).append(took)
        return {work: sum(known) / len(known) for work, known in seconds.items()}

    def _rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(query).all()
