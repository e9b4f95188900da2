"""Batches form by themselves: whoever is idle takes what waits, and nobody waits for a batch to fill.

An idle service answers a batch of one at once; under load the batches grow up to `max_batch`.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class QueueFullError(RuntimeError):
    """Too much waits already. `retry_after_s` says when to come again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many pictures wait already.")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Waiting(Generic[Item, Result]):
    item: Item
    answer: "asyncio.Future[Result]"
    loop: asyncio.AbstractEventLoop
    since: float


class Batcher(Generic[Item, Result]):
    """A bounded queue and the threads that empty it, each running a batch from first to last step.

    `run` gets 1..`max_batch` items and returns, in their order, a result or the exception that only this item's
    caller gets to see. `on_thread` prepares each thread (its number of torch threads, say).
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        threads: int,
        max_batch: int = 16,
        max_queue: int = 256,
        on_thread: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._on_thread = run, on_thread
        self.max_batch, self._max_queue = max_batch, max_queue
        self._waiting: deque[Waiting[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._closed = False
        self._seconds_an_item = 0.0
        self._threads = [threading.Thread(target=self._work, daemon=True, name=f"model-{n}") for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Queue an item from the event loop; raises `QueueFullError` at once instead of letting the queue grow."""
        loop = asyncio.get_running_loop()
        with self._changed:
            if self._closed or len(self._waiting) >= self._max_queue:
                raise QueueFullError(max(1, math.ceil(len(self._waiting) * self._seconds_an_item)))
            answer: asyncio.Future[Result] = loop.create_future()
            self._waiting.append(Waiting(item, answer, loop, time.perf_counter()))
            self._changed.notify()
        return answer

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """Answer what was accepted, then let the threads end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        self._on_thread()
        while batch := self._take():
            live = [one for one in batch if not one.answer.cancelled()]  # the client went away: skip the work
            if not live:
                continue
            began = time.perf_counter()
            try:
                results = self._run([one.item for one in live])
            except Exception as error:  # a bug or a full device fails this batch, never the thread
                results = [error] * len(live)
            took = (time.perf_counter() - began) / len(live) / len(self._threads)
            self._seconds_an_item += 0.1 * (took - self._seconds_an_item)
            for loop in {one.loop for one in live}:
                mine = [(one.answer, result) for one, result in zip(live, results, strict=True) if one.loop is loop]
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_settle, mine)  # one wake-up of the event loop for the whole batch

    def _take(self) -> list[Waiting[Item, Result]]:
        """This thread's fair share of what waits; empty when the batcher was closed."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._waiting or self._closed)
            share = math.ceil(len(self._waiting) / self._idle)
            self._idle -= 1
            return [self._waiting.popleft() for _ in range(min(share, self.max_batch, len(self._waiting)))]


def _settle(results: "Sequence[tuple[asyncio.Future[Result], Result | Exception]]") -> None:
    for answer, result in results:
        if answer.done():
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
