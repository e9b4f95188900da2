import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.vision.classifier import Classifier
from app.vision.models.repository import ModelRepository
from tests.support.models import write_model
from tests.support.paths import ROOT
from tests.support.service import wait_until_ready


def test_a_ready_service_tells_what_answers_where(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    body = client.get("/readyz").json()
    assert (body["status"], body["model"], body["device"]) == ("ready", "imagenet", "cpu")
    assert body["forward"] == "torch cpu float32"
    assert body["precision"] == {"asked": "exact", "forward": "torch cpu float32", "agreements": []}
    assert body["jobs"] == "ready"


def test_until_the_model_is_there_the_service_lives_and_says_when_to_come_again(
    settings: Settings, dog: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    load = ModelRepository.load

    def slow(self: ModelRepository, name: str) -> Classifier:
        assert go_on.wait(30)
        return load(self, name)

    monkeypatch.setattr(ModelRepository, "load", slow)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        assert client.get("/healthz").status_code == 200
        for answer in (client.get("/readyz"), client.post("/v1/classify", content=dog)):
            assert answer.status_code == 503
            assert answer.json()["type"] == "/problems/model-loading"
            assert int(answer.headers["Retry-After"]) >= 1
        go_on.set()
        wait_until_ready(client)
        assert client.post("/v1/classify", content=dog).status_code == 200


def test_a_default_model_that_cannot_be_loaded_is_said_so_and_the_others_answer(
    tmp_path: Path, settings: Settings, dog: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    broken = write_model(tmp_path, "broken")
    (broken / "head.safetensors").unlink()
    (tmp_path / "imagenet").symlink_to(ROOT / "models/imagenet")
    without = replace(settings, models_dir=tmp_path, default_model="broken")
    with TestClient(create_app(without), raise_server_exceptions=False) as client:
        while client.get("/readyz").json()["type"] == "/problems/model-loading":
            pass
        for answer in (client.get("/readyz"), client.post("/v1/classify", content=dog)):
            assert answer.status_code == 503
            assert answer.json()["type"] == "/problems/model-unavailable"
            assert "Retry-After" not in answer.headers
        assert client.post("/v1/classify?model=imagenet", content=dog).status_code == 200
    assert "cannot be loaded" in caplog.text


def test_a_service_that_cannot_take_jobs_says_so_and_classifies(
    tmp_path: Path, settings: Settings, dog: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "var").write_text("a file in the place of the folder")
    with TestClient(create_app(replace(settings, data_dir=tmp_path / "var"))) as client:
        wait_until_ready(client, jobs=False)
        assert client.get("/readyz").json()["jobs"] == "unavailable"
        refused = client.get("/v1/jobs")
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/worker-down")
        assert client.post("/v1/classify", content=dog).status_code == 200
    assert "The database of the jobs cannot be reached" in caplog.text
