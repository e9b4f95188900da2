"""What jobs leave behind: in a folder, or in a bucket at `s3://…`, `gs://…`, `az://…`.

Public files of a job lie under `jobs/<id>/`, its upload and checkpoint under `work/<id>/`. A reader never sees half a
file: the store writes, then renames or puts.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

import obstore
from obstore.store import LocalStore, from_url

PREVIEW = "preview.webp"


class StorageFullError(RuntimeError):
    """There is no room for the files of another job."""


class StorageDownError(RuntimeError):
    """The store cannot be reached, or refuses."""


def open_store(place: str, **options: Any) -> Any:  # noqa: ANN401 -- a class of its own for each kind of bucket
    """`place` is a folder's path or a URL, which obstore's `options` are for; raises what obstore raises."""
    return from_url(place, **options) if "://" in place else LocalStore(Path(place), mkdir=True, automatic_cleanup=True)


class FileStore:
    """May be used from several threads and processes."""

    def __init__(self, place: str, *, max_bytes: int) -> None:
        """`place` is a folder's path or a URL of a bucket; raises what obstore raises for one that cannot be."""
        self._store = open_store(place)
        self._max_bytes = max_bytes

    def put(self, job: str, name: str, data: bytes) -> None:
        obstore.put(self._store, f"jobs/{job}/{name}", data)

    def get(self, job: str, name: str) -> bytes | None:
        return self._get(f"jobs/{job}/{name}")

    def names(self, job: str) -> list[str]:
        return [one["path"].rpartition("/")[2] for one in self._list(f"jobs/{job}/")]

    def keep(self, job: str, name: str, data: bytes | Path) -> None:
        """A file that only the worker reads, or a copy of one."""
        obstore.put(self._store, f"work/{job}/{name}", data)

    def kept(self, job: str, name: str) -> bytes | None:
        return self._get(f"work/{job}/{name}")

    def open_kept(self, job: str, name: str) -> BinaryIO:
        """A local copy of a kept file that may be large; raises `FileNotFoundError`. It is gone when closed."""
        file = cast("BinaryIO", TemporaryFile())  # noqa: SIM115 -- the caller's to close
        for chunk in obstore.get(self._store, f"work/{job}/{name}").stream():
            file.write(chunk)
        file.seek(0)
        return file

    def forget(self, job: str) -> None:
        """Delete what only the worker reads."""
        self._delete(f"work/{job}/")

    def delete(self, job: str) -> None:
        """Delete all files of a job; no error if there are none."""
        self._delete(f"work/{job}/")
        self._delete(f"jobs/{job}/")

    def jobs(self, *, older_than: timedelta) -> set[str]:
        """All jobs that have files of that age."""
        latest = datetime.now(UTC) - older_than
        found = [one for top in ("jobs/", "work/") for one in self._list(top)]
        return {one["path"].split("/")[1] for one in found if one["last_modified"] < latest}

    def check_room(self) -> None:
        """Raises `StorageFullError` if what is there exceeds the limit."""
        used = sum(one["size"] for top in ("jobs/", "work/") for one in self._list(top))
        if used >= self._max_bytes:
            raise StorageFullError("The files of earlier jobs fill the store: delete some of them.")

    def _get(self, path: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            return None

    def _list(self, prefix: str) -> list[Any]:
        return [one for chunk in obstore.list(self._store, prefix) for one in chunk]

    def _delete(self, prefix: str) -> None:
        for one in self._list(prefix):
            try:
                obstore.delete(self._store, one["path"])
            except FileNotFoundError:  # somebody else was quicker
                continue
