import logging
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.vision.ask import Ask, answer
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.networks.backbones import Backbone
from app.vision.pixels import pixels_of
from app.vision.serving import calibration, precision
from app.vision.serving.calibration import calibration_canvases
from app.vision.serving.forwards import Forwards
from app.vision.serving.openvino_runtime import reduced_precisions
from app.vision.serving.precision import Candidate
from app.vision.serving.runtimes import StagedFeatureExtractor, TorchFeatureExtractor
from app.vision.serving.second_look import SecondLook, together
from app.vision.synthesis.adversarial_images import adversarial_image

CPU = torch.device("cpu")
Canvases = NDArray[np.uint8]


class Remembered:
    """Features that were made of these canvases before, changed: quicker than any network."""

    best_batch = 1

    def __init__(self, name: str, canvases: Canvases, features: Tensor) -> None:
        self.name = name
        self.seen = 0
        self._features = {canvas.tobytes(): row for canvas, row in zip(canvases, features, strict=True)}

    def __call__(self, canvases: Canvases) -> Tensor:
        self.seen += len(canvases)
        return torch.stack([self._features[canvas.tobytes()] for canvas in canvases])

    def stage(self, canvas: Canvas, name: str) -> Tensor:
        raise NotImplementedError


@pytest.fixture(scope="module")
def canvases(imagenet: Classifier) -> Canvases:
    return calibration_canvases(imagenet.backbone.preprocessing)


@pytest.fixture(scope="module")
def few(canvases: Canvases) -> Canvases:
    return canvases[::16]


@pytest.fixture(scope="module")
def features(imagenet: Classifier, few: Canvases) -> Tensor:
    """In float32."""
    forward = TorchFeatureExtractor(imagenet.backbone, CPU)
    return torch.cat([forward(few[start : start + 8]) for start in range(0, len(few), 8)])


@pytest.fixture
def fast(tmp_path: Path, few: Canvases, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Forwards]:
    """What chooses among these implementations, by a few canvases."""

    def made(*offered: StagedFeatureExtractor) -> Forwards:
        def candidates(_self: Forwards, _backbone: Backbone) -> Sequence[Candidate]:
            return [Candidate(one.name, lambda one=one: one) for one in offered]  # type: ignore[misc]

        monkeypatch.setattr(precision, "calibration_canvases", lambda _: few)
        monkeypatch.setattr(Forwards, "_candidates", candidates)
        return Forwards(CPU, engine="torch", precision="fast", cache_dir=tmp_path, threads=1)

    return made


def agreeing(few: Canvases, features: Tensor) -> Remembered:
    return Remembered("agreeing", few, features * (1 + 1e-4))


def wrong(few: Canvases, features: Tensor) -> Remembered:
    return Remembered("wrong", few, features.flip(0))


def test_calibration_pictures_are_many_and_always_the_same_and_many_are_near_things(
    canvases: Canvases, features: Tensor, imagenet: Classifier
) -> None:
    assert len(canvases) >= 200
    again = [np.asarray(picture) for picture in islice(calibration._pictures(), 30)]
    for one, other in zip(again, calibration._pictures(), strict=False):
        np.testing.assert_array_equal(one, np.asarray(other))
    assert len(np.unique(canvases.reshape(len(canvases), -1), axis=0)) == len(canvases)
    first, second = imagenet.head(features).softmax(1).topk(2, dim=1).values.T
    assert 0.15 < float((first - second < 0.1).float().mean()) < 0.6  # of 300 photos of ILSVRC's it is .18


def test_the_quickest_that_agrees_with_float32_serves(
    fast: Callable[..., Forwards], few: Canvases, features: Tensor, imagenet: Classifier
) -> None:
    chosen = fast(wrong(few, features), agreeing(few, features))
    assert chosen.prepare(imagenet).name == "agreeing"
    choice = chosen.choice(imagenet)
    assert choice
    found = {one.forward: one for one in choice.agreements}
    assert found["agreeing"].holds
    assert found["agreeing"].pictures == len(few)
    assert found["agreeing"].same_class == 1
    assert found["agreeing"].difference < 0.001
    assert found["agreeing"].speed > 1
    assert not found["wrong"].holds
    assert found["wrong"].same_class < 0.9


def test_without_agreement_float32_serves_and_the_figures_say_why(
    fast: Callable[..., Forwards],
    few: Canvases,
    features: Tensor,
    imagenet: Classifier,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen = fast(wrong(few, features))
    with caplog.at_level(logging.INFO):
        assert chosen.prepare(imagenet).name == "torch cpu float32"
    assert f"of {len(few)} pictures for the same class" in caplog.text
    assert "imagenet is answered in float32" in caplog.text


def test_what_agrees_and_is_slower_does_not_serve(
    fast: Callable[..., Forwards], few: Canvases, features: Tensor, imagenet: Classifier
) -> None:
    class Slower(Remembered):
        def __call__(self, canvases: Canvases) -> Tensor:
            precise(canvases)
            precise(canvases)
            return super().__call__(canvases)

    precise = TorchFeatureExtractor(imagenet.backbone, CPU)
    slower = Slower("slower", few, features)
    assert fast(slower).prepare(imagenet).name == "torch cpu float32"


def test_each_head_is_judged_by_itself(
    fast: Callable[..., Forwards], few: Canvases, features: Tensor, imagenet: Classifier, repository: ModelRepository
) -> None:
    """A change of the features along one class of a head is nothing to another head that does not look there."""
    cats_vs_dogs = repository.load("cats-vs-dogs")
    blind = cats_vs_dogs.head.weight[0] - cats_vs_dogs.head.weight[1]
    direction = imagenet.head.weight[0] - blind * (imagenet.head.weight[0] @ blind) / (blind @ blind)
    shifted = Remembered("shifted", few, features + 40 * direction)
    stranger = Classifier(cats_vs_dogs.card, cats_vs_dogs.backbone, cats_vs_dogs.head, cats_vs_dogs.labels)
    chosen = fast(shifted)
    assert chosen.prepare(stranger).name == "shifted"
    assert chosen.prepare(imagenet).name == "torch cpu float32"


def test_the_evidence_is_kept_for_the_next_start(
    fast: Callable[..., Forwards],
    few: Canvases,
    features: Tensor,
    imagenet: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast(agreeing(few, features)).prepare(imagenet)
    (kept,) = tmp_path.glob("calibration-*")
    again = agreeing(few, features)
    assert fast(again).prepare(imagenet).name == "agreeing"
    assert again.seen == 0
    kept.write_bytes(b"damaged")
    assert fast(again).prepare(imagenet).name == "agreeing"
    assert again.seen > len(few)
    other = agreeing(few, features)
    monkeypatch.setattr(precision, "processor_of", lambda _: "another processor")
    fast(other).prepare(imagenet)
    assert other.seen > len(few)


def test_exact_is_float32_and_asks_for_no_evidence(imagenet: Classifier, tmp_path: Path) -> None:
    exact = Forwards(CPU, engine="torch", precision="exact", cache_dir=tmp_path, threads=1)
    assert exact.prepare(imagenet).name == "torch cpu float32"
    choice = exact.choice(imagenet)
    assert choice
    assert choice.agreements == ()
    assert list(tmp_path.iterdir()) == []


def test_a_near_thing_is_looked_at_in_float32_and_nothing_else_is() -> None:
    head = nn.Linear(2, 2, bias=False)
    nn.init.eye_(head.weight)
    shown = np.arange(3 * 3, dtype=np.uint8).reshape(3, 1, 1, 3)
    quick = Remembered("quick", shown, torch.tensor([[5.0, 0.0], [0.01, 0.0], [0.0, 3.0]]))
    precise = Remembered("precise", shown, torch.tensor([[9.0, 9.0], [0.0, 0.02], [9.0, 9.0]]))
    second_look = SecondLook(quick, precise, head, None, 0.05)
    looks = second_look.looks(shown)
    sure = next(looks)
    assert precise.seen == 0
    (near,) = looks
    assert precise.seen == 1
    assert (sure.places.tolist(), near.places.tolist()) == ([0, 2], [1])
    for look in (sure, near):
        assert torch.equal(look.logits, look.features)  # of a head that changes nothing
    whole = together(second_look.looks(shown))
    assert whole.features.tolist() == [[5.0, 0.0], [0.0, pytest.approx(0.02)], [0.0, 3.0]]
    assert torch.equal(whole.logits, whole.features)
    assert torch.equal(second_look(shown), whole.features)


def test_where_all_is_near_float32_answers(imagenet: Classifier, few: Canvases, features: Tensor) -> None:
    quick = TorchFeatureExtractor(imagenet.backbone, CPU, torch.bfloat16)
    precise = TorchFeatureExtractor(imagenet.backbone, CPU)
    found = SecondLook(quick, precise, imagenet.head, imagenet.space, 1.1)(few[:2])
    torch.testing.assert_close(found, features[:2], atol=1e-3, rtol=1e-3)


def test_what_verifies_is_answered_by_what_serves(imagenet: Classifier, cat_canvas: Canvas) -> None:
    served = torch.zeros(1, 1280)
    asks = [Ask(imagenet, pixels_of(cat_canvas), verifies=verifies) for verifies in (True, False)]
    verified, plain = answer(asks, lambda *_: served)
    assert not isinstance(verified, Exception)
    assert not isinstance(plain, Exception)
    torch.testing.assert_close(verified.logits[0], imagenet.head.bias)
    torch.testing.assert_close(
        plain.logits[0].softmax(0), imagenet.logits(pixels_of(cat_canvas))[0].softmax(0), atol=1e-4, rtol=1e-3
    )


def test_an_attack_that_what_serves_does_not_fall_for_is_no_success(imagenet: Classifier, dog: bytes) -> None:
    preprocessing = imagenet.backbone.preprocessing
    canvas = Picture.read(dog, ImageLimits(), preprocessing=preprocessing).canvas(preprocessing)
    unmoved = TorchFeatureExtractor(imagenet.backbone, CPU)(canvas[None])

    def run(serving: Callable[[Classifier, Tensor], Tensor | None]) -> bool:
        attack = adversarial_image(imagenet, dog, method="fgsm", epsilon=8 / 255)
        asked = next(attack)
        while True:
            (answered,) = answer([asked], serving)
            assert not isinstance(answered, Exception)
            try:
                asked = attack.send(answered)
            except StopIteration as end:
                return bool(end.value.success)

    assert run(lambda *_: None)
    assert not run(lambda _, pixels: unmoved.expand(len(pixels), -1))


def _reduced() -> bool:
    try:
        return bool(reduced_precisions())
    except ImportError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not _reduced(), reason="needs OpenVINO and a processor that computes in less than float32")
def test_photos_are_taken_for_the_same_and_false_alarms_stay(
    repository: ModelRepository, shared_data: Path, tmp_path: Path
) -> None:
    classifier = repository.load("cats-vs-dogs")
    chosen = Forwards(CPU, engine="openvino", precision="fast", cache_dir=tmp_path, threads=1)
    forward = chosen.prepare(classifier)
    precise = chosen.precise(classifier.backbone, classifier.head)
    preprocessing = classifier.backbone.preprocessing
    photos = sorted((shared_data / "cats-dogs/test").rglob("*.jpg"))[::2]
    read = [Picture.read(photo.read_bytes(), ImageLimits(), preprocessing=preprocessing) for photo in photos]
    shown = np.stack([picture.canvas(preprocessing) for picture in read])
    quick, wanted = forward(shown), precise(shown)
    same = classifier.head(quick).argmax(1) == classifier.head(wanted).argmax(1)
    assert float(same.float().mean()) >= 0.99
    alarms, before = (np.mean([one > 0.5 for one in classifier.unknown(rows) or [] if one]) for rows in (quick, wanted))
    assert abs(alarms - before) <= 0.01
    assert isinstance(forward, SecondLook)
