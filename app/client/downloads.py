"""Files from a publisher's address: taken up where the line broke, and checked before they count."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import httpx2

from app.client.errors import reason_of

Watch = Callable[[int, int | None], None]
"""Told how many bytes are there, and of how many, where the server says so."""

_LARGEST: Final = 4 << 30
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_RESUMED: Final = httpx2.codes.PARTIAL_CONTENT
_NOTHING_LEFT: Final = httpx2.codes.RANGE_NOT_SATISFIABLE


class DownloadError(RuntimeError):
    """The file did not come, or is another one; the message is for a person."""


def download(url: str, path: Path, *, sha256: str, watch: Watch, pauses: Sequence[float] = _PAUSES) -> None:
    """Fetch a file whose SHA-256 begins with these digits; whatever lies at `path` meanwhile stays.

    What has come lies in `….part` beside it, from which the next call goes on. A line that breaks is taken up after
    each of the `pauses`, and after all of them anew whenever something has come. Raises `DownloadError`.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with httpx2.Client(follow_redirects=True, timeout=httpx2.Timeout(60, connect=10)) as http:
            had = _size(part)
            broke = _fetch_patiently(http, url, part, watch, pauses)
            if not _begins_with(part, sha256):
                if broke:
                    raise DownloadError(f"{url} breaks off again and again ({broke}); the same command goes on there.")
                part.unlink(missing_ok=True)
                if had:  # of another file, perhaps
                    broke = _fetch_patiently(http, url, part, watch, pauses)
            if not _begins_with(part, sha256):
                part.unlink(missing_ok=True)
                raise DownloadError(f"What {url} serves is another file: its SHA-256 does not begin with {sha256}.")
        part.replace(path)
    except OSError as error:
        raise DownloadError(f"{path} cannot be written: {error.strerror or error}.") from error
    except httpx2.InvalidURL as error:
        raise DownloadError(f"{url} is no address: {error}.") from error


def _fetch_patiently(http: httpx2.Client, url: str, part: Path, watch: Watch, pauses: Sequence[float]) -> str:
    """Why it broke off for good, or nothing if it did not."""
    tried, furthest = 0, _size(part)
    while True:
        try:
            _fetch(http, url, part, watch)
        except httpx2.RequestError as error:
            broke = reason_of(error)
        except httpx2.HTTPStatusError as error:
            if not error.response.is_server_error:
                raise DownloadError(f"{url} is not there: it answers {error.response.status_code}.") from None
            broke = f"it answers {error.response.status_code}"
        else:
            return ""
        if _size(part) > furthest:
            tried, furthest = 0, _size(part)
        if tried == len(pauses):
            return broke
        time.sleep(pauses[tried])
        tried += 1


def _fetch(http: httpx2.Client, url: str, part: Path, watch: Watch) -> None:
    there = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    with http.stream("GET", url, headers=headers) as answer:
        if there and answer.status_code == _NOTHING_LEFT:
            return
        answer.raise_for_status()
        part_of = answer.headers.get("Content-Range", "")
        resumed = answer.status_code == _RESUMED and part_of.startswith(f"bytes {there}-")
        done = there if resumed else 0
        declared = answer.headers.get("Content-Length", "")
        total = done + int(declared) if declared.isdecimal() else None
        with part.open("ab" if resumed else "wb") as file:
            for piece in answer.iter_raw():  # in pieces of one size, what came before a break is lost
                done += len(piece)
                if done > _LARGEST:
                    raise DownloadError(f"{url} has no end: more than {_LARGEST >> 30} GiB have come.")
                file.write(piece)
                watch(done, total)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _begins_with(path: Path, digits: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(digits.lower())
