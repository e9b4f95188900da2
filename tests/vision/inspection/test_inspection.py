from typing import Any

import pytest
import torch
from PIL import Image

from app.vision.ask import Steps, run_steps
from app.vision.classifier import Classifier
from app.vision.drawing.overlay import Scale, draw_overlay, with_caption
from app.vision.image import ImageLimits
from app.vision.inspection import illustration, inspection
from app.vision.inspection.feature_maps import Channels
from app.vision.inspection.inspection import explain
from app.vision.inspection.requests import Explanation, ExplanationRequest
from app.vision.labels import Scored
from app.vision.models.repository import ModelRepository
from app.vision.serving.runtimes import TorchFeatureExtractor
from tests.support.pictures import shape


def told(classifier: Classifier, data: bytes, monkeypatch: pytest.MonkeyPatch, **wanted: Any) -> list[Any]:
    """What the caption of an explanation says: its titles, its scale, its note."""
    captions: list[Any] = []

    def listening(picture: Image.Image, *texts: object) -> Image.Image:
        captions.append(texts)
        return with_caption(picture, *texts)  # type: ignore[arg-type]

    monkeypatch.setattr(illustration, "with_caption", listening)
    forward = TorchFeatureExtractor(classifier.backbone, torch.device("cpu"))
    run_steps(explain(classifier, forward, data, ImageLimits(), ExplanationRequest(caption=True, **wanted)))
    return list(captions[0])


@pytest.mark.parametrize("method", ["grad_cam", "occlusion"])
def test_a_drawing_says_first_that_a_picture_is_unknown(
    repository: ModelRepository, dog: bytes, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    pets = repository.load("cats-vs-dogs")
    (_, line), _, _ = told(pets, shape("red", 0), monkeypatch, method=method, language="tr")
    assert line.startswith("bilinmeyen görüntü (%")
    (_, line), _, _ = told(pets, dog, monkeypatch, method=method, language="en")
    assert line.startswith("“dog”")


def test_a_sheet_says_first_that_a_picture_is_unknown(imagenet: Classifier) -> None:
    target, order = Scored(imagenet.labels[340], 0.5), Channels("top", 8)
    titles = illustration.titles_of("imagenet", target, 0.98, order, "en")
    assert titles[1] == "unknown picture (98.0%)  ·  asked about: “zebra”, 50.0%"
    assert "unknown" not in illustration.titles_of("imagenet", target, 0.02, order, "en")[1]


def test_an_empty_heat_map_says_so_and_hatching_is_explained(
    imagenet: Classifier, dog: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    snow_leopard = 289  # nothing of a basenji speaks for it
    _, scale, note = told(imagenet, dog, monkeypatch, target=snow_leopard)
    assert scale == "no evidence for this class in what the network saw"
    assert note == "hatched: what the network did not see"
    _, scale, _ = told(imagenet, dog, monkeypatch)
    assert isinstance(scale, Scale)


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
