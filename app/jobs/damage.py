"""A SQLite database of jobs that is damaged, or lacks what it had accepted: noticed, set aside, and told of.

SQLite itself is silent where the end of its write-ahead log is missing: it takes what is left for all there was. So
the number of the orders that were accepted is kept within the database, and beside it.
"""

import fcntl
import logging
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import Connection


log = logging.getLogger(__name__)

_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PARTS: Final = ("", "-wal", "-shm")
_ACCEPTED: Final = ".accepted"
_ASIDE: Final = ".damaged-"
_REASON: Final = "reason.txt"
_DIGITS: Final = 20


@dataclass(frozen=True)
class Damage:
    """`reason` is a sentence; what `goes_on` is whole otherwise."""

    reason: str
    goes_on: bool = False


class Ledger:
    """How many orders a database has accepted, in a file beside it that is written after each of them."""

    def __init__(self, database: Path) -> None:
        """Makes the file, so that writing to it later needs no room."""
        self._path = _beside(database, _ACCEPTED)
        if not self._path.exists():
            self.note(0)

    def count(self, transaction: "Connection") -> int:
        """One order more, within the transaction that accepts it; to be noted once that is committed."""
        ((number,),) = transaction.exec_driver_sql("PRAGMA user_version")
        transaction.exec_driver_sql(f"PRAGMA user_version = {number + 1}")
        return int(number) + 1

    def note(self, number: int) -> None:
        """Safe on the disk when it returns; of several processes the highest number stays."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            known = os.pread(file, _DIGITS, 0)
            if not known or number > int(known):
                os.pwrite(file, b"%0*d\n" % (_DIGITS, number), 0)
                os.fsync(file)
        finally:
            os.close(file)


def guard(database: Path) -> int:
    """Look whether it is whole if nobody else has it open, and hold it open: an open file, to be closed after it.

    A damaged one is set aside, and the next begins empty; one that lacks jobs is copied, and goes on with the others.
    """
    file = os.open(_beside(database, ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(BlockingIOError):  # who has it open has looked
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _look(database)
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def set_aside(database: Path) -> Sequence[tuple[Path, str]]:
    """The folders of databases that were, the last first, and why."""
    folders = sorted(database.parent.glob(f"{database.name}{_ASIDE}*"), reverse=True)
    return [(folder, _read(folder / _REASON)) for folder in folders if folder.is_dir()]


def find_damage(database: Path) -> Damage | None:
    """It must not be open elsewhere, and is not changed."""
    accepted = int(_read(_beside(database, _ACCEPTED)) or 0)
    if not database.exists():
        return Damage(f"It is gone, and with it {accepted} jobs that were accepted.") if accepted else None
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            ((found,),) = connection.execute("PRAGMA integrity_check(1)")
            ((count,),) = connection.execute("PRAGMA user_version")
    except sqlite3.DatabaseError as error:
        # Of anything else, such as a missing right, whoever opens it to write is told.
        return Damage(f"It is broken: {error}.") if error.sqlite_errorcode & 0xFF in _DAMAGE else None
    if found != "ok":
        return Damage(f"It is broken: {found}.")
    if count < accepted:
        lost = f"{accepted - count} of {accepted} jobs that were accepted are missing"
        return Damage(f"{lost}: the end of its write-ahead log was lost.", goes_on=True)
    return None


def _look(database: Path) -> None:
    damage = find_damage(database)
    if damage is None:
        return
    folder = _beside(database, f"{_ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    folder.mkdir(mode=0o700)
    (folder / _REASON).write_text(damage.reason, encoding="utf-8")
    for path in filter(Path.exists, (_beside(database, part) for part in _PARTS)):
        (shutil.copy2 if damage.goes_on else shutil.move)(path, folder)
    with suppress(FileNotFoundError):
        shutil.move(_beside(database, _ACCEPTED), folder)
    rest = "The jobs that it still has go on" if damage.goes_on else "The queue begins empty"
    log.error("The database of the jobs is damaged. %s It was put into %s. %s.", damage.reason, folder, rest)


def _beside(database: Path, ending: str) -> Path:
    return database.with_name(database.name + ending)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
