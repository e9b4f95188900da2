"""Time for tests of waiting."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Time that passes only while somebody sleeps, and at once."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    at_pause: dict[int, Callable[[], object]] = field(default_factory=dict)
    """What happens during which pause; the first is 1."""

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        self.at_pause.get(len(self.pauses), lambda: None)()

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
