import io

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from app.vision.image import ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.networks.layers import capture
from app.vision.pixels import pixels_of
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PATH = "/v1/features"


def files(*pictures: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (f"{number}.jpg", data)) for number, data in enumerate(pictures)]


@pytest.mark.parametrize("layer", [None, "_blocks.10", "_blocks.10._bn1"])
def test_rows_are_those_of_a_plain_network(client: TestClient, cat: bytes, dog: bytes, layer: str | None) -> None:
    query = {"model": "imagenet"} | ({"layer": layer} if layer else {})
    body = client.post(PATH, params=query, files=files(cat, dog)).json()
    classifier = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu")).load("imagenet")
    for data, row in zip((cat, dog), body["data"], strict=True):
        preprocessing = classifier.backbone.preprocessing
        pixels = pixels_of(Picture.read(data, ImageLimits(), preprocessing=preprocessing).canvas(preprocessing))
        with torch.inference_mode(), capture(classifier.backbone.network, [layer] if layer else []) as seen:
            pooled = classifier.backbone(pixels)[0]
        expected = seen[layer][0].mean((1, 2)) if layer else pooled
        np.testing.assert_allclose(row, expected.numpy(), atol=2e-4)
    assert body["shape"] == [2, len(body["data"][0])]
    assert body["layer"] == layer


def test_json_npy_and_csv_hold_the_same_rows(client: TestClient, cat: bytes, dog: bytes) -> None:
    numbers = client.post(PATH, files=files(cat, dog)).json()["data"]
    array = client.post(PATH, files=files(cat, dog), headers={"Accept": "application/x-npy"})
    assert np.load(io.BytesIO(array.content)).dtype == np.float32
    np.testing.assert_allclose(np.load(io.BytesIO(array.content)), numbers, rtol=1e-5)
    table = client.post(f"{PATH}?format=csv", files=files(cat, dog))
    assert table.headers["content-type"].startswith("text/csv")
    rows = np.loadtxt(io.StringIO(table.text), delimiter=",", skiprows=1)
    assert rows[:, 0].tolist() == [0, 1]
    np.testing.assert_allclose(rows[:, 1:], numbers, rtol=1e-5)
    assert "inference;dur=" in table.headers["Server-Timing"]


def test_a_broken_picture_is_told_by_its_number(client: TestClient, cat: bytes) -> None:
    answer = client.post(PATH, files=files(cat, cat[:2000]))
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/invalid-image"
    assert answer.json()["detail"].startswith("Picture 2 of 2: ")


def test_an_unknown_layer_is_told_with_the_nearest(client: TestClient, cat: bytes) -> None:
    answer = client.post(f"{PATH}?model=imagenet&layer=_blocks.99", content=cat)
    assert answer.json()["type"] == "/problems/unknown-layer"
    assert answer.json()["suggestions"]
