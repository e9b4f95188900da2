"""Lets the threads of OpenMP sleep while they wait, in a process that could not say so before PyTorch was loaded."""

import ctypes
import os
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_MAPS: Final = Path("/proc/self/maps")
_OWN_CHOICE: Final = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@cache
def sleep_while_waiting() -> None:
    """From here on the threads of GNU OpenMP hardly spin; where the environment says how they wait, it holds.

    OpenMP reads OMP_WAIT_POLICY only while it is loaded, and a notebook loads PyTorch first. Without it, threads spin
    for milliseconds after each operation: an ideal image took 105 s instead of 14 beside one busy process on two cores,
    and 22 instead of 7 alone. Nothing happens with another OpenMP than GNU's, which PyTorch has on Linux.
    """
    if any(name in os.environ for name in _OWN_CHOICE):
        return
    for library in _loaded():
        parked = threading.Event()
        threading.Thread(target=_park, args=(library, parked), name="openmp", daemon=True).start()
        parked.wait()


def _loaded() -> Iterator[ctypes.CDLL]:
    """Each GNU OpenMP of this process; other packages may bring their own."""
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return
    paths = {line.split(maxsplit=5)[5] for line in lines if line.count(" ") >= 5 and "/libgomp" in line}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        if hasattr(library, "GOMP_parallel"):
            yield library


def _park(library: ctypes.CDLL, parked: threading.Event) -> None:
    """Keep a team that never works: with more threads than processors, GNU OpenMP spins 100 times, not 300,000."""
    nothing = ctypes.CDLL(None).free  # of NULL
    size = library.omp_get_num_procs() + 1
    library.GOMP_parallel(nothing, None, ctypes.c_uint(size), ctypes.c_uint(0))
    parked.set()
    threading.Event().wait()  # the team lives as long as the thread that began it
