"""Who may send an archive: so many at once, of those who really send."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.api.errors import UploadsFullError

_AT_ONCE: Final = 4
_BYTES_A_SECOND: Final = 64 * 1024
"""Whoever has sent less, on average, holds no turn, and up nobody; it may go on."""


class Upload:
    """An archive that is being received."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._began, self._bytes = clock, clock(), 0

    def add(self, size: int) -> None:
        self._bytes += size

    @property
    def keeps_up(self) -> bool:
        """Not before its first byte."""
        return self._bytes > 0 and self._bytes >= _BYTES_A_SECOND * (self._clock() - self._began)


class UploadTurns:
    """A turn is held by an upload that keeps up; four idle ones would block teaching for everybody."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uploads: list[Upload] = []

    @contextmanager
    def take(self) -> Iterator[Upload]:
        """Raises `UploadsFullError`."""
        if sum(upload.keeps_up for upload in self._uploads) >= _AT_ONCE:
            raise UploadsFullError("Other pictures are being sent just now.")
        upload = Upload(self._clock)
        self._uploads.append(upload)
        try:
            yield upload
        finally:
            self._uploads.remove(upload)
