"""Whether the places that the settings name can ever be used: folders to write and to read, addresses of stores."""

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.jobs.files import is_full, open_store
from app.settings import Settings

_WRITTEN: Final = ("cache", "files", "models", "uploads", "jobs.sqlite", "jobs.sqlite-wal", "jobs.sqlite-shm")
_FILE_EXISTS: Final = {errno.EEXIST: "it is a file", errno.ENOTDIR: "a part of its path is a file"}


class CannotServeError(RuntimeError):
    """The process cannot start with these settings; the message is for a person."""


def check_places(settings: Settings) -> None:
    """Raises `CannotServeError` for the first that cannot be used."""
    for _, sentence in unusable_places(settings):
        raise CannotServeError(sentence)


def unusable_places(settings: Settings) -> Iterator[tuple[str, str]]:
    """The subject, and a sentence that says what is wrong and what to do."""
    if reason := _why_not_written(settings.data_dir.absolute()):
        yield "data", f"{reason}: let this user write there, or set INKBLOT_DATA_DIR to a folder where it may."
    if settings.weights_dir and not settings.weights_dir.is_dir():
        yield (
            "weights",
            f"INKBLOT_WEIGHTS_DIR={settings.weights_dir} is no folder: make it, or unset the variable.",
        )
    if settings.database_url and (reason := _why_no_database(settings.database_url)):
        yield "database", f"INKBLOT_DATABASE_URL {reason}: it is to be like postgresql://user@machine:5432/jobs."
    if settings.files_url and (reason := _why_no_store(settings.files_url)):
        yield (
            "files",
            f"INKBLOT_FILES_URL={settings.files_url} cannot be ({reason}): it is to be like s3://bucket/folder.",
        )


def _why_not_written(folder: Path) -> str | None:
    """Without room is no reason: there may be some later."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if is_full(error):
            return None
        return f"{folder} cannot be written ({_FILE_EXISTS.get(error.errno or 0, error.strerror)})"
    for path in map(folder.joinpath, _WRITTEN):  # left by another user, who ran this once
        if path.exists() and not os.access(path, os.W_OK):
            return f"{path} cannot be written (it belongs to {_owner(path)})"
    return None


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a number without a name, as in a container
        return f"user {path.stat().st_uid}"


def _why_no_database(url: str) -> str | None:
    import sqlalchemy as sa  # no start without such an address is to wait for it

    try:
        name = sa.make_url(url).get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        return "is no address of a database"
    return None if name in {"postgresql", "sqlite"} else f"names {name}, and jobs are kept in PostgreSQL"


def _why_no_store(url: str) -> str | None:
    try:
        open_store(url)
    except Exception as error:  # whatever obstore says of an address: each kind of bucket has errors of its own
        return str(error).partition("\n")[0]
    return None
