from pathlib import Path

import pytest
import torch

from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from tests.support.paths import ROOT


@pytest.fixture(scope="session")
def repository() -> ModelRepository:
    return ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))


@pytest.fixture(scope="session")
def imagenet(repository: ModelRepository) -> Classifier:
    return repository.load("imagenet")


@pytest.fixture(scope="session")
def cat_canvas(imagenet: Classifier, cat: bytes) -> Canvas:
    return Picture.read(cat, ImageLimits(), preprocessing=imagenet.backbone.preprocessing).canvas(
        imagenet.backbone.preprocessing
    )


@pytest.fixture(scope="session")
def cats_and_dogs(shared_data: Path) -> list[tuple[Path, Path]]:
    """Twenty photos of a cat and of a dog each."""
    photos = shared_data / "cats-dogs/test"
    return list(zip(sorted((photos / "cat").iterdir())[:20], sorted((photos / "dog").iterdir())[:20], strict=True))
