"""One thread owns the device and runs all algorithms at once; they join and leave between steps.

As in the continuous batching of language-model servers, each round answers what all running algorithms ask; then all
go on to their next ask, beside each other.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from statistics import median
from typing import Any, Final, Generic, TypeVar

from torch import Tensor

from app.jobs.job import DeadlineExceededError
from app.vision.ask import Algorithm, Answer, Ask, Pause, Progress, Serving, Steps, answer
from app.vision.threads import each, one_for_each_operation

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Given = TypeVar("Given")

_PROGRESS_S: Final = 0.1
_PREVIEW_S: Final = 0.5
_STATE_S: Final = 5.0
LARGE_PIXELS: Final = 12_000_000
"""Of all large pictures that runs change at their own size, at once; of a larger one there is no other beside it."""
_SMALL_PIXELS: Final = LARGE_PIXELS // 8
"""What is not larger waits for no room."""
_REMEMBERED: Final = 15
"""Steps whose median tells how long one takes: the first of all, and those beside a job that joins, are slow."""


class CanceledError(Exception):
    """Somebody does not want the result any more."""


class EngineStoppedError(Exception):
    """The engine stopped before the job was done; its last state was handed out."""


def _ignore(*_: object) -> None: ...


class Run(Generic[Result]):
    """An algorithm on its way through the engine, or work in steps on its way through its own thread (`run_alone`).

    The callbacks come from that thread or one beside it, at once for different runs, and must be quick. `on_progress`
    gets the progress and the seconds until the end, at most ten times a second; `on_preview` the step and a picture
    `(3, H, W)`, at most twice; `on_metric` every point of a curve; `on_state` what the algorithm can be resumed from,
    every five seconds and when the engine stops.
    `pixels` are those of a picture that it holds several times over while it runs.
    """

    def __init__(
        self,
        algorithm: Algorithm[Result] | Steps[Result],
        *,
        on_progress: Callable[[Progress, float], None] = _ignore,
        on_preview: Callable[[int, Tensor], None] = _ignore,
        on_metric: Callable[[Mapping[str, float | int | str]], None] = _ignore,
        on_state: Callable[[Mapping[str, Tensor]], None] = _ignore,
        deadline_s: float | None = None,
        pixels: int = 0,
    ) -> None:
        self.pixels = pixels if pixels > _SMALL_PIXELS else 0
        self.result: Future[Result] = Future()
        self.seconds = 0.0
        """Of the engine's time, spent for this run."""
        self.at: Ask | Pause | None = None
        """Where it waits to go on; None before it began and after it ended."""
        self._algorithm: Any = algorithm
        self._on_progress, self._on_preview, self._on_state = on_progress, on_preview, on_state
        self._on_metric = on_metric
        self._deadline_s, self._deadline = deadline_s, float("inf")
        self._told, self._shown, self._kept = 0.0, 0.0, 0.0
        self._step_began, self._step = 0.0, 0
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self._cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """It ends as soon as it goes on."""
        return self._cancelled

    def begin(self) -> None:
        """Let it go to its first ask; its time counts from now."""
        self._kept = self._step_began = time.monotonic()
        self._deadline = self._kept + (self._deadline_s or float("inf"))
        self.seconds += _advanced(self, None)

    def cancel(self) -> None:
        """Takes effect before the next step; the result is then a `CanceledError`."""
        self._cancelled = True

    def advance(self, answered: Answer | Exception | None) -> None:
        """Let the algorithm go on to its next ask; without one left, `result` is set."""
        try:
            if self._cancelled:
                raise CanceledError  # noqa: TRY301 -- all ends are handled below
            if time.monotonic() > self._deadline:
                raise DeadlineExceededError  # noqa: TRY301
            if isinstance(answered, Exception):
                raise answered  # noqa: TRY301
            self.at = None  # it may hold a picture that the algorithm lets go of
            self.at = next(self._algorithm) if answered is None else self._algorithm.send(answered)
            self._report(self.at)
        except StopIteration as end:
            self._leave()
            if not self.result.done():
                self.result.set_result(end.value)
        except BaseException as error:  # whoever waits for the result gets it, and the other runs go on
            self._leave()
            if not self.result.done():
                self.result.set_exception(error)

    def stop(self) -> None:
        if self.at and self.at.state:
            self._hand_out(self.at.state, self._on_state)
        self._leave()
        self.result.set_exception(EngineStoppedError())

    def _leave(self) -> None:
        self.at = None
        self._algorithm.close()

    def _report(self, ask: Ask | Pause) -> None:
        now = time.monotonic()
        if isinstance(ask, Pause) and ask.metric:
            self._on_metric(ask.metric)
        if ask.progress:
            self._tell(ask.progress, now)
            if isinstance(ask, Ask) and ask.preview and now - self._shown >= _PREVIEW_S:
                self._shown = now
                self._hand_out(ask.preview, partial(self._on_preview, ask.progress.step))
        if ask.state and now - self._kept >= _STATE_S:
            self._kept = now
            self._hand_out(ask.state, self._on_state)

    def _hand_out(self, what: Callable[[], Given], taker: Callable[[Given], None]) -> None:
        """A preview or a state that cannot be had is a fault of ours, and costs nobody the result."""
        try:
            taker(what())
        except Exception:
            log.exception("A preview or state of a job could not be handed out; the job goes on.")

    def _tell(self, progress: Progress, now: float) -> None:
        if progress.step > self._step:
            if self._step:
                self._took.append((now - self._step_began) / (progress.step - self._step))
            self._step, self._step_began = progress.step, now
        if now - self._told >= _PROGRESS_S or progress.step == progress.steps:
            self._told = now
            a_step = median(self._took) if self._took else 0.0
            self._on_progress(progress, a_step * (progress.steps - progress.step))


class Engine:
    """Use it in a `with`, or `stop` it: the thread ends, and all runs hand out their state.

    `serving` answers what verifies.
    """

    def __init__(self, on_thread: Callable[[], Any] = lambda: None, serving: Serving = lambda *_: None) -> None:
        self._on_thread, self._serving = on_thread, serving
        self._arrived = threading.Condition()
        self._waiting: list[Run[Any]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, run: Run[Result]) -> Future[Result]:
        with self._arrived:
            if self._stopping:
                raise EngineStoppedError
            self._waiting.append(run)
            self._arrived.notify()
        return run.result

    def stop(self) -> None:
        """Returns when the round in progress is over and every run has handed out its state."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        self._thread.join()

    def _work(self) -> None:
        self._on_thread()
        running: list[Run[Any]] = []
        with one_for_each_operation():
            while not self._stopping:
                running += self._new(running)
                _round(running, self._serving)
                running = [run for run in running if not run.result.done()]
        for run in running + self._waiting:
            run.stop()

    def _new(self, running: Sequence[Run[Any]]) -> list[Run[Any]]:
        """Those that wait and have room beside these, at their first ask; of the large ones none overtakes another."""
        with self._arrived:
            if not running:
                self._arrived.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                return []
            new: list[Run[Any]] = []
            left: list[Run[Any]] = []
            held = sum(run.pixels for run in running)
            for run in self._waiting:
                has_room = not held or held + run.pixels <= LARGE_PIXELS
                if run.is_cancelled or not run.pixels:
                    new.append(run)
                elif has_room and not left:
                    new.append(run)
                    held += run.pixels
                else:
                    left.append(run)
            self._waiting = left
        for run in new:
            run.begin()
        return new


def _round(runs: list[Run[Any]], serving: Serving) -> None:
    """Answer everyone once."""
    asking = [(run, run.at) for run in runs if isinstance(run.at, Ask)]
    if not asking:
        return
    began = time.perf_counter()
    answers = answer([ask for _, ask in asking], serving)
    took = time.perf_counter() - began
    pixels = [ask.canvas.numel() for _, ask in asking]
    given = [(run, answered) for (run, _), answered in zip(asking, answers, strict=True)]
    del asking  # an ask may hold a picture that its algorithm lets go of
    for (run, _), share in zip(given, pixels, strict=True):
        run.seconds += took * share / sum(pixels)
    small = [one for one in given if not one[0].pixels]
    for run, answered in given:
        if run.pixels:  # its bands go on beside each other
            run.seconds += _advanced(run, answered)
    began = time.perf_counter()
    own = each(lambda one: _advanced(*one), small)
    together = time.perf_counter() - began
    for (run, _), seconds in zip(small, own, strict=True):
        run.seconds += together * seconds / sum(own)


def run_alone(run: Run[Any], stopping: Callable[[], bool]) -> None:
    """Let work in steps run to its end in this thread, or until somebody wants it to stop."""
    run.begin()
    while run.at:
        if stopping():
            run.stop()
        else:
            run.seconds += _advanced(run, None)


def _advanced(run: Run[Any], answered: Answer | Exception | None) -> float:
    """The seconds that it took to its next ask or pause."""
    began = time.perf_counter()
    run.advance(answered)
    return time.perf_counter() - began


def cancel_unwanted(ours: Mapping[str, Run[Any]], states: Callable[[Iterable[str]], Mapping[str, str]]) -> None:
    """Cancel the runs of jobs that the database does not, or no longer, call running: canceled, deleted, taken over."""
    asked = dict(ours)  # others begin while the states are read: those have none yet
    found = states(asked) if asked else {}
    for identity, run in asked.items():
        if found.get(identity) != "PENDING":
            run.cancel()
