"""From an archive to figures, a report and a table; interrupted, and gone on with."""

import csv
import re
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO, StringIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from app.vision.ask import run_steps
from app.vision.classifier import Classifier
from app.vision.evaluation import corruptions
from app.vision.evaluation.evaluation import Choices, Evaluation, evaluate
from app.vision.evaluation.folders import strangers_for
from app.vision.evaluation.looking import Judged
from app.vision.image import Canvas, ImageLimits
from app.vision.serving.runtimes import TorchFeatureExtractor
from app.vision.transfer.archive import Archive
from tests.support.pictures import shape, shapes, zipped

TOLD = {"red": ("zebra",), "blue": ("tabby",)}


class Counted:
    """Looks as PyTorch does, and counts the canvases."""

    def __init__(self, classifier: Classifier) -> None:
        self._forward = TorchFeatureExtractor(classifier.backbone, torch.device("cpu"))
        self.looked = 0

    @property
    def name(self) -> str:
        return self._forward.name

    @property
    def best_batch(self) -> int:
        return 2

    def __call__(self, canvases: Canvas) -> Tensor:
        self.looked += len(canvases)
        return self._forward(canvases)

    def stage(self, canvas: Canvas, name: str) -> Tensor:
        return self._forward.stage(canvas, name)


def opened(files: Mapping[str, bytes], classifier: Classifier) -> Archive:
    return Archive(BytesIO(zipped(files)), strangers=strangers_for(classifier.labels))


def evaluated(
    files: Mapping[str, bytes], judged: Judged, choices: Choices, *, rival: Judged | None = None
) -> Evaluation:
    with opened(files, judged.classifier) as archive:
        return run_steps(evaluate(archive, judged, rival, choices, limits=ImageLimits(), threads=1))


def without_time(found: Evaluation) -> dict[str, Any]:
    return {**found.result, "seconds": None}


def test_one_that_is_interrupted_goes_on_without_looking_twice(
    imagenet: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corruptions, "CHANGES", ("noise", "flip"))
    choices = Choices(TOLD, corruptions=True, seed=4)
    files = {**shapes(3), "unknown/x.png": shape("red", 70)}
    whole, cut, rest = (Judged(imagenet, Counted(imagenet), None) for _ in range(3))
    expected = evaluated(files, whole, choices)

    with opened(files, imagenet) as archive:
        steps = evaluate(archive, cut, None, choices, limits=ImageLimits(), threads=1)
        kept: Mapping[str, Tensor] = {}
        while len(kept.get("changed", ())) < 2:
            pause = next(steps)
            kept = pause.state() if pause.state else kept
        steps.close()
    with opened(files, imagenet) as archive:
        found = run_steps(evaluate(archive, rest, None, choices, limits=ImageLimits(), threads=1, resume=kept))
    assert without_time(found) == without_time(expected)
    assert found.files["predictions.csv"] == expected.files["predictions.csv"]
    assert (whole.forward.looked, rest.forward.looked) == (7 + 6 * 10, 4 * 10)  # type: ignore[attr-defined]


def test_accuracy_falls_where_nothing_can_be_seen_any_more(
    imagenet: Classifier, dog: bytes, cat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corruptions, "CHANGES", ("pixelate",))
    judged = Judged(imagenet, Counted(imagenet), None)
    result = evaluated({"kedi/1.jpg": cat, "köpek/1.png": dog}, judged, Choices({}, corruptions=True)).result
    assert [(one["name"], one["severity"]) for one in result["corruptions"]] == [("pixelate", n) for n in range(1, 6)]
    accuracies = [one["accuracy"] for one in result["corruptions"]]
    assert (result["corrupted"]["accuracy"], accuracies[0], accuracies[-1]) == (1.0, 1.0, 0.0)


def test_a_network_of_its_own_is_asked_about_the_same_pictures(imagenet: Classifier) -> None:
    backbone = type("Other", (), {"__getattr__": lambda _, name: getattr(imagenet.backbone, name)})()
    rival = replace(imagenet, backbone=backbone, card=replace(imagenet.card, name="rival"))
    forward, other = Counted(imagenet), Counted(imagenet)
    found = evaluated(shapes(3), Judged(imagenet, forward, None), Choices(TOLD), rival=Judged(rival, other, None))
    assert (forward.looked, other.looked) == (6, 6)
    told = found.result["comparison"]
    assert (told["model"], told["only_first"], told["only_second"], told["mcnemar_p"]) == ("rival", 0, 0, 1.0)
    assert told["accuracy"] == found.result["accuracy"]


def test_pictures_without_a_folder_are_listed_only(imagenet: Classifier, dog: bytes) -> None:
    found = evaluated(
        {"dog.png": dog, "broken.png": b"\x89PNG"}, Judged(imagenet, Counted(imagenet), None), Choices({})
    )
    assert found.result["accuracy"] is None
    (listed,) = found.result["listed"]
    assert (listed["name"], listed["predicted"], listed["right"]) == ("dog.png", "basenji", None)
    assert [one["name"] for one in found.result["skipped"]] == ["broken.png"]
    assert {one["kind"] for one in found.result["warnings"]} == {"skipped", "learned-unknown", "no-label"}


def test_a_kind_of_things_is_right_for_any_of_its_classes(imagenet: Classifier, dog: bytes, cat: bytes) -> None:
    files = {"köpek/1.png": dog, "kedi/1.png": cat, "kedi/wrong.png": dog}
    found = evaluated(files, Judged(imagenet, Counted(imagenet), None), Choices({}, language="tr"))
    result = found.result
    assert (result["pictures"], result["confusion"]["counts"]) == (3, [[1, 1, 0], [0, 1, 0]])
    assert result["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    (worst,) = result["worst"]
    assert (worst["name"], worst["true"], worst["predicted"]) == ("kedi/wrong.png", "kedi", "basenji")
    rows = list(csv.DictReader(StringIO(found.files["predictions.csv"].decode("utf-8-sig"))))
    assert [(row["name"], row["right"], row["use"]) for row in rows] == [
        ("kedi/1.png", "true", "counts"),
        ("kedi/wrong.png", "false", "counts"),
        ("köpek/1.png", "true", "counts"),
    ]
    with Image.open(BytesIO(found.files["mistakes.png"])) as sheet:
        assert np.asarray(sheet).std() > 20


def test_the_report_asks_nobody_for_anything_and_believes_no_name(imagenet: Classifier, dog: bytes) -> None:
    files = {"<b>cat/<img src=x>.png": dog, "dog/1.png": dog}
    found = evaluated(files, Judged(imagenet, Counted(imagenet), None), Choices({"<b>cat": ("tabby",)}))
    page = found.files["report.html"].decode()
    assert "<b>cat" not in page
    assert "<img src=x>" not in page
    assert "&lt;b&gt;cat" in page
    assert set(re.findall(r'(?:src|href)="([^"]{0,11})', page)) == {"data:image/"}
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    for language in ("en", "tr"):
        assert page.count(f'<span lang="{language}">') > 20
    assert page.count("<span") == page.count("</span>")
