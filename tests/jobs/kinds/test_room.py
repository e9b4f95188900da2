"""How many pixels a job holds while it runs, by which large photos wait for each other."""

from types import SimpleNamespace
from typing import cast

import pytest
import torch

from app.jobs.kinds.images import Tasks
from app.jobs.params import ADVERSARIAL_IMAGE
from app.jobs.worker import Worker
from app.vision.image import ImageLimits, InvalidImageError
from app.vision.models.repository import ModelRepository
from tests.support.paths import ROOT
from tests.support.pictures import png

PIXELS = 2000 * 1500


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    models = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))
    return Tasks(models, limits=ImageLimits())


@pytest.fixture(scope="module")
def photo() -> bytes:
    return png(2000, 1500)


def test_a_photo_is_held_and_neither_a_small_canvas_nor_nothing_is(tasks: Tasks, photo: bytes) -> None:
    assert tasks.pixels_held({}, photo) == PIXELS
    assert tasks.pixels_held({"space": "model"}, photo) == 0
    assert tasks.pixels_held({}, None) == 0


def test_what_is_no_picture_is_refused_as_by_a_classification(tasks: Tasks) -> None:
    with pytest.raises(InvalidImageError):
        tasks.pixels_held({}, b"\x89PNG\r\n\x1a\n")


def test_the_worker_tells_the_engine(tasks: Tasks, photo: bytes) -> None:
    submitted: list[object] = []
    worker = SimpleNamespace(
        _on_thread=lambda: None,
        _training_jobs=SimpleNamespace(models=SimpleNamespace(refresh=lambda: None)),
        _files=SimpleNamespace(kept=lambda _, name: photo if name == "upload" else None),
        _tasks=tasks,
        _engine=SimpleNamespace(submit=submitted.append),
        _device="cpu",
        _ours={},
    )
    choices = {"model": "imagenet", "target": "tabby"}
    began = Worker._begin(cast("Worker", worker), "job_1", ADVERSARIAL_IMAGE, choices, "upload", None, lambda *_: None)
    assert submitted == [began]
    assert began.pixels == PIXELS
