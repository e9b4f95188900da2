import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from app.vision.serving.batcher import Batcher, QueueFullError


class Gate:
    """A worker whose first batch starts, says so, and then waits to be let through."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered, self.open = threading.Event(), threading.Event()

    def run(self, items: Sequence[int]) -> Iterator[Mapping[int, int | Exception]]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.open.wait(10)
        yield dict(enumerate(ValueError(f"{item} is odd") if item % 2 else item * 10 for item in items))


def themselves(items: Sequence[int]) -> Iterator[Mapping[int, int | Exception]]:
    yield dict(enumerate(items))


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


def test_a_place_in_the_queue_is_free_once_its_client_went_away() -> None:
    async def scenario() -> None:
        async with gated(max_queue=2) as (gate, batcher):
            running = batcher.submit(0)
            await _entered(gate)
            gone, stays = batcher.submit(2), batcher.submit(4)
            gone.cancel()
            await asyncio.sleep(0)
            assert len(batcher) == 1
            new = batcher.submit(6)
            running.cancel()  # a thread has it by now: there is nothing to withdraw
            gate.open.set()
            assert [await stays, await new] == [40, 60]
            assert gate.batches == [[0], [4, 6]]

    asyncio.run(scenario())


def test_work_in_steps_that_nobody_waits_for_takes_no_place() -> None:
    async def scenario() -> None:
        batcher = Batcher[int, int](themselves, threads=1, max_in_steps=2)
        gate = threading.Event()
        done: list[str] = []
        running, gone = batcher.run_steps(counting(1, done, "a", gate)), batcher.run_steps(counting(1, done, "b"))
        gone.cancel()
        new = batcher.run_steps(counting(1, done, "c"))
        gate.set()
        assert [await running, await new] == ["a is done", "c is done"]
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_a_bug_in_the_work_fails_the_batch_and_the_thread_lives_on() -> None:
    def run(items: Sequence[int]) -> Iterator[Mapping[int, int | Exception]]:
        if 13 in items:
            raise RuntimeError("out of memory")
        yield dict(enumerate(items))

    async def scenario() -> None:
        batcher = Batcher(run, threads=1)
        with pytest.raises(RuntimeError, match="out of memory"):
            await batcher.submit(13)
        assert await batcher.submit(1) == 1
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_what_is_known_is_told_while_the_rest_of_the_batch_is_worked_on() -> None:
    begun, gate = threading.Event(), threading.Event()

    def run(items: Sequence[int]) -> Iterator[Mapping[int, int | Exception]]:
        begun.set()
        assert gate.wait(10)
        gate.clear()
        slow = [place for place, item in enumerate(items) if item >= 100]
        yield {place: item for place, item in enumerate(items) if place not in slow}
        if slow:
            assert gate.wait(10)
            gate.clear()
        if 666 in items:
            raise RuntimeError("out of memory")
        yield {place: items[place] for place in slow if items[place] != 999}

    async def scenario() -> None:
        batcher: Batcher[int, int] = Batcher(run, threads=1)
        for slow, error in ((100, None), (666, "out of memory"), (999, "without an answer")):
            begun.clear()
            first = batcher.submit(0)
            assert await asyncio.to_thread(begun.wait, 10)
            waiting = [batcher.submit(item) for item in (1, slow, 2)]
            gate.set()
            await first
            gate.set()
            assert (await waiting[0], await waiting[2]) == (1, 2)
            assert not waiting[1].done()
            gate.set()
            if error:
                with pytest.raises(RuntimeError, match=error):
                    await waiting[1]
            else:
                assert await waiting[1] == slow
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


def counting(
    pieces: int, done: list[str], name: str = "course", gate: threading.Event | None = None
) -> Generator[None, None, str]:
    try:
        for _ in range(pieces):
            if gate:
                assert gate.wait(10)
            done.append(name)
            yield
    finally:
        done.append(f"{name} ended")
    return f"{name} is done"


def test_a_course_is_followed_to_its_end_and_its_exception_reaches_the_caller_alone() -> None:
    def failing() -> Generator[None, None, str]:
        yield
        raise ValueError("no such thing")

    async def scenario() -> None:
        batcher = Batcher[int, int](themselves, threads=2)
        good, bad = batcher.run_steps(counting(3, [])), batcher.run_steps(failing())
        assert await good == "course is done"
        with pytest.raises(ValueError, match="no such thing"):
            await bad
        assert await batcher.submit(1) == 1
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_works_in_steps_take_turns_with_each_other_and_with_the_batches() -> None:
    done: list[str] = []

    def run(items: Sequence[int]) -> Iterator[Mapping[int, int | Exception]]:
        done.append("batch")
        yield dict(enumerate(items))

    async def scenario() -> None:
        batcher = Batcher(run, threads=1, max_batch=1)
        gate = threading.Event()
        courses = [batcher.run_steps(counting(3, done, name, gate)) for name in ("a", "b")]
        items = [batcher.submit(number) for number in range(2)]
        gate.set()
        await asyncio.gather(*courses, *items)
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())
    pieces = [one for one in done if "ended" not in one]
    assert sorted(pieces) == ["a"] * 3 + ["b"] * 3 + ["batch"] * 2
    assert [one for one in pieces if one != "batch"] == ["a", "b"] * 3
    assert "batch" not in pieces[-3:]  # both were taken between the first pieces


def test_a_thread_is_left_to_the_batches_while_longer_work_runs() -> None:
    async def scenario() -> None:
        batcher = Batcher[int, int](themselves, threads=2)
        gate = threading.Event()
        courses = [batcher.run_steps(counting(1, [], gate=gate)) for _ in range(3)]
        for number in range(5):  # would wait for the gate, and fail, if courses held both threads
            assert await asyncio.wait_for(batcher.submit(number), 5) == number
        gate.set()
        await asyncio.gather(*courses)
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_longer_work_has_no_more_threads_than_it_may_have() -> None:
    async def scenario() -> None:
        batcher = Batcher[int, int](themselves, threads=3, threads_in_steps=1)
        gate, done = threading.Event(), list[str]()
        first, second = batcher.run_steps(counting(1, done, "a", gate)), batcher.run_steps(counting(1, done, "b"))
        assert await batcher.submit(1) == 1
        assert not done  # the second has no thread before the first has paused, though two are idle
        gate.set()
        await asyncio.gather(first, second)
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_too_many_works_in_steps_are_refused_and_a_cancelled_one_is_closed_before_its_next_piece() -> None:
    done: list[str] = []

    async def scenario() -> None:
        batcher = Batcher[int, int](themselves, threads=1, max_in_steps=2)
        gate = threading.Event()
        stays, gone = batcher.run_steps(counting(1, done, "a", gate)), batcher.run_steps(counting(9, done, "b"))
        with pytest.raises(QueueFullError):
            batcher.run_steps(counting(1, done))
        gone.cancel()
        gate.set()
        assert await stays == "a is done"
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())
    assert "b" not in done


def test_closing_ends_the_works_that_were_accepted() -> None:
    async def scenario() -> None:
        batcher = Batcher[int, int](themselves, threads=2)
        course = batcher.run_steps(counting(5, []))
        await asyncio.to_thread(batcher.close)
        assert await course == "course is done"
        with pytest.raises(QueueFullError):
            batcher.run_steps(counting(1, []))

    asyncio.run(scenario())


def test_of_two_kinds_of_items_each_keeps_its_own_size() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: Batcher[int, int] = Batcher(gate.run, threads=1, batch_of=lambda item: 1 if item < 10 else 3)
        first = batcher.submit(0)
        await _entered(gate)
        waiting = [batcher.submit(item) for item in (10, 12, 14, 2, 4, 16, 18)]
        gate.open.set()
        await asyncio.gather(first, *waiting)
        await asyncio.to_thread(batcher.close)
        assert gate.batches == [[0], [10, 12, 14], [2], [4], [16, 18]]

    asyncio.run(scenario())
