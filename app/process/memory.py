"""How this process takes memory from the system, and when it gives it back."""

import ctypes
import math
import mmap
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_LOOK_S: Final = 4.0
_GROWN: Final = 256 << 20
"""Bytes by which a busy process may be larger than it was at rest. Beyond, it gives back at each look what it does not
use just then: the next kind of work needs blocks of other sizes, and would take new memory beside those.
"""
_BUSY: Final = 0.2
"""Of a core; below that a process is at rest."""
_WORK_S: Final = 0.5
"""Of processor time, after which there may be something to give back."""


def keep_big_blocks() -> None:
    """Let glibc's malloc keep the blocks of a forward pass instead of mapping them anew, page fault by page fault.

    Worth a third of the throughput of PyTorch on a CPU. What nobody uses is given back when it pays. Elsewhere
    than on glibc, nothing happens.
    """
    libc = _glibc()
    if libc is None:
        return
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    libc.mallopt(_M_TOP_PAD, 64 << 20)
    libc.mallopt(_M_ARENA_MAX, 1)  # the model threads share the one arena that keeps its blocks
    trim = libc.malloc_trim
    how = (lambda: trim(0), time.sleep, time.process_time, _resident)
    threading.Thread(target=give_back_when_it_pays, args=how, name="memory", daemon=True).start()


def give_back_when_it_pays(
    give_back: Callable[[], object],
    sleep: Callable[[float], object],
    used: Callable[[], float] = time.process_time,
    resident: Callable[[], int] = lambda: 0,
) -> None:
    """Call `give_back` each time that the process comes to rest after work, and at each look at which it is much larger
    than it was at rest, for ever.

    `used` tells the seconds of processor time that the process has had, `resident` the bytes that it has. Until it
    first comes to rest, it counts as at rest what it has at the first look.
    """
    before = given = used()
    at_rest = math.inf
    while True:
        sleep(_LOOK_S)
        now = used()
        rests = now - before < _BUSY * _LOOK_S
        if (rests and now - given > _WORK_S) or resident() > at_rest + _GROWN:
            give_back()
            given = now
        if rests or at_rest == math.inf:
            at_rest = resident()
        before = now


def _resident() -> int:
    """0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


def _glibc() -> ctypes.CDLL | None:
    """None elsewhere."""
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        _ = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        return None
    return libc
