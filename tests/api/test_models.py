from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.vision.classifier import Classifier
from app.vision.serving.forwards import Choice, Forwards
from app.vision.serving.precision import Agreement
from app.vision.serving.runtimes import StagedFeatureExtractor
from tests.support.models import write_model
from tests.support.paths import ROOT
from tests.support.service import wait_until_ready


def test_models_are_listed_and_one_is_the_default(client: TestClient) -> None:
    body = client.get("/v1/models").json()
    assert body["object"] == "list"
    assert [model["name"] for model in body["data"] if model["is_default"]] == ["imagenet"]
    card = client.get("/v1/models/imagenet", headers={"Accept-Language": "tr"}).json()
    assert card["num_classes"] == 1000
    assert card["licence"] == "Apache-2.0"
    assert "kendi sınıflandırma katmanıyla" in card["description"]
    assert client.get(card["links"]["self"]).json()["name"] == "imagenet"


def test_another_model_answers_by_its_name(client: TestClient, dog: bytes) -> None:
    answer = client.post("/v1/classify?model=efficientnet_lite1&top_k=3", content=dog).json()
    assert answer["model"]["backbone"] == "efficientnet_lite1"
    assert answer["predictions"][0]["label"] == "basenji"


def test_a_model_tells_what_answers_for_it_and_by_which_evidence(
    settings: Settings, dog: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `fast` is asked for, and nothing here is quicker than float32 and agrees."""
    found = Agreement("openvino cpu bfloat16", 400, 0.97, None, 0.0123, 0.2, 0.49, 1.02)

    def chosen(self: Forwards, classifier: Classifier, precise: StagedFeatureExtractor) -> Choice:
        return Choice(precise, (found,))

    monkeypatch.setattr(Forwards, "_chosen", chosen)
    with TestClient(create_app(replace(settings, precision="fast"))) as client:
        wait_until_ready(client)
        ready = client.get("/readyz").json()["precision"]
        assert (ready["asked"], ready["forward"]) == ("fast", "torch cpu float32")
        (told,) = ready["agreements"]
        assert (told["forward"], told["pictures"], told["same_class"]) == ("openvino cpu bfloat16", 400, 0.97)
        assert (told["difference"], told["speed"], told["holds"]) == (0.0123, 1.02, False)
        assert client.get("/v1/models/imagenet").json()["precision"] == ready
        assert client.get("/v1/models/pets").json()["precision"] is None
        client.post("/v1/classify?model=pets", content=dog)
        listed = {model["name"]: model["precision"] for model in client.get("/v1/models").json()["data"]}
        assert listed["pets"] == listed["imagenet"] == ready


def test_labels_are_searched_in_both_languages(client: TestClient) -> None:
    def labels(query: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = client.get(f"/v1/models/imagenet/labels?{query}").json()["data"]
        return found

    assert len(labels("")) == 1000
    assert {"index": 340, "label": "zebra", "display": "zebra"} in labels("q=zebra")
    assert {"index": 281, "label": "tabby", "display": "tekir kedi"} in labels("q=KEDİ&lang=tr")
    assert [label["label"] for label in labels("q=kedi&lang=en")][:2] == ["tabby", "tiger cat"]
    assert labels("q=köpek")[0]["label"] == "golden retriever"
    assert labels("q=no-such-thing") == []


def test_layers_are_listed_with_shapes_and_suggestions(client: TestClient) -> None:
    layers = client.get("/v1/models/imagenet/layers").json()["data"]
    assert {"name": "_blocks.15", "shape": [320, 7, 7], "stage": 4, "suggested": True} in layers
    assert sum(layer["suggested"] for layer in layers) == 5


def test_backbones_tell_which_weights_are_there(client: TestClient) -> None:
    backbones = {one["name"]: one for one in client.get("/v1/backbones").json()["data"]}
    assert backbones["efficientnet_lite0"]["available"] is True
    assert backbones["vgg16"]["available"] is False
    assert backbones["vgg16"]["weights"] == ["vgg16-397923af.pth"]
    assert backbones["efficientnet_lite2"]["input_size"] == 260


def test_what_hangs_on_an_unknown_model_is_not_found(client: TestClient) -> None:
    for path in ("", "/labels", "/layers"):
        answer = client.get(f"/v1/models/imagenett{path}")
        assert answer.status_code == 404
        assert answer.json()["suggestions"] == ["imagenet"]


def test_a_broken_model_is_unavailable_and_says_nothing_of_the_server(tmp_path: Path, settings: Settings) -> None:
    models = tmp_path / "models"
    (write_model(models, "broken") / "head.safetensors").write_bytes(b"")
    (models / "imagenet").symlink_to(ROOT / "models/imagenet")
    with TestClient(create_app(replace(settings, models_dir=models))) as client:
        wait_until_ready(client)
        answer = client.post("/v1/classify?model=broken", content=b"x")
        assert client.get("/readyz").status_code == 200
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/model-unavailable"
    assert str(tmp_path) not in answer.text
