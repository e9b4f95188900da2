"""The database that the job engine keeps its tables in: SQLite in a folder, or PostgreSQL."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from sqlalchemy import event

from app.jobs.damage import guard, set_aside
from app.jobs.files import StorageFullError, is_full
from app.jobs.job import QueueDownError
from app.jobs.outage import Outage
from app.jobs.workers import make_table

Answer = TypeVar("Answer")
_DOWN: Final = "The queue of the jobs cannot be reached."
_WAIT_S: Final = 0.1
_LINE: Final = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
"""A machine that is gone is noticed within 11 seconds; one that lives but does not answer is not, without patience."""
_FOR_THE_SERVER: Final = (
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; "
    "SET idle_in_transaction_session_timeout = '60s'"
)
"""By itself it keeps the locks of a machine that is gone for two hours, also that of a worker's name."""
_NO_ROOM: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


def open_engine(url: str, outage: Outage, *, patience_s: float | None = None) -> sa.Engine:
    """Connections for one process. SQLite is opened so that readers never wait and writers queue up, once it was found
    whole (see `damage.guard`).

    A service gives its patience: then what it wrote is safe on the disk, and a full one raises `OperationalError`, as
    does a PostgreSQL that does not answer within `patience_s` or that `outage` says is away. In a worker DBOS waits.
    """
    if url.startswith("sqlite"):
        return _open_sqlite(url, is_service=patience_s is not None)
    return _open_postgres(url, outage, patience_s)


class _Impatient(psycopg.Connection[Any]):
    """Waits for no answer longer than its patience: the server may be frozen, and then nothing ends the wait."""

    outage: Outage
    patience_s: float | None = None

    def wait(self, gen: PQGen[Answer], interval: float = _WAIT_S, timeout: float | None = None) -> Answer:
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()  # whatever it answers later would be taken for the answer to another question
            error = psycopg.OperationalError(f"no answer within {self.patience_s:g} s")
            self.outage.failed(error)
            raise error from None


def _open_postgres(url: str, outage: Outage, patience_s: float | None) -> sa.Engine:
    engine = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=10,
        max_overflow=20,
        pool_timeout=patience_s or 30,
        pool_pre_ping=True,  # else each connection from before a restart costs somebody an error
        connect_args=_LINE,
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, arguments: Any, options: Any) -> _Impatient:  # noqa: ANN401 -- psycopg's
        if not outage.may_try():
            raise psycopg.OperationalError("connection failed: the database was away a moment ago")
        try:
            connection = _Impatient.connect(*arguments, **options)
            connection.outage, connection.patience_s = outage, patience_s
            connection.autocommit = True  # else a rollback would undo it
            connection.execute(_FOR_THE_SERVER)
            connection.autocommit = False
        except BaseException as error:  # whatever it is, another may try
            outage.failed(error)
            raise
        outage.is_over()
        return connection

    return engine


def _open_sqlite(url: str, *, is_service: bool) -> sa.Engine:
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    held = guard(path)
    # One pool for the whole life: closing the last connection of a WAL database checkpoints, which cost 25 ms a step.
    engine = sa.create_engine(url, pool_size=10, max_overflow=20)
    event.listen(engine, "engine_disposed", lambda _: os.close(held), once=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 -- sqlite3's
        connection.isolation_level = "IMMEDIATE"
        # What a 202 promises outlives a power failure, for 20 ms an order (40 with a picture) where a sync takes 7.
        # What a worker tells is told again after one.
        safe = "FULL" if is_service else "NORMAL"
        for pragma in ("journal_mode=WAL", f"synchronous={safe}", "busy_timeout=30000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    if not is_service:

        @event.listens_for(engine, "handle_error")
        def _call_it_locked(context: sa.ExceptionContext) -> None:
            """DBOS tries again then; of another error the end of a job would be lost, which could be written later."""
            if getattr(context.original_exception, "sqlite_errorcode", None) in _NO_ROOM:
                locked = sqlite3.OperationalError("database is locked until its disk has room again")
                raise sa.exc.OperationalError(context.statement, None, locked)

    return engine


@contextmanager
def reaching() -> Iterator[None]:
    """Raises `QueueDownError` or `StorageFullError` of what the database raises for being away or without room."""
    try:
        yield
    except sa.exc.TimeoutError as error:  # no connection came free
        raise QueueDownError(_DOWN) from error
    except sa.exc.DBAPIError as error:
        if is_full(error.orig) or getattr(error.orig, "sqlite_errorcode", None) in _NO_ROOM:
            raise StorageFullError("The database of the jobs has no room left.") from error
        if error.connection_invalidated or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
            raise QueueDownError(_DOWN) from error
        raise


def is_set_aside(engine: sa.Engine) -> bool:
    """Whether a damaged database lies beside this one."""
    return engine.dialect.name == "sqlite" and bool(set_aside(Path(str(engine.url.database))))


class Alive:
    """A lock that its holder's death releases, so that a free one tells that the worker of this name is gone.

    Beside SQLite it is a file, in PostgreSQL an advisory lock.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine, self.name = engine, name
        self._held: Any = None

    def take(self) -> bool:
        """Hold it until `release` or the end of the process; False if somebody else does."""
        if self._engine.dialect.name == "sqlite":
            path = Path(f"{self._engine.url.database}.{self.name}.lock")
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
        if not connection.execute(question, {"name": f"inkblot:{self.name}"}).scalar():
            connection.close()
            return False
        self._held = connection
        return True

    def hold(self) -> bool:
        """Take it anew where a restart of the database has freed it; False if somebody was quicker."""
        if self._engine.dialect.name == "sqlite":
            return True
        if self._held is not None:
            with suppress(sa.exc.DBAPIError):
                self._held.execute(sa.text("SELECT 1"))
                return True
            self._held.close()
            self._held = None
        return self.take()

    def release(self) -> None:
        if self._held is None:
            return
        if isinstance(self._held, sa.Connection):
            self._held.invalidate()  # a connection that goes back into the pool would keep the lock
        self._held.close()
        self._held = None


@contextmanager
def first_free(engine: sa.Engine, name: str) -> Iterator[Alive]:
    """Hold the first free of `name`, `name-2`, …: the same worker has the same name again when it is started anew."""
    number = 1
    while True:
        taken = name if number == 1 else f"{name}-{number}"
        lock = Alive(engine, taken)
        if lock.take():
            break
        number += 1
    try:
        yield lock
    finally:
        lock.release()


def migrate(engine: sa.Engine, url: str) -> None:
    """Make DBOS's tables, or bring them up to date. Raises SQLAlchemy's errors if the database cannot be reached."""
    from dbos import DBOS

    with engine.connect():  # says what is wrong with the address, before migrations would say it less well
        pass
    DBOS.migrate(url)
    make_table(engine)
