"""Every algorithm is saved at everything that it asks, the first included, and goes on from there to the same end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Generic, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from app.jobs.checkpoint import packed, unpacked
from app.vision.ask import Algorithm, Answer, Ask, Pause, Steps, answer
from app.vision.classifier import Classifier
from app.vision.image import ImageLimits
from app.vision.models.repository import ModelRepository
from app.vision.networks.backbones import load_backbone
from app.vision.synthesis.adversarial_images import adversarial_image
from app.vision.synthesis.ideal_images import ideal_image
from app.vision.synthesis.objectives import ChannelObjective, ClassObjective, ImageObjective
from app.vision.transfer.archive import Archive
from app.vision.transfer.fine_tuning import Pictures, Tuned, fine_tune
from app.vision.transfer.linear_probe import LinearHead
from tests.support.paths import ROOT
from tests.support.pictures import shapes, zipped

Result = TypeVar("Result")
State = Mapping[str, Tensor]
pytestmark = pytest.mark.slow

ZEBRA, TABBY = 340, 281
STEPS = 3


@pytest.fixture(scope="module")
def models() -> ModelRepository:
    return ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def classifier(models: ModelRepository) -> Classifier:
    return models.load("imagenet")


@pytest.fixture(scope="module")
def photo() -> bytes:
    """Smooth, colourful and small."""
    small = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(small).resize((80, 64), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Recording(Generic[Result]):
    """All that an algorithm asked, what it was answered, and what it could have been resumed from at each ask."""

    asks: Sequence[Ask]
    answers: Sequence[Answer]
    checkpoints: Mapping[int, bytes]
    result: Result


def recorded(algorithm: Algorithm[Result]) -> Recording[Result]:
    asks: list[Ask] = []
    answers: list[Answer] = []
    checkpoints: dict[int, bytes] = {}
    try:
        ask = next(algorithm)
        while True:
            if ask.state:
                checkpoints[len(asks)] = packed(ask.state())
            (answered,) = answer([ask])
            assert isinstance(answered, Answer)
            asks.append(ask)
            answers.append(answered)
            ask = algorithm.send(answered)
    except StopIteration as end:
        return Recording(asks, answers, checkpoints, end.value)


def check_all_resumed(make: Callable[[State | None], Algorithm[Any]]) -> None:
    """A resumed algorithm is answered what the whole one was: it asks the very same, so that no network need run.

    Of asks that belong to one step, one for each network, the state is that before the step.
    """
    whole = recorded(make(None))
    first = min(whole.checkpoints)
    for number, data in whole.checkpoints.items():
        algorithm = make(unpacked(data))
        step_began = min(one for one, same in whole.checkpoints.items() if same == data)
        still_to_ask = [*range(first), *range(step_began, len(whole.asks))]
        result = _answered(algorithm, [(whole.asks[one], whole.answers[one]) for one in still_to_ask])
        assert result == whole.result, f"resumed at ask {number}"


def _answered(algorithm: Algorithm[Result], expected: Sequence[tuple[Ask, Answer]]) -> Result:
    try:
        ask = next(algorithm)
        for wanted, answered in expected:
            assert torch.equal(ask.canvas, wanted.canvas)
            assert (ask.progress, ask.layers) == (wanted.progress, wanted.layers)
            ask = algorithm.send(answered)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("It asks for more than the whole one did.")


@pytest.mark.parametrize("preset", ["clear", "fine", "quick", "lesson", "raw"])
@pytest.mark.parametrize(
    "aim", [ClassObjective(ZEBRA), ChannelObjective("_blocks.4", 7), ChannelObjective("_blocks.4", 7, x=3, y=2)]
)
def test_an_ideal_image_goes_on_from_every_ask(
    models: ModelRepository, classifier: Classifier, preset: Any, aim: ImageObjective
) -> None:
    others = [models.load("efficientnet_lite1")]
    check_all_resumed(
        lambda state: ideal_image(
            classifier, aim, preset=preset, steps=STEPS, seed=5, size=64, others=others, resume=state
        )
    )


def test_an_ideal_image_of_several_networks_goes_on_from_every_ask(
    models: ModelRepository, classifier: Classifier
) -> None:
    partners = [models.load("efficientnet_lite1")]
    check_all_resumed(
        lambda state: ideal_image(
            classifier, ClassObjective(ZEBRA), steps=STEPS, seed=5, size=64, partners=partners, resume=state
        )
    )


@pytest.mark.parametrize(
    ("method", "norm", "choices"),
    [
        ("robust", "linf", {"target": TABBY, "steps": 9}),
        ("robust", "linf", {}),
        ("robust", "linf", {"target": TABBY, "steps": 8, "survive": ["edit"]}),
        ("minimal", "l2", {"target": TABBY}),
        ("minimal", "linf", {"steps": STEPS}),
        ("pgd", "linf", {"target": TABBY}),
        ("pgd", "linf", {"score": 0.9, "epsilon": 8 / 255}),
        ("pgd", "l2", {"target": TABBY, "steps": STEPS}),
        ("pgd", "linf", {"space": "model", "steps": STEPS}),
        ("fgsm", "linf", {}),
        ("fgsm", "l2", {}),
        ("lesson", "linf", {"target": TABBY, "steps": STEPS}),
        ("patch", "linf", {"target": TABBY, "steps": STEPS}),
        ("lesson", "linf", {"epsilon": 2 / 255, "steps": STEPS}),
    ],
)
def test_an_attack_goes_on_from_every_ask(
    classifier: Classifier, photo: bytes, method: Any, norm: Any, choices: Mapping[str, Any]
) -> None:
    check_all_resumed(
        lambda state: adversarial_image(classifier, photo, method=method, norm=norm, seed=5, resume=state, **choices)
    )


@pytest.mark.parametrize("method", ["robust", "minimal", "pgd"])
def test_an_attack_on_several_networks_goes_on_from_every_ask(
    models: ModelRepository, classifier: Classifier, photo: bytes, method: Any
) -> None:
    partners = [models.load("efficientnet_lite1")]
    check_all_resumed(
        lambda state: adversarial_image(
            classifier, photo, partners=partners, target=TABBY, method=method, steps=STEPS, seed=5, resume=state
        )
    )


@pytest.fixture(scope="module")
def pictures() -> Iterator[Pictures]:
    with Archive(BytesIO(zipped(shapes(3)))) as archive:
        labels = torch.tensor([int(entry.label == "red") for entry in archive.entries])
        yield Pictures(archive, archive.entries, labels, torch.arange(6) % 3 == 0, ImageLimits())


def tuning(pictures: Pictures, state: State | None) -> Steps[Tuned]:
    probe = LinearHead(0.01 * torch.randn(2, 1280, generator=torch.Generator().manual_seed(0)), torch.zeros(2))
    backbone, _ = load_backbone("efficientnet_lite0", None, fold=False)
    return fine_tune(
        backbone, probe, pictures, epochs=2, augment=True, seed=0, threads=1, done=0, total=8, resume=state
    )


def ended(steps: Steps[Tuned]) -> tuple[list[bytes], Tuned]:
    """What it could have been resumed from, in turn, and its end."""
    checkpoints: list[bytes] = []
    try:
        while True:
            pause: Pause = next(steps)
            if pause.state:
                checkpoints.append(packed(pause.state()))
    except StopIteration as end:
        return checkpoints, end.value


def test_fine_tuning_goes_on_from_every_pause(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.vision.transfer.fine_tuning._BATCH", 4)
    monkeypatch.setattr("app.vision.transfer.fine_tuning._PART", 2)
    checkpoints, whole = ended(tuning(pictures, None))
    # Of each of the two epochs, which are a minibatch each: two in the minibatch, and one behind it.
    begins_at = (0, 0, 3, 3, 3, 6)
    assert len(checkpoints) == len(begins_at)
    for number, data in enumerate(checkpoints):
        again, resumed = ended(tuning(pictures, unpacked(data)))
        assert again == checkpoints[begins_at[number] :], f"resumed at pause {number}"
        assert packed(resumed.network) == packed(whole.network)
        for one, other in ((resumed.weights.weight, whole.weights.weight), (resumed.features, whole.features)):
            assert torch.equal(one, other)
        assert (resumed.loss, resumed.epoch) == (whole.loss, whole.epoch)


def test_tensors_that_share_memory_are_packed_each_by_itself() -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    state = {"whole": whole, "same": whole, "row": whole[1], "turned": whole.T, "wide": torch.zeros(1).expand(5)}
    found = unpacked(packed(state))
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    found["whole"].zero_()
    assert torch.equal(found["same"], whole)
