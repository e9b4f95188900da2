"""When what malloc keeps is given back: at rest after work, and once."""

import gc
import subprocess
import sys

import pytest

from app.process.collection import nothing_collected
from app.process.memory import give_back_when_it_pays


class _EndError(Exception):
    pass


def given_back(used: list[float], resident_mb: list[int] | None = None) -> list[int]:
    """The looks at which memory was given back, for the processor time at the start and at each look."""
    clock = iter(used)
    sizes = resident_mb or [500] * len(used)
    given: list[int] = []
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == len(used):
            raise _EndError

    with pytest.raises(_EndError):
        give_back_when_it_pays(lambda: given.append(looks), sleep, lambda: next(clock), lambda: sizes[looks] << 20)
    return given


def test_memory_is_given_back_once_when_work_is_over() -> None:
    busy = [0.0, 8.0, 16.0]
    rest = [16.1, 16.2, 16.3]
    assert given_back(busy + rest) == [3]


def test_nothing_is_given_back_during_work_or_without_any() -> None:
    assert given_back([0.0, 8.0, 16.0, 24.0]) == []
    assert given_back([0.0, 0.1, 0.2, 0.3]) == []


def test_little_work_adds_up() -> None:
    assert given_back([0.0, 0.3, 0.6, 0.9, 1.2]) == [2, 4]


def test_a_busy_process_gives_back_as_long_as_it_is_much_larger_than_at_rest() -> None:
    started = [0.0, 4.0, 4.1]  # it comes to rest at its second look
    busy = [8.0, 12.0, 16.0, 20.0, 24.0]
    assert given_back(started + busy, [200, 900, 500, 700, 900, 700, 800, 700]) == [2, 4, 6]
    assert given_back(started + busy, [200, 900, 500, 700, 740, 720, 750, 730]) == [2]


def test_a_process_without_a_rest_after_work_gives_back_once_it_has_grown() -> None:
    busy = [4.0, 8.0, 12.0, 16.0]
    assert given_back([0.0, 0.1, *busy], [200, 600, 800, 900, 700, 870]) == [3, 5]
    assert given_back([0.0, *busy], [200, 600, 800, 900, 700]) == [3]


def test_a_process_that_is_large_at_rest_gives_nothing_back_again() -> None:
    assert given_back([0.0, 4.0, 4.1, 4.2, 4.3, 4.4], [200, 900, 900, 900, 900, 900]) == [2]


@pytest.mark.skipif(sys.platform != "linux", reason="malloc is told on Linux")
@pytest.mark.slow
def test_a_process_that_kept_its_blocks_is_small_again_at_rest() -> None:
    """In a process of its own, whose malloc is told for good."""
    code = """
import ctypes, time
from pathlib import Path
import app.process.memory as memory

memory._LOOK_S = 0.1
memory.keep_big_blocks()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

before = resident_mb()
blocks = [libc.malloc(1 << 20) for _ in range(300)]
for block in blocks:
    ctypes.memset(block, 1, 1 << 20)
last = libc.malloc(64)
for block in blocks:
    libc.free(block)
kept = resident_mb()
began = time.process_time()
while time.process_time() - began < 1.0:
    pass
while resident_mb() > before + 50:
    time.sleep(0.05)
print(kept > before + 200)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True"


def test_what_is_made_while_nothing_is_collected_is_never_looked_at() -> None:
    frozen = gc.get_freeze_count()
    try:
        with nothing_collected():
            assert not gc.isenabled()
            kept: list[list[int]] = [[] for _ in range(10_000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= frozen + len(kept)
    finally:
        gc.unfreeze()
