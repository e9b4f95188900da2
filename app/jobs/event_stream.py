"""Follows the events of jobs for everyone in this process who listens, with one query for all of them."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.jobs.job import Event, QueueDownError

if TYPE_CHECKING:
    from app.jobs.queue import JobQueue

log = logging.getLogger(__name__)

_POLL_S: Final = 0.05


class StreamClosedError(RuntimeError):
    """The process ends: whoever listens comes again, to the next one."""


@dataclass(eq=False)
class _Listener:
    identity: str
    number: int
    news: "asyncio.Queue[Event | None]" = field(default_factory=asyncio.Queue)


class EventStream:
    """Polls while somebody listens, and costs nothing otherwise."""

    def __init__(self, queue: "JobQueue", threads: Executor) -> None:
        self._queue, self._threads = queue, threads
        self._listeners: set[_Listener] = set()
        self._polling: asyncio.Task[None] | None = None
        self._closed = False

    def close(self) -> None:
        """Nobody is told anything more."""
        self._closed = True
        for listener in self._listeners:
            listener.news.put_nowait(None)

    async def follow(self, identity: str, after: int, *, idle_s: float) -> AsyncGenerator[Event | None]:
        """A job's events after this number as they come, None while none comes; until it has ended or is deleted.

        Raises `StreamClosedError`.
        """
        if self._closed:
            raise StreamClosedError
        listener = _Listener(identity, after)
        self._listeners.add(listener)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            while True:
                event: Event | None = None
                with suppress(TimeoutError):
                    event = await asyncio.wait_for(listener.news.get(), idle_s)
                    if event is None and self._closed:
                        raise StreamClosedError
                    if event is None:
                        return
                yield event
        finally:
            self._listeners.discard(listener)

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        while self._listeners:
            listeners = tuple(self._listeners)
            try:
                found = await loop.run_in_executor(self._threads, self._queue.events, _earliest(listeners))
            except QueueDownError:  # listeners wait until it is back
                await asyncio.sleep(1)
                continue
            except Exception:  # nobody else would hear of it
                log.exception("Events of jobs cannot be read.")
                await asyncio.sleep(1)
                continue
            for listener in listeners:
                ended, events = found.get(listener.identity, (True, ()))
                for event in events:
                    if event.number > listener.number:
                        listener.number = event.number
                        listener.news.put_nowait(event)
                if ended:
                    self._listeners.discard(listener)
                    listener.news.put_nowait(None)
            await asyncio.sleep(_POLL_S)


def _earliest(listeners: tuple[_Listener, ...]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for listener in listeners:
        numbers[listener.identity] = min(listener.number, numbers.get(listener.identity, listener.number))
    return numbers
