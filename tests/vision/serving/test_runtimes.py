import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.vision.networks.backbones import Backbone, load_backbone
from app.vision.serving import runtimes
from app.vision.serving.openvino_passes import LONE_CALLS, ROUNDS
from app.vision.serving.openvino_runtime import OpenVinoFeatureExtractor
from app.vision.serving.runtimes import RuntimeUnavailableError, TorchFeatureExtractor, quickest_extractor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loaded() -> tuple[Backbone, nn.Linear]:
    return load_backbone("efficientnet_lite0", None)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def canvases(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (number, 224, 224, 3), dtype=np.uint8)


def test_openvino_gives_pytorchs_features(loaded: tuple[Backbone, nn.Linear], cache_dir: Path) -> None:
    backbone, _ = loaded
    quick = OpenVinoFeatureExtractor(backbone, cache_dir, threads=1)
    for number in (1, 3):
        features = quick(canvases(number))
        torch.testing.assert_close(
            features, TorchFeatureExtractor(backbone, CPU)(canvases(number)), atol=1e-3, rtol=1e-3
        )


def test_threads_that_ask_openvino_at_once_get_the_features_of_their_own_canvases(
    loaded: tuple[Backbone, nn.Linear], cache_dir: Path
) -> None:
    quick = OpenVinoFeatureExtractor(loaded[0], cache_dir, threads=2)
    shown = canvases(8)
    one_by_one = torch.cat([quick(shown[number : number + 1]) for number in range(8)])
    parts = [slice(0, 8), slice(1, 3), slice(4, 5), slice(2, 8)]  # also more than it takes at once
    with ThreadPoolExecutor(len(parts)) as pool:
        for part, features in zip(parts * 3, pool.map(lambda part: quick(shown[part]), parts * 3), strict=True):
            assert torch.equal(features, one_by_one[part])


def test_a_lone_canvas_has_the_same_features_from_all_threads(
    loaded: tuple[Backbone, nn.Linear], cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.vision.serving.openvino_passes.ALONE_S", -1.0)  # whatever else ran a moment ago
    quick = OpenVinoFeatureExtractor(loaded[0], cache_dir, threads=2)
    shown = canvases(3)
    together = quick(shown)
    all_threads = quick._wide
    assert all_threads
    for number in range(LONE_CALLS + 4 * ROUNDS):
        place = number % 3
        assert torch.equal(quick(shown[place : place + 1]), together[place : place + 1])
        for thread in threading.enumerate():
            if thread.name == "all threads":
                thread.join()
    wide = all_threads._compile_wide()
    is_same = torch.equal(torch.from_numpy(np.concatenate(wide(shown))), together)
    assert [len(times) for times in all_threads._took.values()] == ([ROUNDS] * 2 if is_same else [ROUNDS])


def test_the_network_is_converted_once(loaded: tuple[Backbone, nn.Linear], cache_dir: Path) -> None:
    backbone, _ = loaded
    OpenVinoFeatureExtractor(backbone, cache_dir, threads=1)
    before = {path: path.stat().st_mtime_ns for path in cache_dir.rglob("*")}
    OpenVinoFeatureExtractor(backbone, cache_dir, threads=1)
    assert {path: path.stat().st_mtime_ns for path in cache_dir.rglob("*")} == before
    assert len(list(cache_dir.iterdir())) == 1


@pytest.mark.parametrize("file", ["model.bin", "model.xml"])
def test_a_damaged_cache_is_made_anew(loaded: tuple[Backbone, nn.Linear], cache_dir: Path, file: str) -> None:
    backbone, _ = loaded
    OpenVinoFeatureExtractor(backbone, cache_dir, threads=1)
    (damaged,) = cache_dir.glob(f"*/{file}")
    whole = damaged.stat().st_size
    os.truncate(damaged, whole // 2)
    features = OpenVinoFeatureExtractor(backbone, cache_dir, threads=1)(canvases(1))
    torch.testing.assert_close(features, TorchFeatureExtractor(backbone, CPU)(canvases(1)), atol=1e-3, rtol=1e-3)
    assert damaged.stat().st_size > 0.9 * whole  # made again, its nodes have other numbers in their names


class Wrong:
    """An implementation that is quick, and wrong."""

    name, best_batch = "wrong", 1

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        return torch.randn(len(canvases), 1280, generator=torch.Generator().manual_seed(0)) * 10


def test_a_quicker_implementation_with_other_answers_is_not_used(
    loaded: tuple[Backbone, nn.Linear], cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> Iterable[Wrong]:
        yield Wrong()

    monkeypatch.setattr(runtimes, "_cpu_candidates", wrong)
    chosen = quickest_extractor(*loaded, device=CPU, engine="auto", cache_dir=cache_dir, threads=1)
    assert isinstance(chosen, TorchFeatureExtractor)
    with pytest.raises(RuntimeUnavailableError):
        quickest_extractor(*loaded, device=CPU, engine="openvino", cache_dir=cache_dir, threads=1)


def test_a_cache_that_cannot_be_written_costs_speed_and_nothing_else(
    loaded: tuple[Backbone, nn.Linear], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    chosen = quickest_extractor(*loaded, device=CPU, engine="auto", cache_dir=tmp_path / "cache", threads=1)
    assert isinstance(chosen, TorchFeatureExtractor)
    assert "PyTorch answers" in caplog.text


def test_openvino_is_chosen_when_it_is_asked_for_and_refused_for_another_device(
    loaded: tuple[Backbone, nn.Linear], cache_dir: Path
) -> None:
    chosen = quickest_extractor(*loaded, device=CPU, engine="openvino", cache_dir=cache_dir, threads=1)
    assert chosen.name == "openvino cpu float32"
    with pytest.raises(RuntimeUnavailableError, match="serves the CPU"):
        quickest_extractor(*loaded, device=torch.device("cuda"), engine="openvino", cache_dir=cache_dir, threads=1)


def test_reduced_precision_is_measured_like_everything_else(loaded: tuple[Backbone, nn.Linear]) -> None:
    backbone, _ = loaded
    reduced = TorchFeatureExtractor(backbone, CPU, torch.bfloat16)
    assert reduced.name == "torch cpu bfloat16"
    assert reduced(canvases(1)).dtype is torch.float32


class Counted:
    """An implementation that counts its calls, and is as right as what it calls."""

    best_batch = 1

    def __init__(self, forward: TorchFeatureExtractor, name: str = "counted") -> None:
        self.forward, self.name, self.calls = forward, name, 0

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        self.calls += 1
        return self.forward(canvases)


def test_the_quickest_is_timed_once_and_checked_at_each_start(
    loaded: tuple[Backbone, nn.Linear], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Counted(TorchFeatureExtractor(loaded[0], CPU))
    candidates: list[object] = [quick]
    monkeypatch.setattr(runtimes, "_cpu_candidates", lambda *_: candidates)
    times = iter([5.0, 1.0] * 4)  # of PyTorch and of the candidate, in turns
    monkeypatch.setattr(runtimes, "_timed", lambda *_: next(times))

    def chosen() -> object:
        return quickest_extractor(*loaded, device=CPU, engine="auto", cache_dir=tmp_path, threads=1)

    assert chosen() is quick
    assert chosen() is quick  # nothing is left to be timed with
    assert quick.calls == 2
    candidates[:] = [Wrong()]
    times = iter([5.0] * 4)
    assert isinstance(chosen(), TorchFeatureExtractor)  # what was quickest once, and is wrong now


def test_a_machine_that_was_busy_for_a_moment_is_measured_again(
    loaded: tuple[Backbone, nn.Linear], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Counted(TorchFeatureExtractor(loaded[0], CPU))
    monkeypatch.setattr(runtimes, "_cpu_candidates", lambda *_: [quick])
    times = iter([1.0, 5.0] * 4 + [5.0, 1.0] * 4)
    monkeypatch.setattr(runtimes, "_timed", lambda *_: next(times))
    made: list[object] = [
        quickest_extractor(*loaded, device=CPU, engine="auto", cache_dir=tmp_path, threads=1) for _ in range(2)
    ]
    first, second = made
    assert isinstance(first, TorchFeatureExtractor)
    assert second is quick


def test_a_damaged_measurement_is_made_anew(
    loaded: tuple[Backbone, nn.Linear], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Counted(TorchFeatureExtractor(loaded[0], CPU))
    monkeypatch.setattr(runtimes, "_cpu_candidates", lambda *_: [quick])
    times = iter([5.0, 1.0] * 8)
    monkeypatch.setattr(runtimes, "_timed", lambda *_: next(times))
    for _ in range(2):
        made: list[object] = [quickest_extractor(*loaded, device=CPU, engine="auto", cache_dir=tmp_path, threads=1)]
        assert made == [quick]
        (kept,) = tmp_path.iterdir()
        kept.write_bytes(kept.read_bytes()[:100])
    assert next(times, None) is None
