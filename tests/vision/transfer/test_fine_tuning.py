from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.vision.ask import Steps, run_steps
from app.vision.image import ImageLimits
from app.vision.networks.backbones import load_backbone
from app.vision.transfer.archive import Archive
from app.vision.transfer.fine_tuning import Pictures, Tuned, fine_tune
from app.vision.transfer.linear_probe import LinearHead
from tests.support.pictures import shapes, zipped

pytestmark = pytest.mark.slow

LITE = "efficientnet_lite0"


@pytest.fixture(scope="module")
def pictures() -> Iterator[Pictures]:
    with Archive(BytesIO(zipped(shapes(6)))) as archive:
        labels = torch.tensor([int(entry.label == "red") for entry in archive.entries])
        yield Pictures(archive, archive.entries, labels, torch.arange(12) % 3 == 0, ImageLimits())


def tuning(pictures: Pictures, epochs: int = 2, resume: dict[str, Tensor] | None = None) -> Steps[Tuned]:
    probe = LinearHead(0.01 * torch.randn(2, 1280, generator=torch.Generator().manual_seed(0)), torch.zeros(2))
    backbone, _ = load_backbone(LITE, None, fold=False)
    return fine_tune(
        backbone, probe, pictures, epochs=epochs, augment=True, seed=0, threads=2, done=0, total=16, resume=resume
    )


@pytest.fixture(scope="module")
def whole(pictures: Pictures) -> tuple[Tuned, list[dict[str, Tensor]], list[float]]:
    """What was learned, the states by the way, and the validation losses."""
    course = tuning(pictures)
    states: list[dict[str, Tensor]] = []
    losses: list[float] = []
    while True:
        try:
            pause = next(course)
        except StopIteration as end:
            return end.value, states, losses
        if pause.state:
            states.append({name: tensor.clone() for name, tensor in pause.state().items()})
        if pause.metric and pause.metric["split"] == "validation":
            losses.append(float(pause.metric["loss"]))


def test_never_ends_worse_than_it_began(whole: tuple[Tuned, list[dict[str, Tensor]], list[float]]) -> None:
    tuned, _, losses = whole
    assert len(losses) == 3
    assert tuned.loss == pytest.approx(min(losses), abs=1e-5)
    assert losses[tuned.epoch] == min(losses)
    assert tuned.features.shape == (12, 1280)


def test_goes_on_from_a_state_to_the_same_end(
    pictures: Pictures, whole: tuple[Tuned, list[dict[str, Tensor]], list[float]]
) -> None:
    tuned, states, _ = whole
    inside = states[1]
    assert int(inside["done"]) == 0, "in the first minibatch, of eight pictures in two parts"
    resumed = run_steps(tuning(pictures, resume=inside))
    assert resumed.epoch == tuned.epoch
    for name, values in tuned.network.items():
        assert torch.allclose(resumed.network[name].float(), values.float(), atol=1e-5)
    assert torch.allclose(resumed.weights.weight, tuned.weights.weight, atol=1e-5)
    ended = run_steps(tuning(pictures, resume=states[-1]))
    assert torch.allclose(ended.features, tuned.features, atol=1e-4)


def test_the_published_network_sees_what_the_tuned_one_saw(
    pictures: Pictures, whole: tuple[Tuned, list[dict[str, Tensor]], list[float]], tmp_path: Path
) -> None:
    tuned, _, _ = whole
    path = tmp_path / "backbone.safetensors"
    save_file(tuned.network, path)
    backbone, _ = load_backbone(LITE, None, own_weights=path)
    canvases = torch.stack([torch.from_numpy(pictures.canvas(index, backbone.preprocessing)) for index in range(4)])
    with torch.inference_mode():
        features = backbone(canvases.permute(0, 3, 1, 2).float() / 255)
    assert torch.allclose(features, tuned.features[:4], atol=1e-4)
