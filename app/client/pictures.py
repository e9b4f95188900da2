"""Reads pictures from files and addresses, before anything is sent."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

import httpx2

from app import __version__
from app.client.errors import PictureError, reason_of, status_of

MAX_PICTURE_BYTES: Final = 64 * 1024 * 1024
"""More is not read from a file or an address; the service's own limit is usually lower."""
_DOWNLOAD_S: Final = 60.0


def read_picture(source: str) -> bytes:
    """The bytes of a file or of an http(s) address, fetched here and never by the service. Raises `PictureError`."""
    if source.casefold().startswith(("http://", "https://")):
        return _download(source)
    try:
        with Path(source).open("rb") as file:
            return read_all(file, source)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"{source} cannot be read: {reason}.") from error


def read_all(file: BinaryIO, source: str) -> bytes:
    """All bytes of an open file, unless there are none or too many. Raises `PictureError`, which names the `source`."""
    return _within_limits([file.read(MAX_PICTURE_BYTES + 1)], source)


def _within_limits(chunks: Iterable[bytes], source: str) -> bytes:
    body = bytearray()
    give_up = time.monotonic() + _DOWNLOAD_S
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_PICTURE_BYTES:
            raise PictureError(f"{source} is larger than {MAX_PICTURE_BYTES // 1024**2} MiB.")
        if time.monotonic() > give_up:
            raise PictureError(f"{source} did not arrive within {_DOWNLOAD_S:.0f} s.")
    if not body:
        raise PictureError(f"{source} is empty.")
    return bytes(body)


def _download(url: str) -> bytes:
    headers = {"User-Agent": f"inkblot/{__version__}", "Accept": "image/*,*/*;q=0.8"}
    try:
        with httpx2.stream("GET", url, headers=headers, follow_redirects=True, timeout=20) as answer:
            if answer.is_success:
                return _within_limits(answer.iter_bytes(), url)
            reason = status_of(answer)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise PictureError(f"{url} cannot be fetched: {reason_of(error)}.") from error
    raise PictureError(f"{url} cannot be fetched: {reason}.")
