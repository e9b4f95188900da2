"""How canvases go through a network, with stand-ins for OpenVINO's; test_runtimes.py has the real one."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from app.vision.serving.openvino_passes import AGAIN, LONE_CALLS, ROUNDS, AllThreads, Compiled, Passes

CANVAS = np.zeros((1, 2, 2, 3), np.uint8)


class Way:
    def __init__(self, clock: "Clock", seconds: float, answer: float = 1.0) -> None:
        self.clock, self.seconds, self.answer, self.calls = clock, seconds, answer, 0

    def __call__(self, canvases: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        self.calls += 1
        self.clock.now += self.seconds
        return [np.full((1, 4), self.answer, np.float32) for _ in canvases]


class Clock:
    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    times = SimpleNamespace(perf_counter=lambda: clock.now)
    monkeypatch.setattr("app.vision.serving.openvino_passes.time", times)
    return clock


def asked(narrow: Way, wide: Way, calls: int) -> Callable[[int], None]:
    """What asks further, of one that was asked so often; if it compiled the other way, that is done."""
    compiled = cast("Any", AllThreads)(narrow, lambda: wide)

    def ask(number: int) -> None:
        for _ in range(number):
            (row,) = compiled(CANVAS)
            assert (row == narrow.answer).all()

    ask(calls)
    for thread in threading.enumerate():
        if thread.name == "all threads":
            thread.join()
    return ask


def test_a_few_calls_compile_nothing(clock: Clock) -> None:
    narrow, wide = Way(clock, 8), Way(clock, 4)
    asked(narrow, wide, LONE_CALLS - 1)
    assert (narrow.calls, wide.calls) == (LONE_CALLS - 1, 0)


def test_the_quicker_way_is_taken_and_the_other_one_tried_now_and_then(clock: Clock) -> None:
    narrow, wide = Way(clock, 8), Way(clock, 4)
    ask = asked(narrow, wide, LONE_CALLS)
    ask(ROUNDS)
    narrow.calls = wide.calls = 0
    ask(10 * AGAIN)
    assert (narrow.calls, wide.calls) == (10, 10 * AGAIN - 10)
    wide.seconds = 9  # another process has come
    ask(ROUNDS)
    narrow.calls = wide.calls = 0
    ask(AGAIN)
    assert wide.calls == 1
    wide.seconds = 3
    ask(ROUNDS * AGAIN)
    narrow.calls = 0
    ask(AGAIN)
    assert narrow.calls == 1


def test_a_way_to_other_features_is_never_taken(clock: Clock) -> None:
    narrow, wide = Way(clock, 8), Way(clock, 4, answer=1 + 2**-20)
    ask = asked(narrow, wide, LONE_CALLS)
    ask(2 * AGAIN)
    assert wide.calls == 1  # to compare


def test_what_cannot_be_compiled_costs_no_answer(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    narrow = Way(clock, 8)

    def fail() -> Compiled:
        raise RuntimeError("no memory")

    compiled = AllThreads(cast("Any", narrow), fail)
    for _ in range(2 * AGAIN):
        assert len(compiled(CANVAS)) == 1
    for thread in threading.enumerate():
        if thread.name == "all threads":
            thread.join()
    assert "cannot be compiled" in caplog.text
    assert narrow.calls == 2 * AGAIN


def test_whoever_was_in_company_lately_is_not_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    times = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("app.vision.serving.openvino_passes.time", times)
    passes = Passes()
    with passes.joined() as alone:
        assert alone
    with passes.joined() as alone:
        assert alone
        with passes.joined() as second, passes.joined() as third:
            assert not second
            assert not third
    with passes.joined() as alone:
        assert not alone
    now += 1
    with pytest.raises(ValueError, match="no network"), passes.joined():
        raise ValueError("no network")
    with passes.joined() as alone:
        assert alone


def test_requests_are_a_threads_own_and_wait_even_if_one_fails() -> None:
    class Request:
        begun = waited = 0

        def set_input_tensor(self, _: int, tensor: NDArray[np.uint8]) -> None:
            self.place = tensor

        def start_async(self) -> None:
            if self.place.max() == 13:
                raise RuntimeError("no memory")
            Request.begun += 1
            time.sleep(0.001)

        def wait(self) -> None:
            Request.waited += 1

        def get_output_tensor(self, _: int) -> Any:
            class Output:
                data = self.place.astype(np.float32).reshape(1, -1)

            return Output

    class Network:
        made = 0

        def create_infer_request(self) -> Request:
            self.made += 1
            return Request()

    network = Network()
    compiled = Compiled(network, cast("type", lambda place, **_: place))
    three = np.arange(3 * 12, dtype=np.uint8).reshape(3, 2, 2, 3)
    found: list[list[NDArray[np.float32]]] = []
    threads = [threading.Thread(target=lambda: found.append(compiled(three))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rows in found:
        assert np.array_equal(np.concatenate(rows), three.reshape(3, -1))
    assert network.made == 6
    bad = np.stack([three[0], np.full((2, 2, 3), 13, np.uint8)])
    before = Request.begun
    with pytest.raises(RuntimeError, match="no memory"):
        compiled(bad)
    assert (Request.begun, Request.waited) == (before + 1, before + 1)
