"""No class gets a name that cannot be shown, whichever way it comes in."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.class_names import NO_CLASS_NAMES
from tests.support.pictures import shapes, zipped


def refusal(client: TestClient, path: str, **body: Any) -> str:
    """The type of the problem."""
    answer = client.post(path, **body)
    assert answer.status_code == 422, answer.text
    problem: dict[str, str] = answer.json()
    assert problem["detail"].isprintable()
    return problem["type"]


@pytest.mark.parametrize("name", NO_CLASS_NAMES, ids=ascii)
def test_not_by_a_correction(client: TestClient, name: str) -> None:
    body = json.dumps({"corrections": [{"picture": "red/0.png", "label": name}]})
    kind = refusal(client, "/v1/models/shapes/corrections", content=body, headers={"Content-Type": "application/json"})
    assert kind == "/problems/validation-error"


@pytest.mark.parametrize("name", NO_CLASS_NAMES, ids=ascii)
@pytest.mark.parametrize("content", ['{"red": {"tr": %s}}', "{%s: {}}", '[{"label": %s}]'])
def test_not_by_a_labels_json(client: TestClient, name: str, content: str) -> None:
    archive = zipped({**shapes(), "labels.json": content % json.dumps(name)})
    assert refusal(client, "/v1/models?name=odd", content=archive) == "/problems/invalid-archive"


@pytest.mark.parametrize("name", [name for name in NO_CLASS_NAMES if name not in {"", "\ud800", "\x00"}], ids=ascii)
def test_not_by_a_folder(client: TestClient, name: str) -> None:
    """A zip cannot hold the three others."""
    files = {path.replace("blue/", f"{name}/"): data for path, data in shapes().items()}
    assert refusal(client, "/v1/models?name=odd", content=zipped(files)) == "/problems/not-enough-images"


@pytest.mark.parametrize("name", ["", " ", "red\x1b[2J", "\u202eder", "x" * 101], ids=ascii)
def test_not_by_a_form(client: TestClient, name: str) -> None:
    files = [("files", (path.replace("blue/", f"{name}/"), data)) for path, data in shapes().items()]
    assert refusal(client, "/v1/models?name=odd", files=files) == "/problems/not-enough-images"
