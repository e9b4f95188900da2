"""A database that is away: who asks is told at once, one at a time tries whether it is back, the log hears of it."""

import logging
import threading
import time
from typing import Final

log = logging.getLogger(__name__)

_TRY_S: Final = 1.0
_TELL_S: Final = 60.0


class Outage:
    """May be used from many threads. `subject` is what is away, as the first words of a sentence."""

    def __init__(self, subject: str = "The database of the jobs") -> None:
        self._subject = subject
        self._changing = threading.Lock()
        self._began: float | None = None
        self._trying = False
        self._next_try = 0.0
        self._next_line = 0.0
        self._told = False

    @property
    def lasts(self) -> bool:
        return self._began is not None

    def may_try(self) -> bool:
        """Always while all is well; in an outage for one at a time, a second after the last that failed."""
        with self._changing:
            if self._began is None:
                return True
            if self._trying or time.monotonic() < self._next_try:
                return False
            self._trying = True
            return True

    def failed(self, error: BaseException) -> None:
        """Something could not be reached, which the log is told of once a minute."""
        with self._changing:
            now = time.monotonic()
            if self._began is None or self._trying:  # who was not let try does not put off the next who may
                self._next_try = now + _TRY_S
            self._began = now if self._began is None else self._began
            self._trying = False
            silent = now < self._next_line
            if not silent:
                self._next_line, self._told = now + _TELL_S, True
        if not silent:
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
            log.warning("%s cannot be reached (%s); it is tried again all the while.", self._subject, reason)

    def is_over(self) -> None:
        with self._changing:
            began, self._began, self._trying = self._began, None, False
            told, self._told = self._told, False
        if began is not None and told:
            log.warning("%s is back after %.0f s.", self._subject, time.monotonic() - began)
