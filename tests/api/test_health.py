from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings


def test_a_ready_service_tells_what_answers_where(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    body = client.get("/readyz").json()
    assert (body["status"], body["model"], body["device"]) == ("ready", "imagenet", "cpu")
    assert body["forward"] == "torch cpu float32"


def test_until_the_model_is_there_the_service_lives_and_says_when_to_come_again(
    tmp_path: Path, settings: Settings, dog: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    from dataclasses import replace

    never = replace(settings, models_dir=tmp_path)
    with TestClient(create_app(never), raise_server_exceptions=False) as client:
        assert client.get("/healthz").status_code == 200
        for answer in (client.get("/readyz"), client.post("/v1/classify", content=dog)):
            assert answer.status_code == 503
            assert answer.json()["type"] == "/problems/model-loading"
            assert int(answer.headers["Retry-After"]) >= 1
    assert "cannot be loaded" in caplog.text
