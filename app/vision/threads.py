"""How many threads PyTorch's operations take, and work that goes on beside each other instead."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import Final, TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")

_STARTING: Final = threading.Lock()
_own: Final = threading.local()


def use_threads(number: int) -> None:
    """In this thread `number`, whatever other threads ask for.

    `torch.set_num_threads` alone does not last: a thread's first operation sets it to what any thread asked for last.
    Asking how many there are counts as the first operation. Threads that start later begin with `number`, too, unless
    others ask meanwhile: where much is to be computed, a thread asks for itself.
    """
    torch.get_num_threads()
    torch.set_num_threads(number)


def threads_at_hand() -> int:
    """On how many threads work may go on beside this one: of those in which operations have one each, as many as these
    may take together; else as many as PyTorch's operations take.
    """
    together: int | None = getattr(_own, "together", None)
    return together or torch.get_num_threads()


@contextmanager
def one_for_each_operation() -> Iterator[None]:
    """Within, operations of this thread have it alone, and as many as they had before are at hand for work that goes on
    beside each other.

    So what is computed is the same whether it shares them or not: sums are rounded otherwise on several threads.
    """
    before, outer = torch.get_num_threads(), getattr(_own, "together", None)
    _own.together = outer or before
    use_threads(1)
    try:
        yield
    finally:
        _own.together = outer
        use_threads(before)


def all_for_each_operation(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What `work` makes of each part, one after the other, in operations that take all threads at hand."""
    before = torch.get_num_threads()
    use_threads(threads_at_hand())
    try:
        return [work(part) for part in parts]
    finally:
        use_threads(before)


def side_by_side(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What `work` makes of each part, all at once, each on a thread whose operations have that thread alone.

    Threads that share each operation wait for each other hundreds of times in a pass through a network. Raises what
    the first part that fails raises, once all have ended. Not from inside a part, which could wait for itself: `each`
    goes on in its own thread there.
    """
    threads = _threads()
    done = [threads.submit(work, part) for part in parts]
    wait(done)
    try:
        return [one.result() for one in done]
    finally:
        done.clear()  # the traceback of what is raised holds this frame, and so would all that the parts held


def each(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What `work` makes of each part, beside each other on the threads that are at hand."""
    number = min(threads_at_hand(), len(parts))
    if number <= 1:
        return [work(part) for part in parts]
    done: list[list[Result]] = side_by_side(
        lambda some: [work(part) for part in some], [parts[n::number] for n in range(number)]
    )
    return [done[place % number][place // number] for place in range(len(parts))]


def processors() -> int:
    """On which this process may run; how much of their time it gets, as of a container's share, is another matter."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads() -> ThreadPoolExecutor:
    with _STARTING:
        return _started()


@cache
def _started() -> ThreadPoolExecutor:
    """All are started at once: meanwhile others that start would begin with one thread, as these do; then with as many
    as whoever asks first.
    """
    own = torch.get_num_threads()
    number = max(2, processors())
    pool = ThreadPoolExecutor(number, "beside")
    met = threading.Barrier(number)

    def start(_: int) -> None:
        use_threads(1)
        met.wait()

    try:
        list(pool.map(start, range(number)))
    except RuntimeError:  # no more threads can be had: those that there are do not wait for the others
        met.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        use_threads(own)
    return pool
