"""Batches form by themselves: whoever is idle takes what waits, and nobody waits for a batch to fill.

An idle service answers a batch of one at once; under load the batches grow up to `max_batch`.

Longer work comes in *steps*, a generator that pauses after each short piece. Such works take turns with each other and
with the batches, and where there are several threads, one at least is always left to the batches.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome = TypeVar("Outcome")


class QueueFullError(RuntimeError):
    """Too much waits already. `retry_after_s` says when to come again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many pictures wait already.")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, eq=False)
class Waiting(Generic[Item, Result]):
    item: Item
    answer: "asyncio.Future[Result]"
    loop: asyncio.AbstractEventLoop
    since: float


@dataclass(frozen=True)
class _Following:
    steps: Generator[object, None, Any]
    answer: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[Item, Result]):
    """A bounded queue and the threads that empty it, each running a batch from first to last step.

    `run` gets 1..`max_batch` items and gives, as soon as it knows some, by their place among these, results, or
    exceptions that only this item's caller gets to see. `batch_of` says of an item how many there may be in a batch
    that it begins, if that is fewer. Longer work has all threads but one, or `threads_in_steps` if that is fewer; one
    at least. `on_thread` prepares each thread (its number of torch threads, say).
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Iterable[Mapping[int, Result | Exception]]],
        *,
        threads: int,
        max_batch: int = 16,
        max_queue: int = 256,
        max_in_steps: int = 16,
        threads_in_steps: int | None = None,
        batch_of: Callable[[Item], int] | None = None,
        on_thread: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._on_thread = run, on_thread
        self._max_batch, self._max_queue, self._max_in_steps = max_batch, max_queue, max_in_steps
        self._batch_of = batch_of
        self._waiting: deque[Waiting[Item, Result]] = deque()
        self._in_steps: deque[_Following] = deque()
        self._running_in_steps = 0
        most = threads - 1 if threads_in_steps is None else min(threads - 1, threads_in_steps)
        self._most_in_steps = max(1, most)
        self._changed = threading.Condition()
        self._idle = 0
        self._closed = False
        self._seconds_an_item = 0.0
        self._threads = [threading.Thread(target=self._work, daemon=True, name=f"model-{n}") for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Queue an item from the event loop; raises `QueueFullError` at once instead of letting the queue grow.

        When the answer is cancelled, the item leaves the queue.
        """
        loop = asyncio.get_running_loop()
        with self._changed:
            if self._closed or len(self._waiting) >= self._max_queue:
                raise QueueFullError(max(1, math.ceil(len(self._waiting) * self._seconds_an_item)))
            answer: asyncio.Future[Result] = loop.create_future()
            waiting = Waiting(item, answer, loop, time.perf_counter())
            self._waiting.append(waiting)
            self._changed.notify()
        answer.add_done_callback(lambda answer: self._withdraw(waiting) if answer.cancelled() else None)
        return answer

    def _withdraw(self, waiting: Waiting[Item, Result]) -> None:
        with self._changed, suppress(ValueError):  # a thread may have taken it
            self._waiting.remove(waiting)

    def run_steps(self, steps: Generator[object, None, Outcome]) -> "asyncio.Future[Outcome]":
        """Run work in steps to its end, piece by piece, on whichever thread has time; raises `QueueFullError` at once.

        When the answer is cancelled, the work is closed before its next piece.
        """
        loop = asyncio.get_running_loop()
        with self._changed:
            wanted = sum(not one.answer.cancelled() for one in self._in_steps)
            if self._closed or wanted + self._running_in_steps >= self._max_in_steps:
                raise QueueFullError(max(1, wanted))
            answer: asyncio.Future[Outcome] = loop.create_future()
            self._in_steps.append(_Following(steps, answer, loop))
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
        prefers_batch = True
        while work := self._take(prefers_batch=prefers_batch):
            prefers_batch = isinstance(work, _Following)  # after a piece of longer work it is the batches' turn
            if isinstance(work, _Following):
                self._go_on(work)
            else:
                self._answer(work)

    def _answer(self, batch: "list[Waiting[Item, Result]]") -> None:
        live = [one for one in batch if not one.answer.cancelled()]  # the client went away: skip the work
        if not live:
            return
        began = time.perf_counter()
        unanswered = dict(enumerate(live))
        failed: Exception = RuntimeError("The batch ended without an answer to this.")
        try:
            for found in self._run([one.item for one in live]):
                _tell([(unanswered.pop(place), result) for place, result in found.items()])
        except Exception as error:  # a bug or a full device fails this batch, never the thread
            failed = error
        _tell([(one, failed) for one in unanswered.values()])
        took = (time.perf_counter() - began) / len(live) / len(self._threads)
        self._seconds_an_item += 0.1 * (took - self._seconds_an_item)

    def _go_on(self, following: _Following) -> None:
        """One piece; then the work waits for its next turn, unless this was the last one."""
        ended, outcome = True, None
        try:
            if following.answer.cancelled():
                following.steps.close()
            else:
                next(following.steps)
                ended = False
        except StopIteration as end:
            outcome = end.value
        except Exception as error:  # this work's alone
            outcome = error
        with self._changed:
            self._running_in_steps -= 1
            if not ended:
                self._in_steps.append(following)
            self._changed.notify_all()
        if ended and not following.loop.is_closed():
            following.loop.call_soon_threadsafe(_settle, [(following.answer, outcome)])

    def _take(self, *, prefers_batch: bool) -> "list[Waiting[Item, Result]] | _Following | None":
        """This thread's fair share of what waits, or a turn of work in steps; None when the batcher was closed."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._waiting or self._may_go_on() or self._is_done())
            share = math.ceil(len(self._waiting) / self._idle)
            self._idle -= 1
            if self._may_go_on() and not (self._waiting and prefers_batch):
                self._running_in_steps += 1
                return self._in_steps.popleft()
            most = min(share, self._most(), len(self._waiting))
            return [self._waiting.popleft() for _ in range(most)] or None

    def _most(self) -> int:
        if self._batch_of is None or not self._waiting:
            return self._max_batch
        return min(self._max_batch, self._batch_of(self._waiting[0].item))

    def _may_go_on(self) -> bool:
        return bool(self._in_steps) and self._running_in_steps < self._most_in_steps

    def _is_done(self) -> bool:
        return self._closed and not self._in_steps and not self._running_in_steps


def _tell(found: "Sequence[tuple[Waiting[Item, Result], Result | Exception]]") -> None:
    """With one wake-up of an event loop for all that wait in it."""
    for loop in {one.loop for one, _ in found}:
        mine = [(one.answer, result) for one, result in found if one.loop is loop]
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, mine)


def _settle(results: "Sequence[tuple[asyncio.Future[Result], Result | Exception]]") -> None:
    for answer, result in results:
        if answer.done():
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
