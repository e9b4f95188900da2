"""Which workers live, and what they have done: each says so in a table that every service reads."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

ALIVE_S: Final = 30.0
"""Whoever was not seen for so long is taken for dead."""
_FORGET_S: Final = 24 * 60 * 60.0
_TELL_S: Final = 5.0
_TABLE: Final = sa.Table(
    "inkblot_workers",
    sa.MetaData(),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
)


def make_table(engine: sa.Engine) -> None:
    with suppress(sa.exc.IntegrityError, sa.exc.ProgrammingError):  # another process makes it just now
        _TABLE.create(engine, checkfirst=True)


@dataclass(frozen=True)
class WorkerSeen:
    """Since it was started: `steps` of all its jobs, and how many `ended`, by kind and how (`ideal_image/failed`)."""

    name: str
    age_s: float
    device: str
    running: int
    steps: int
    ended: Mapping[str, int]
    device_bytes: int | None
    """What its models hold of a GPU."""

    @property
    def is_alive(self) -> bool:
        return self.age_s < ALIVE_S


def workers_seen(engine: sa.Engine) -> list[WorkerSeen]:
    """Of the last day. The clocks of the machines are taken to agree within seconds."""
    now = time.time()
    with engine.connect() as connection:
        rows = connection.execute(sa.select(_TABLE).where(_TABLE.c.seen > now - _FORGET_S)).all()
    return [WorkerSeen(name, max(0.0, now - seen), **record) for name, seen, record in rows]


class Account:
    """What one worker has done; told every few seconds. May be used from several threads."""

    def __init__(self, engine: sa.Engine, name: str, device: str, device_bytes: Callable[[], int | None]) -> None:
        self._engine, self._name, self._device, self._device_bytes = engine, name, device, device_bytes
        self._ended: Counter[str] = Counter()
        self._steps: dict[str, int] = {}
        self._done = 0
        self._told = -float("inf")

    def step(self, job: str, number: int) -> None:
        """A running job has come to this step."""
        self._steps[job] = max(number, self._steps.get(job, 0))

    @contextmanager
    def counted(self, job: str, kind: str) -> Iterator[dict[str, Any]]:
        """Into the result goes the `status` that the job ends with; without one it goes on elsewhere."""
        result: dict[str, Any] = {}
        self._steps.setdefault(job, 0)
        try:
            yield result
        finally:
            self._done += self._steps.pop(job, 0)
            if "status" in result:
                self._ended[f"{kind}/{result['status']}"] += 1

    def tell(self) -> None:
        """Say that the worker lives, unless that was said a moment ago. Raises what the database raises."""
        if time.monotonic() - self._told < _TELL_S:
            return
        self._told = time.monotonic()
        record = {
            "device": self._device,
            "running": len(self._steps),
            "steps": self._done + sum(self._steps.values()),
            "ended": dict(self._ended),
            "device_bytes": self._device_bytes(),
        }
        now = time.time()
        with self._engine.begin() as connection:
            connection.execute(
                sa.delete(_TABLE).where((_TABLE.c.name == self._name) | (_TABLE.c.seen < now - _FORGET_S))
            )
            connection.execute(sa.insert(_TABLE).values(name=self._name, seen=now, record=record))

    def leave(self) -> None:
        """The worker ends as it should: nobody waits for a sign of life."""
        with suppress(sa.exc.SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(sa.delete(_TABLE).where(_TABLE.c.name == self._name))
