"""How long to wait for a service that is away or busy."""

import time
from typing import Final

PATIENCE_S: Final = 60.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


class Patience:
    """Pauses that grow, for a minute from the first of them; a sign of life starts both anew."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._pause = _FIRST_PAUSE_S
        self._give_up: float | None = None

    def pause(self, at_least: float = 0) -> float | None:
        """Seconds until the next attempt; None, at once, if the minute would be over by then."""
        now = time.monotonic()
        if self._give_up is None:
            self._give_up = now + PATIENCE_S
        pause = max(self._pause, at_least)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
        return pause if now + pause <= self._give_up else None
