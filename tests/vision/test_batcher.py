import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from app.vision.batcher import Batcher, QueueFullError


class Gate:
    """A worker whose first batch starts, says so, and then waits to be let through."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered, self.open = threading.Event(), threading.Event()

    def run(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.open.wait(10)
        return [ValueError(f"{item} is odd") if item % 2 else item * 10 for item in items]


@asynccontextmanager
async def gated(
    max_batch: int = 16, max_queue: int = 256, threads: int = 1
) -> AsyncIterator[tuple[Gate, Batcher[int, int]]]:
    gate = Gate()
    batcher = Batcher(gate.run, threads=threads, max_batch=max_batch, max_queue=max_queue)
    try:
        yield gate, batcher
    finally:
        gate.open.set()
        await asyncio.to_thread(batcher.close)


async def _entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 10)


def test_an_idle_thread_takes_a_lone_item_at_once_and_what_piles_up_meanwhile_as_one_batch() -> None:
    async def scenario() -> None:
        async with gated(max_batch=4) as (gate, batcher):
            first = batcher.submit(0)
            await _entered(gate)
            others = [batcher.submit(2 * n) for n in range(1, 7)]
            gate.open.set()
            assert await asyncio.gather(first, *others) == [20 * n for n in range(7)]
            assert gate.batches == [[0], [2, 4, 6, 8], [10, 12]]

    asyncio.run(scenario())


def test_a_bad_item_fails_alone() -> None:
    async def scenario() -> None:
        async with gated() as (gate, batcher):
            first = batcher.submit(0)
            await _entered(gate)
            bad, good = batcher.submit(1), batcher.submit(2)
            gate.open.set()
            assert await first == 0
            assert await good == 20
            with pytest.raises(ValueError, match="1 is odd"):
                await bad

    asyncio.run(scenario())


def test_a_full_queue_refuses_at_once_and_loses_nothing_that_it_accepted() -> None:
    async def scenario() -> None:
        async with gated(max_queue=2) as (gate, batcher):
            running = batcher.submit(0)
            await _entered(gate)
            waiting = [batcher.submit(2), batcher.submit(4)]
            assert len(batcher) == 2
            with pytest.raises(QueueFullError) as refused:
                batcher.submit(6)
            assert refused.value.retry_after_s >= 1
            gate.open.set()
            assert await asyncio.gather(running, *waiting) == [0, 20, 40]

    asyncio.run(scenario())


def test_work_whose_client_went_away_is_skipped() -> None:
    async def scenario() -> None:
        async with gated() as (gate, batcher):
            running = batcher.submit(0)
            await _entered(gate)
            gone, stays = batcher.submit(2), batcher.submit(4)
            gone.cancel()
            gate.open.set()
            assert await running == 0
            assert await stays == 40
            assert gate.batches == [[0], [4]]

    asyncio.run(scenario())


def test_a_bug_in_the_work_fails_the_batch_and_the_thread_lives_on() -> None:
    def run(items: Sequence[int]) -> Sequence[int]:
        if 13 in items:
            raise RuntimeError("out of memory")
        return list(items)

    async def scenario() -> None:
        batcher = Batcher(run, threads=1)
        with pytest.raises(RuntimeError, match="out of memory"):
            await batcher.submit(13)
        assert await batcher.submit(1) == 1
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_closing_answers_what_was_accepted_and_refuses_the_rest() -> None:
    async def scenario() -> None:
        async with gated() as (gate, batcher):
            running = batcher.submit(0)
            await _entered(gate)
            waiting = batcher.submit(2)
            closing = asyncio.create_task(asyncio.to_thread(batcher.close))
            gate.open.set()
            assert [await running, await waiting] == [0, 20]
            await closing
            with pytest.raises(QueueFullError):
                batcher.submit(4)

    asyncio.run(scenario())


def test_threads_share_what_waits() -> None:
    async def scenario() -> None:
        async with gated(threads=2) as (gate, batcher):
            first = batcher.submit(0)
            await _entered(gate)
            gate.entered.clear()
            second = batcher.submit(2)
            await _entered(gate)
            gate.open.set()
            assert [await first, await second] == [0, 20]
            assert gate.batches == [[0], [2]]

    asyncio.run(scenario())
