"""The database that the job engine keeps its tables in: SQLite in a folder, or PostgreSQL."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event


def open_engine(url: str) -> sa.Engine:
    """Connections for one process. SQLite is opened so that readers never wait and writers queue up."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), pool_size=10, max_overflow=20)
    Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    # One pool for the whole life: closing the last connection of a WAL database checkpoints, which cost 25 ms a step.
    engine = sa.create_engine(url, pool_size=10, max_overflow=20)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 -- sqlite3's
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


class Alive:
    """A lock that its holder's death releases, so that a free one tells that the worker of this name is gone.

    Beside SQLite it is a file, in PostgreSQL an advisory lock.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine, self._name = engine, name
        self._held: Any = None

    def take(self) -> bool:
        """Hold it until `release` or the end of the process; False if somebody else does."""
        if self._engine.dialect.name == "sqlite":
            path = Path(f"{self._engine.url.database}.{self._name}.lock")
            file = path.open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._held = file
            return True
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        question = sa.text("SELECT pg_try_advisory_lock(hashtext(:name))")
        if not connection.execute(question, {"name": f"inkblot:{self._name}"}).scalar():
            connection.close()
            return False
        self._held = connection
        return True

    def release(self) -> None:
        if self._held is None:
            return
        if isinstance(self._held, sa.Connection):
            self._held.invalidate()  # a connection that goes back into the pool would keep the lock
        self._held.close()
        self._held = None


@contextmanager
def first_free(engine: sa.Engine, name: str) -> Iterator[str]:
    """Hold the first free of `name`, `name-2`, …: the same worker has the same name again when it is started anew."""
    number = 1
    while True:
        taken = name if number == 1 else f"{name}-{number}"
        lock = Alive(engine, taken)
        if lock.take():
            break
        number += 1
    try:
        yield taken
    finally:
        lock.release()


def migrate(engine: sa.Engine, url: str) -> None:
    """Make DBOS's tables, or bring them up to date. Raises SQLAlchemy's errors if the database cannot be reached."""
    from dbos import DBOS

    with engine.connect():  # says what is wrong with the address, before migrations would say it less well
        pass
    DBOS.migrate(url)
