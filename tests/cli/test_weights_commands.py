import io
import json
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.vision.networks.backbones import BACKBONES
from app.vision.networks.weights import WeightsFile
from tests.support.commands import run
from tests.support.http_server import send, serving
from tests.support.service import wait_until_ready

pytestmark = pytest.mark.slow


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.delenv("INKBLOT_WEIGHTS_DIR", raising=False)
    return tmp_path / "var"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file of SqueezeNet with random weights, as torchvision would have published it."""
    card = BACKBONES["squeezenet1_1"]
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.save(card.build().state_dict(), file)
    name = f"squeezenet1_1-{sha256(file.getvalue()).hexdigest()[:8]}.pth"
    weights = WeightsFile(name, licence="BSD-3-Clause", source="torchvision", publisher="http://127.0.0.1:9/models")
    monkeypatch.setitem(BACKBONES, card.name, replace(card, weights=(weights,)))
    return file.getvalue()


def test_what_is_here_and_what_is_missing_is_listed(data_dir: Path) -> None:
    status, out, err = run("weights")
    assert status == 0, err
    assert "efficientnet-lite0-57934424.pth (" in out
    assert "missing: inkblot weights get vgg16" in out
    assert str(data_dir / "weights") in out.replace("\n", "")
    listed = {one["backbone"]: one["file"] for one in json.loads(run("weights", "--json")[1])}
    assert list(listed) == list(BACKBONES)
    assert listed["vgg16"] is None


def test_a_running_service_uses_weights_as_soon_as_they_are_here(
    data_dir: Path, published: bytes, cat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=data_dir, engine="torch", worker="external", default_model="imagenet")
    asked: list[str] = []

    def available(client: TestClient) -> bool:
        found = client.get("/v1/backbones").json()["data"]
        return bool(next(one["available"] for one in found if one["name"] == "squeezenet1_1"))

    def serve(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        send(request, published)

    with TestClient(create_app(settings)) as client, serving(serve) as url:
        wait_until_ready(client)
        assert not available(client)
        monkeypatch.setenv("INKBLOT_WEIGHTS_URL", f"{url}/mirror/")
        status, out, err = run("weights", "get", "squeezenet1_1")
        assert status == 0, err
        name = BACKBONES["squeezenet1_1"].weights[0].name
        assert asked == [f"/mirror/{name}"]
        assert str(data_dir / "weights" / name) in out.replace("\n", "")
        assert available(client)
        answer = client.post("/v1/classify?model=squeezenet1_1", content=cat)
        assert (answer.status_code, answer.json()["model"]["backbone"]) == (200, "squeezenet1_1")
    status, out, err = run("weights", "get", "squeezenet1_1")
    assert (status, asked, "has its weights" in out) == (0, [f"/mirror/{name}"], True), err


def test_bytes_of_another_file_are_not_kept(data_dir: Path, published: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda request: send(request, published[::-1])) as url:
        monkeypatch.setenv("INKBLOT_WEIGHTS_URL", url)
        status, _, err = run("weights", "get", "squeezenet1_1", "--into", str(data_dir / "own"))
    assert status == 1
    assert "is another file" in err.replace("\n", " ")
    assert list((data_dir / "own").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [("vgg", "There is no backbone 'vgg'. There are efficientnet_lite0"), ("../x", "There is no backbone")],
)
@pytest.mark.usefixtures("data_dir")
def test_a_name_that_nothing_has_is_told(name: str, told: str) -> None:
    status, out, err = run("weights", "get", name)
    assert (status, out) == (1, "")
    assert told in err


def test_the_publishers_addresses_are_torchvisions() -> None:
    from torchvision.models import get_model_weights

    for name, card in BACKBONES.items():
        files = [file for file in card.weights if file.publisher]
        published = {one.url for one in get_model_weights(name)} if files else set()
        assert {file.address() for file in files} <= published
        assert all(file.digits for file in files)
        assert files or card.weights[0].package
