"""How canvases go through a network that OpenVINO compiled: some together, or one with all threads for itself."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

LONE_CALLS: Final = 20
"""Before it is tried whether more threads are quicker."""
ROUNDS: Final = 9
"""Times of each way that are looked at."""
AGAIN: Final = 200
"""Each so many calls the slower way is taken."""
ALONE_S: Final = 0.2
"""Without company, until who comes counts as alone."""


class Compiled:
    """A network with one output, for one canvas; each thread that calls it has requests of its own."""

    def __init__(self, compiled: Any, tensor: type) -> None:  # noqa: ANN401 -- types of OpenVINO
        """`tensor` is OpenVINO's."""
        self._compiled, self._tensor = compiled, tensor
        self._requests = threading.local()

    def __call__(self, canvases: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The output `(1, …)` for each canvas `(n, H, W, 3)`; they wait in OpenVINO's queue together."""
        mine: list[tuple[Any, NDArray[np.uint8]]] = self._requests.__dict__.setdefault("mine", [])
        while len(mine) < len(canvases):
            mine.append(self._request_of(canvases[:1].shape))
        requests = mine[: len(canvases)]
        with ExitStack() as begun:  # also if one fails, none is busy when this thread comes again
            for (request, place), canvas in zip(requests, canvases, strict=True):
                place[0] = canvas
                request.start_async()
                begun.callback(request.wait)
        return [request.get_output_tensor(0).data.copy() for request, _ in requests]

    def _request_of(self, shape: tuple[int, ...]) -> tuple[Any, NDArray[np.uint8]]:
        """One that takes its canvas from a place of its own: to hand over one each time takes 80 µs under Python's
        lock, and would keep the array that it is a part of.
        """
        request, place = self._compiled.create_infer_request(), np.empty(shape, np.uint8)
        request.set_input_tensor(0, self._tensor(place, shared_memory=True))
        return request, place


class AllThreads:
    """The same network with all threads for one canvas, where that is quicker and gives the same features to the bit.

    On two cores a lone canvas takes 3.7 instead of 7.6 ms in float32, and 2.1 instead of 3.2 in bfloat16.
    `compile_wide` is called beside the calls once there were some, so that a command that asks once does not wait for
    it. From then on the way that was quicker lately is taken, and the other one now and then, since other processes
    come and go.
    """

    def __init__(self, narrow: Compiled, compile_wide: Callable[[], Compiled]) -> None:
        self._narrow, self._compile_wide = narrow, compile_wide
        self._calls = count(1)
        self._took: dict[Compiled, deque[float]] = {narrow: deque(maxlen=ROUNDS)}

    def __call__(self, canvases: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        number = next(self._calls)
        if number == LONE_CALLS:
            with suppress(RuntimeError):  # the system gives no thread: it stays as it is
                threading.Thread(target=self._join, args=(canvases.copy(),), name="all threads").start()
        ways = sorted(self._took, key=self._seconds)
        way = ways[-1] if number % AGAIN == 0 else ways[0]
        began = time.perf_counter()
        rows = way(canvases)
        self._took[way].append(time.perf_counter() - began)
        return rows

    def _seconds(self, way: Compiled) -> float:
        """That it took lately; 0 if that is not known yet, so that it is tried."""
        times = self._took[way]
        return median(times) if len(times) == ROUNDS else 0.0

    def _join(self, canvas: NDArray[np.uint8]) -> None:
        try:
            wide = self._compile_wide()
            is_same = np.array_equal(wide(canvas)[0], self._narrow(canvas)[0])
        except RuntimeError:
            log.warning("A network cannot be compiled for all threads: each canvas has one.", exc_info=True)
            return
        if is_same:
            self._took = {**self._took, wide: deque(maxlen=ROUNDS)}
        else:
            log.info("All threads give other features than one: each canvas has one.")


class Passes:
    """Those that this process runs at the moment, of whatever network."""

    def __init__(self) -> None:
        self._number, self._in_company, self._lock = 0, -math.inf, threading.Lock()

    @contextmanager
    def joined(self) -> Iterator[bool]:
        """One more; says whether it is the only one as it begins, and there were no two at once for a while: of two
        clients, each would take the other's thread.
        """
        with self._lock:
            self._number += 1
            now = time.monotonic()
            if self._number > 1:
                self._in_company = now
            alone = now - self._in_company > ALONE_S
        try:
            yield alone
        finally:
            with self._lock:
                self._number -= 1
