import numpy as np
import pytest
import torch

from app.vision.ask import run, run_steps
from app.vision.classifier import Classifier
from app.vision.evaluation.changes import CHANGES
from app.vision.evaluation.stability import MILD, StabilityRequest, judged_stable, mild_stability, stability
from app.vision.image import ImageLimits, Picture
from app.vision.serving.runtimes import TorchFeatureExtractor
from app.vision.synthesis.adversarial_images import adversarial_image


@pytest.fixture(scope="module")
def forward(imagenet: Classifier) -> TorchFeatureExtractor:
    return TorchFeatureExtractor(imagenet.backbone, torch.device("cpu"))


def test_a_dog_is_one_after_mild_changes_and_not_after_strong_ones(
    imagenet: Classifier, forward: TorchFeatureExtractor, dog: bytes
) -> None:
    wanted = StabilityRequest(changes=("jpeg", "pixelate", "flip"))
    found = run_steps(stability(imagenet, forward, dog, ImageLimits(), wanted))
    assert (found.first.label.label, found.target.label.label) == ("basenji", "basenji")
    assert [one.change for one in found.changes] == ["jpeg", "pixelate", "flip"]
    jpeg, pixelate, _ = found.changes
    assert jpeg.answers[0].holds
    assert jpeg.answers[0].first.label.label == "basenji"
    assert pixelate.flips_at in {2, 3, 4, 5}
    held = sum(one.holds for change in found.changes for one in change.answers)
    assert found.stable_share == held / 15
    assert found.body is None


def test_another_class_can_be_followed(imagenet: Classifier, forward: TorchFeatureExtractor, dog: bytes) -> None:
    tabby = imagenet.labels.find("tabby").index
    found = run_steps(
        stability(imagenet, forward, dog, ImageLimits(), StabilityRequest(changes=("jpeg",), target=tabby))
    )
    assert (found.first.label.label, found.target.label.label) == ("basenji", "tabby")
    assert all(one.score < 0.1 for one in found.changes[0].answers)
    assert found.changes[0].answers[0].holds, "what holds is the answer"


def test_the_sheet_has_a_row_a_change_and_red_frames_where_it_flips(
    imagenet: Classifier, forward: TorchFeatureExtractor, dog: bytes
) -> None:
    def sheet(*changes: str) -> np.ndarray:
        wanted = StabilityRequest(changes=changes, form="PNG", language="tr")  # type: ignore[arg-type]
        body = run_steps(stability(imagenet, forward, dog, ImageLimits(), wanted)).body
        assert body
        return Picture.read(body, ImageLimits()).pixels().astype(int)

    def red(pixels: np.ndarray) -> int:
        return int(((abs(pixels - (0xC6, 0x2A, 0x22))).sum(2) == 0).sum())

    assert red(sheet("jpeg")) < red(sheet("pixelate"))
    whole = sheet(*CHANGES)
    assert 1.2 < whole.shape[1] / whole.shape[0] < 1.9, "it fills a slide"


def test_a_small_adversarial_change_is_suspicious_and_the_photo_is_not(
    imagenet: Classifier, forward: TorchFeatureExtractor, dog: bytes
) -> None:
    assert not run_steps(mild_stability(imagenet, forward, dog, ImageLimits())).suspicious
    target = imagenet.labels.find("tabby").index
    fooled = run(adversarial_image(imagenet, dog, method="minimal", target=target))
    found = run_steps(mild_stability(imagenet, forward, fooled.adversarial, ImageLimits()))
    assert found.of == len(MILD)
    assert found.suspicious
    assert found.agreeing < 4


@pytest.mark.parametrize(
    ("agree", "kept", "suspicious"), [(8, 1.0, False), (6, 0.75 + 0.25 / 9, False), (3, 0.44, True)]
)
def test_an_answer_that_loses_half_its_score_is_suspicious(agree: int, kept: float, suspicious: bool) -> None:
    before, lost = torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.9])
    found = judged_stable(before, torch.stack([before if number < agree else lost for number in range(8)]))
    assert (found.agreeing, found.of, found.suspicious) == (agree, 8, suspicious)
    assert found.kept == pytest.approx(kept, abs=0.01)
