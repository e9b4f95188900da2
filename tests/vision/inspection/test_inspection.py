import pytest
import torch
from PIL import Image

from app.vision.ask import Steps, run_steps
from app.vision.classifier import Classifier
from app.vision.drawing.overlay import draw_overlay
from app.vision.image import ImageLimits
from app.vision.inspection import illustration, inspection
from app.vision.inspection.inspection import explain
from app.vision.inspection.requests import Explanation, ExplanationRequest
from app.vision.serving.runtimes import TorchFeatureExtractor


def test_of_large_photos_one_at_a_time_is_drawn_over(
    imagenet: Classifier, dog: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of sixteen at once, all decoded, the service took four gigabytes."""
    forward = TorchFeatureExtractor(imagenet.backbone, torch.device("cpu"))
    drawn: list[Image.Image] = []

    def counted(photo: Image.Image, *others: object) -> Image.Image:
        drawn.append(photo)
        return draw_overlay(photo, *others)  # type: ignore[arg-type]

    def steps() -> Steps[Explanation]:
        return explain(imagenet, forward, dog, ImageLimits(), ExplanationRequest())

    monkeypatch.setattr(illustration, "draw_overlay", counted)
    monkeypatch.setattr(inspection, "_SMALL", 0)
    first, second = steps(), steps()
    while not drawn:
        next(first)
    for _ in range(20):
        next(second)
    assert len(drawn) == 1, "the second waits"
    first.close()  # whoever asked for it hung up
    found = run_steps(second)
    assert found.body
    assert len(drawn) == 2
    assert run_steps(steps()).body == found.body
