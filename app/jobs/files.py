"""What jobs leave behind: in a folder, or in a bucket at `s3://…`, `gs://…`, `az://…`.

Public files of a job lie under `jobs/<id>/`, its upload and checkpoint under `work/<id>/`. A reader never sees half a
file: the store writes, then renames or puts.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

if TYPE_CHECKING:
    from obstore.store import RetryConfig

PREVIEW = "preview.webp"
UPLOAD: Final = "upload"
"""What the names of uploads begin with."""
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}
_PATIENCE: "Final[RetryConfig]" = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
"""obstore's own are ten and three minutes; an answer that does not come it gives up after 30 s."""
_HALF_WRITTEN: Final = "#"
"""Stands in the names of files that obstore is writing into a folder, and in none of ours."""
_PIECE: Final = 16 * 1024 * 1024


class StorageFullError(RuntimeError):
    """There is no room for the files of another job."""


class StorageDownError(RuntimeError):
    """The store cannot be reached, or refuses."""


def is_full(error: BaseException | None) -> bool:
    """Whether it says that a disk, or somebody's share of it, has no room left."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    if isinstance(error, BaseError):  # has no number, only words
        return any(int(code) in _NO_ROOM for code in re.findall(r"\(os error (\d+)\)", str(error)))
    return getattr(error, "sqlstate", None) == "53100"  # PostgreSQL's disk_full


def open_store(place: str) -> Any:  # noqa: ANN401 -- a class of its own for each kind of bucket
    """`place` is a folder's path or a URL; raises what obstore raises.

    Without `client_options`: given some, obstore forgets those of the environment (`AWS_ALLOW_HTTP`).
    """
    if "://" in place:
        return from_url(place, retry_config=_PATIENCE)
    return LocalStore(Path(place), mkdir=True, automatic_cleanup=True)


def pieces(store: Any, path: str) -> Iterator[bytes]:  # noqa: ANN401 -- as `open_store`
    """Of a file that may be large, each of a size that a slow line brings before obstore gives a request up."""
    size = obstore.head(store, path)["size"]
    for start in range(0, size, _PIECE):
        yield bytes(obstore.get_range(store, path, start=start, end=min(start + _PIECE, size)))


class FileStore:
    """May be used from several threads and processes."""

    def __init__(self, place: str, *, max_bytes: int) -> None:
        """`place` is a folder's path or a URL of a bucket; raises what obstore raises for one that cannot be."""
        self._store = open_store(place)
        self._folder = None if "://" in place else Path(place)
        self._max_bytes = max_bytes

    def put(self, job: str, name: str, data: bytes) -> None:
        """Raises `StorageFullError` or `StorageDownError`; then there is nothing of it."""
        self._put(f"jobs/{job}/{name}", data)

    def get(self, job: str, name: str) -> bytes | None:
        return self._get(f"jobs/{job}/{name}")

    def names(self, job: str) -> list[str]:
        return [one["path"].rpartition("/")[2] for one in self._list(f"jobs/{job}/")]

    def keep(self, job: str, name: str, data: bytes | Path) -> None:
        """A file that only the worker reads, or a copy of one, safe on the disk. Raises as `put`."""
        path = f"work/{job}/{name}"
        self._put(path, data)
        if self._folder:
            _sync(self._folder / path)
            _sync((self._folder / path).parent)

    def kept(self, job: str, name: str) -> bytes | None:
        return self._get(f"work/{job}/{name}")

    def open_kept(self, job: str, name: str) -> BinaryIO:
        """A local copy of a kept file that may be large; raises `FileNotFoundError`. It is gone when closed."""
        file = cast("BinaryIO", TemporaryFile())  # noqa: SIM115 -- the caller's to close
        try:
            with _reaching():
                for piece in pieces(self._store, f"work/{job}/{name}"):
                    file.write(piece)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def discard(self, job: str, name: str) -> None:
        """Delete one file that only the worker reads; no error if it is not there."""
        self._remove(f"work/{job}/{name}")

    def forget(self, job: str) -> None:
        """Delete what only the worker reads, and what a killed process has not written to its end."""
        self._delete(f"work/{job}/")
        if self._folder:
            for path in (self._folder / "jobs" / job).glob(f"*{_HALF_WRITTEN}*"):
                path.unlink(missing_ok=True)

    def forget_checkpoint(self, job: str) -> None:
        """As `forget`, but for the upload."""
        for one in self._list(f"work/{job}/"):
            if not one["path"].rpartition("/")[2].startswith(UPLOAD):
                self._remove(one["path"])

    def retain(self, job: str, *names: str) -> None:
        """Delete the public files that have other names."""
        for name in set(self.names(job)) - set(names):
            self._remove(f"jobs/{job}/{name}")

    def delete(self, job: str) -> None:
        """Delete all files of a job; no error if there are none."""
        self._delete(f"work/{job}/")
        self._delete(f"jobs/{job}/")

    def at_work(self) -> set[str]:
        """All jobs that have files which only the worker reads."""
        return {job for job, _ in self._written("work")}

    def jobs(self, *, older_than: timedelta) -> set[str]:
        """All jobs that have files of that age."""
        latest = datetime.now(UTC) - older_than
        return {job for job, when in self._written("jobs", "work") if when < latest}

    def check_room(self) -> None:
        """Raises `StorageFullError` if what is there exceeds the limit."""
        used = sum(one["size"] for top in ("jobs/", "work/") for one in self._list(top))
        if used >= self._max_bytes:
            raise StorageFullError("The files of earlier jobs fill the store: delete some of them.")

    def _put(self, path: str, data: bytes | Path) -> None:
        try:
            with _reaching():
                obstore.put(self._store, path, data)
        except StorageFullError:
            if self._folder:  # which was made for it; of the file itself the store leaves nothing
                with suppress(OSError):
                    (self._folder / path).parent.rmdir()
            raise

    def _get(self, path: str) -> bytes | None:
        with suppress(FileNotFoundError), _reaching():
            return bytes(obstore.get(self._store, path).bytes())
        return None

    def _list(self, prefix: str) -> list[Any]:
        with _reaching():
            return [one for chunk in obstore.list(self._store, prefix) for one in chunk]

    def _written(self, *tops: str) -> Iterator[tuple[str, datetime]]:
        """The job of each file there, and when it was written; half-written files in a folder, too, which no list of
        obstore's shows.
        """
        for top in tops:
            if self._folder:
                for path in (self._folder / top).glob("*/*"):
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        yield path.parent.name, datetime.fromtimestamp(path.stat().st_mtime, UTC)
            else:
                yield from ((one["path"].split("/")[1], one["last_modified"]) for one in self._list(f"{top}/"))

    def _delete(self, prefix: str) -> None:
        for one in self._list(prefix):
            self._remove(one["path"])
        if self._folder:  # with what is half-written
            shutil.rmtree(self._folder / prefix, ignore_errors=True)

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError), _reaching():  # somebody else was quicker
            obstore.delete(self._store, path)


def _sync(path: Path) -> None:
    with suppress(FileNotFoundError):  # the job was deleted meanwhile
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


@contextmanager
def _reaching() -> Iterator[None]:
    """Raises `FileNotFoundError`, `StorageFullError` or `StorageDownError` of what obstore raises."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        if is_full(error):
            raise StorageFullError("The disk of the jobs' files has no room left.") from error
        raise StorageDownError("The store of the jobs' files cannot be reached.") from error
