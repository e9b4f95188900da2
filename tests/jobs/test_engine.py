import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future  # noqa: TC003
from functools import partial

import pytest
import torch
from torch import Tensor

from app.jobs.engine import LARGE_PIXELS, CanceledError, Engine, EngineStoppedError, Run, run_alone
from app.jobs.job import DeadlineExceededError
from app.vision.ask import Activity, Algorithm, Ask, Pause, Progress, Steps, run
from app.vision.classifier import Classifier
from app.vision.models.repository import ModelRepository
from app.vision.threads import threads_at_hand, use_threads
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu")).load("imagenet")


def tabby(seen: Activity) -> Tensor:
    return seen.logits[:, 281]


def nothing(_step: int) -> None: ...


def climb(
    classifier: Classifier, *, steps: int, seed: int = 0, at: Callable[[int], object] = nothing
) -> Algorithm[Tensor]:
    canvas = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    for step in range(1, steps + 1):
        at(step)
        answered = yield Ask(
            classifier,
            canvas,
            tabby,
            progress=Progress(step, steps),
            preview=partial(torch.squeeze, canvas, 0),
            state=partial(dict, step=torch.tensor(step)),
        )
        canvas = (canvas + 0.01 * answered.gradient.sign()).clamp(0, 1)
    return canvas


def endless(classifier: Classifier, *, at: Callable[[int], object] = nothing) -> Algorithm[Tensor]:
    return climb(classifier, steps=1_000_000, at=at)


def result_of(future: "Future[Tensor]") -> Tensor:
    return future.result(timeout=60)


def test_large_pictures_are_worked_on_one_after_the_other_and_small_ones_meanwhile(classifier: Classifier) -> None:
    seen: list[str] = []
    all_there = threading.Event()

    def step_of(name: str) -> None:
        all_there.wait(60)
        seen.append(name)

    def large(name: str) -> Run[Tensor]:
        return Run(climb(classifier, steps=6, at=lambda _: step_of(name)), pixels=LARGE_PIXELS - 10)

    with Engine() as engine:
        first = [engine.submit(large(name)) for name in ("one", "two")]
        small = engine.submit(Run(climb(classifier, steps=2, at=lambda _: step_of("small")), pixels=10))
        all_there.set()
        for one in (*first, small):
            result_of(one)
    assert [name for name in seen if name != "small"] == ["one"] * 6 + ["two"] * 6
    assert "small" in seen[: seen.index("two")]


def test_a_picture_that_is_larger_than_all_that_have_room_is_worked_on_alone(classifier: Classifier) -> None:
    with Engine() as engine:
        result_of(engine.submit(Run(climb(classifier, steps=2), pixels=3 * LARGE_PIXELS)))


def test_what_waits_for_room_ends_when_nobody_wants_it_any_more(classifier: Classifier) -> None:
    with Engine() as engine:
        running, waits = (Run(endless(classifier), pixels=LARGE_PIXELS) for _ in range(2))
        engine.submit(running)
        ended = engine.submit(waits)
        waits.cancel()
        with pytest.raises(CanceledError):
            result_of(ended)
        assert not running.result.done()
        running.cancel()


def test_the_time_of_a_job_does_not_count_while_it_waits_for_room(classifier: Classifier) -> None:
    with Engine() as engine:
        running = Run(endless(classifier), pixels=LARGE_PIXELS)
        engine.submit(running)
        waits = Run(climb(classifier, steps=1), pixels=LARGE_PIXELS, deadline_s=2)
        ended = engine.submit(waits)
        threading.Event().wait(2.5)
        assert not ended.done()
        running.cancel()
        assert result_of(ended).shape == (1, 3, 64, 64)


def test_large_pictures_are_not_overtaken_by_ones_that_would_have_room(classifier: Classifier) -> None:
    seen: list[str] = []
    began = threading.Event()
    with Engine() as engine:
        running = Run(endless(classifier, at=lambda _: began.set()), pixels=LARGE_PIXELS // 2)
        engine.submit(running)
        assert began.wait(60)
        largest = Run(climb(classifier, steps=3, at=lambda _: seen.append("largest")), pixels=2 * LARGE_PIXELS)
        later = Run(climb(classifier, steps=3, at=lambda _: seen.append("later")), pixels=LARGE_PIXELS // 4)
        ended = [engine.submit(one) for one in (largest, later)]
        threading.Event().wait(0.2)
        assert not seen
        running.cancel()
        for one in ended:
            result_of(one)
    assert seen == ["largest"] * 3 + ["later"] * 3


def test_what_waits_for_room_is_stopped_with_the_engine(classifier: Classifier) -> None:
    began = threading.Event()
    with Engine() as engine:
        engine.submit(Run(endless(classifier, at=lambda _: began.set()), pixels=LARGE_PIXELS))
        waits = engine.submit(Run(endless(classifier), pixels=LARGE_PIXELS))
        assert began.wait(60)
    with pytest.raises(EngineStoppedError):
        waits.result(0)


@pytest.mark.slow
def test_alone_and_in_company_the_result_is_the_same_bit_for_bit(classifier: Classifier) -> None:
    alone = [run(climb(classifier, steps=5, seed=seed)) for seed in range(4)]
    with Engine() as engine:
        futures = [engine.submit(Run(climb(classifier, steps=5, seed=seed))) for seed in range(4)]
        together = [result_of(future) for future in futures]
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert not torch.equal(alone[0], alone[1])


def test_a_job_joins_while_another_runs_and_leaves_before_it(classifier: Classifier) -> None:
    with Engine() as engine:
        long = Run(endless(classifier))
        engine.submit(long)
        assert result_of(engine.submit(Run(climb(classifier, steps=2)))).shape == (1, 3, 64, 64)
        assert not long.result.done()
        long.cancel()
        with pytest.raises(CanceledError):
            result_of(long.result)


def test_progress_previews_and_states_are_told(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PROGRESS_S", "_PREVIEW_S", "_STATE_S"):
        monkeypatch.setattr(f"app.jobs.engine.{name}", 0.0)
    told: list[tuple[int, int]] = []
    previews: list[tuple[int, torch.Size]] = []
    states: list[int] = []
    with Engine() as engine:
        job = Run(
            climb(classifier, steps=3),
            on_progress=lambda progress, _: told.append((progress.step, progress.steps)),
            on_preview=lambda step, pixels: previews.append((step, pixels.shape)),
            on_state=lambda state: states.append(int(state["step"])),
        )
        result_of(engine.submit(job))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert previews == [(step, torch.Size([3, 64, 64])) for step in (1, 2, 3)]
    assert states == [1, 2, 3]
    assert job.seconds > 0


def test_progress_comes_at_most_ten_times_a_second_but_the_last_always(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.engine._PROGRESS_S", 1000.0)
    told: list[int] = []
    with Engine() as engine:
        result_of(engine.submit(Run(climb(classifier, steps=9), on_progress=lambda one, _: told.append(one.step))))
    assert told[-1] == 9
    assert len(told) <= 2


def test_a_deadline_ends_a_job(classifier: Classifier) -> None:
    with Engine() as engine, pytest.raises(DeadlineExceededError):
        result_of(engine.submit(Run(endless(classifier), deadline_s=0.2)))


def test_a_job_that_fails_does_not_fail_the_others(classifier: Classifier) -> None:
    def fail(step: int) -> None:
        if step == 2:
            raise ZeroDivisionError

    with Engine() as engine:
        broken = engine.submit(Run(climb(classifier, steps=5, at=fail)))
        fine = engine.submit(Run(climb(classifier, steps=5)))
        with pytest.raises(ZeroDivisionError):
            result_of(broken)
        assert result_of(fine).shape == (1, 3, 64, 64)


def test_stopping_hands_out_the_state_of_every_job(classifier: Classifier) -> None:
    begun = threading.Event()
    states: list[Mapping[str, Tensor]] = []

    def notice(step: int) -> None:
        if step == 3:
            begun.set()

    engine = Engine()
    job = engine.submit(Run(endless(classifier, at=notice), on_state=states.append))
    assert begun.wait(60)
    engine.stop()
    with pytest.raises(EngineStoppedError):
        result_of(job)
    assert [int(state["step"]) >= 3 for state in states] == [True]
    with pytest.raises(EngineStoppedError):
        engine.submit(Run(endless(classifier)))


def lesson(steps: int, *, at: Callable[[int], object] = nothing) -> Steps[str]:
    for step in range(1, steps + 1):
        at(step)
        metric = {"epoch": step, "loss": 0.5} if step % 2 == 0 else None
        yield Pause(Progress(step, steps), metric=metric, state=partial(dict, step=torch.tensor(step)))
    return "learned"


def never() -> bool:
    return False


def test_a_course_runs_alone_and_tells_how_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.engine._PROGRESS_S", 0.0)
    monkeypatch.setattr("app.jobs.engine._STATE_S", 0.0)
    told: list[int] = []
    metrics: list[Mapping[str, float | int | str]] = []
    states: list[int] = []
    job = Run(
        lesson(4),
        on_progress=lambda progress, _: told.append(progress.step),
        on_metric=metrics.append,
        on_state=lambda state: states.append(int(state["step"])),
    )
    run_alone(job, never)
    assert job.result.result(0) == "learned"
    assert told == states == [1, 2, 3, 4]
    assert metrics == [{"epoch": 2, "loss": 0.5}, {"epoch": 4, "loss": 0.5}]
    assert job.at is None
    assert job.seconds > 0


def test_a_course_is_canceled_before_its_next_step() -> None:
    reached: list[int] = []

    def notice(step: int) -> None:
        reached.append(step)
        if step == 3:
            job.cancel()

    job = Run(lesson(1000, at=notice))
    run_alone(job, never)
    assert reached == [1, 2, 3]
    with pytest.raises(CanceledError):
        job.result.result(0)


def test_a_deadline_ends_a_course() -> None:
    job = Run(lesson(10**9), deadline_s=0.05)
    run_alone(job, never)
    with pytest.raises(DeadlineExceededError):
        job.result.result(0)


def test_a_course_that_is_stopped_hands_out_its_state_and_ends_its_own_affairs() -> None:
    begun: list[int] = []
    closed: list[bool] = []
    states: list[int] = []

    def steps() -> Steps[str]:
        try:
            return (yield from lesson(1000, at=begun.append))
        finally:
            closed.append(True)

    job = Run(steps(), on_state=lambda state: states.append(int(state["step"])))
    run_alone(job, lambda: len(begun) == 5)
    assert states == [5]
    assert closed == [True]
    with pytest.raises(EngineStoppedError):
        job.result.result(0)


def test_a_course_that_fails_tells_why() -> None:
    def fail(step: int) -> None:
        if step == 2:
            raise ZeroDivisionError

    job = Run(lesson(5, at=fail))
    run_alone(job, never)
    with pytest.raises(ZeroDivisionError):
        job.result.result(0)


def refuse(*_: object) -> None:
    raise OSError("no space left")


@pytest.mark.parametrize("broken", ["on_preview", "on_state"])
def test_a_preview_or_state_that_nobody_can_take_costs_no_result(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    for name in ("_PREVIEW_S", "_STATE_S"):
        monkeypatch.setattr(f"app.jobs.engine.{name}", 0.0)
    with Engine() as engine:
        job = engine.submit(Run(climb(classifier, steps=2), **{broken: refuse}))  # type: ignore[arg-type]
        assert result_of(job).shape == (1, 3, 64, 64)
    assert "no space left" in caplog.text


def test_an_engine_that_stops_hands_out_the_states_of_all_though_one_has_none(classifier: Classifier) -> None:
    states: list[Mapping[str, Tensor]] = []
    begun = [threading.Event(), threading.Event()]
    engine = Engine()
    jobs = [
        engine.submit(Run(endless(classifier, at=lambda _, own=own: own.set()), on_state=taker))  # type: ignore[misc]
        for own, taker in zip(begun, (refuse, states.append), strict=True)
    ]
    assert all(one.wait(60) for one in begun)
    engine.stop()
    for job in jobs:
        with pytest.raises(EngineStoppedError):
            result_of(job)
    assert len(states) == 1


def test_a_run_that_arrives_just_before_the_end_is_told_so(classifier: Classifier) -> None:
    engine = Engine()
    with engine._arrived:  # the engine finds both at once
        end = engine.submit(Run(endless(classifier)))
        engine._stopping = True
    engine.stop()
    with pytest.raises(EngineStoppedError):
        result_of(end)


def test_algorithms_go_on_beside_each_other_and_alone_on_all_threads(classifier: Classifier) -> None:
    met, all_there = threading.Barrier(2), threading.Event()
    seen: list[tuple[str, int]] = []

    def together(step: int) -> None:
        if step > 1:  # the first is begun by the engine's own thread
            met.wait(60)
            seen.append((threading.current_thread().name.split("_")[0], threads_at_hand()))

    def alone(step: int) -> None:
        seen.append((threading.current_thread().name, threads_at_hand()))

    with Engine(lambda: use_threads(2)) as engine:
        engine.submit(Run(climb(classifier, steps=1, at=lambda _: all_there.wait(60))))
        both = [engine.submit(Run(climb(classifier, steps=4, seed=seed, at=together))) for seed in (1, 2)]
        all_there.set()
        ends = [result_of(one) for one in both]
        assert seen == [("beside", 1)] * 6
        seen.clear()
        result_of(engine.submit(Run(climb(classifier, steps=2, at=alone))))
        assert seen == [("engine", 2)] * 2
        again = result_of(engine.submit(Run(climb(classifier, steps=4, seed=1))))
    assert torch.equal(again, ends[0])


def test_one_that_fails_beside_others_fails_alone(classifier: Classifier) -> None:
    def fails(step: int) -> None:
        if step == 3:
            raise ValueError(step)

    with Engine(lambda: use_threads(2)) as engine:
        broken = engine.submit(Run(climb(classifier, steps=5, at=fails)))
        fine = [engine.submit(Run(climb(classifier, steps=5, seed=seed))) for seed in (1, 2)]
        with pytest.raises(ValueError, match="3"):
            broken.result(60)
        for one in fine:
            result_of(one)


def test_one_whose_result_nobody_waits_for_any_more_costs_others_nothing(classifier: Classifier) -> None:
    all_there = threading.Event()
    with Engine(lambda: use_threads(2)) as engine:
        engine.submit(Run(climb(classifier, steps=1, at=lambda _: all_there.wait(60))))
        given_up, other = (engine.submit(Run(climb(classifier, steps=4, seed=seed))) for seed in (1, 2))
        assert given_up.cancel()
        all_there.set()
        result_of(other)
        result_of(engine.submit(Run(climb(classifier, steps=2))))


def test_the_time_of_those_that_go_on_beside_each_other_is_shared(classifier: Classifier) -> None:
    runs = [Run(climb(classifier, steps=4, seed=seed, at=lambda _: time.sleep(0.1))) for seed in range(4)]
    began = time.perf_counter()
    with Engine(lambda: use_threads(2)) as engine:
        for one in runs:
            engine.submit(one)
        for one in runs:
            result_of(one.result)
    took = time.perf_counter() - began
    assert sum(one.seconds for one in runs) <= took
