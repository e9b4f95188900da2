"""The examples of the OpenAPI document, which swagger-ui fills in, are answered."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.api.sentences import sentence_of
from app.client import Client
from app.main import create_app
from app.settings import Settings
from tests.support.pictures import shapes, zipped

DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()
Operation = tuple[str, str]
"""A method and a path."""
LEFT_OUT: tuple[Operation, ...] = (("post", "/v1/evaluations"),)
"""Takes an archive whose folders are called after the model's classes: tests/api/test_evaluations.py has one."""
LAST: tuple[Operation, ...] = (("delete", "/v1/models/{name}"), ("delete", "/v1/jobs/{job_id}"))
"""Of a model and a job that the other examples need."""


def operations() -> dict[Operation, dict[str, Any]]:
    return {
        (method, path): operation
        for path, found in DOCUMENT["paths"].items()
        for method, operation in found.items()
        if (method, path) not in LEFT_OUT
    }


def needs_a_job_or_a_lesson(operation: Operation) -> bool:
    """Whether its example is of what is not there before something was taught or drawn."""
    _, path = operation
    of_a_lesson = "shapes" in str(operations()[operation].get("parameters")) or path.endswith("/export")
    return "{job_id}" in path or of_a_lesson


FIRST = [operation for operation in operations() if not needs_a_job_or_a_lesson(operation)]
LATER = [operation for operation in operations() if needs_a_job_or_a_lesson(operation) and operation not in LAST]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].removeprefix("#/components/schemas/")]
    return schema


def first_example(schema: dict[str, Any]) -> Any:
    return resolved(schema).get("examples", [None])[0]


def example_of(operation: Operation, file: bytes, **real: str) -> Iterator[dict[str, Any]]:
    """What to ask with its first examples, once with each kind of body; `real` replaces names in the path."""
    method, path = operation
    described = operations()[operation]
    given = {one["name"]: (one["in"], first_example(one["schema"])) for one in described.get("parameters", [])}
    names = {name: value for name, (where, value) in given.items() if where == "path"}
    assert all(names.values()), "a path without an example"
    query = {name: value for name, (where, value) in given.items() if where == "query" and value is not None}
    content = described.get("requestBody", {}).get("content", {})
    bodies: list[dict[str, Any]] = [{"content": file}] if set(content) - {"application/json"} else []
    if "application/json" in content:
        bodies.append({"json": first_example(content["application/json"]["schema"])})
        assert bodies[-1]["json"], "a body without an example"
    for body in bodies or [{}]:
        yield {"method": method, "url": path.format(**names | real), "params": query, **body}


@pytest.mark.parametrize("operation", FIRST, ids=" ".join)
def test_the_examples_of_an_operation_are_answered(client: TestClient, dog: bytes, operation: Operation) -> None:
    binary = binary_tensor(dog)
    for asked in example_of(operation, binary if operation[1].endswith("/infer") else dog):
        is_binary = asked.get("content") is binary
        length = {"Inference-Header-Content-Length": str(binary.index(b"\n") + 1)} if is_binary else {}
        answer = client.request(**asked, headers=length)
        assert answer.status_code in {200, 202}, answer.text
        if answer.headers.get("location", "").startswith("/v1/jobs/"):
            client.delete(answer.headers["location"])


def binary_tensor(picture: bytes) -> bytes:
    """A picture behind its JSON, as the Open Inference Protocol sends it."""
    size = len(picture) + 4
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [tensor]}).encode() + b"\n" + len(picture).to_bytes(4, "little") + picture


@pytest.mark.slow
def test_the_examples_of_jobs_and_of_taught_models_are_answered(server: str) -> None:
    with httpx2.Client(base_url=server, timeout=180) as http:
        with Client(server) as client:
            drawn = client.wait(client.draw(objective={"label": "zebra"}, preset="quick", steps=1, size=64))
        # The lesson comes first: the others are about what it taught.
        for operation in sorted(LATER, key=lambda one: one != ("post", "/v1/models")) + list(LAST):
            real = {"job_id": drawn["id"]} if "{job_id}" in operation[1] else {}
            picture = operation == ("post", "/v1/neighbors")
            (asked, *_) = example_of(operation, shapes()["red/0.png"] if picture else zipped(shapes()), **real)
            answer = http.request(**asked)
            assert answer.status_code in {200, 202, 204}, (operation, answer.text)
            if answer.headers.get("location", "").startswith("/v1/jobs/"):
                with Client(server) as client:
                    client.wait(client.job(answer.json()["id"]))


def test_every_reference_of_the_document_leads_somewhere() -> None:
    found = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT)))
    assert found
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert found - known == set()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/v1/classify?top_k=0", "top_k: It must be 1 at least."),
        ("/v1/classify?top_k=x", "top_k: It must be a whole number."),
        ("/v1/classify?lang=de", "lang: It must be 'en' or 'tr'."),
        ("/v1/classify?topk=3", "topk: There is no choice of this name."),
        ("/v1/models", "name: It is missing."),
        ("/v1/models?name=No Slug", "name: It must have small letters, digits, - and _, 64 at most, and begin with a"),
        ("/v1/adversarial-images?epsilon=much", "epsilon: It must be a number or a fraction like 8/255."),
    ],
)
def test_what_is_wrong_with_a_choice_is_a_sentence(client: TestClient, dog: bytes, path: str, sentence: str) -> None:
    answer = client.post(path, content=dog)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(sentence)
    assert all(one["detail"].endswith(".") for one in answer.json()["errors"])


@pytest.mark.parametrize(
    ("method", "path", "body", "sentence"),
    [
        ("PATCH", "/healthz", None, "/healthz does not take PATCH."),
        ("GET", "/v1/nothing", None, "There is nothing at /v1/nothing."),
        ("POST", "/v1/ideal-images", [], "It must be an object."),
        ("POST", "/v1/ideal-images", {"objective": {"label": "zebra"}, "steps": 1e99}, "It must be a whole number."),
        ("POST", "/v1/ideal-images", {"objective": {"label": "zebra"}, "models": "x"}, "It must be a list."),
        ("POST", "/v1/models/shapes/corrections", {"corrections": []}, "It must have one entry at least."),
        ("POST", "/v2/models/imagenet/infer", {}, "inputs: It is missing."),
        ("POST", "/v2/models/imagenet/infer", [], "It must be an object."),
        ("POST", "/hf/models/imagenet", {"inputs": "", "parameters": 3}, "parameters: It must be an object."),
    ],
)
def test_what_is_wrong_with_a_request_is_a_sentence(
    client: TestClient, method: str, path: str, body: object, sentence: str
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.json()["detail"].endswith(sentence)
    assert 400 <= answer.status_code < 500


def test_a_body_that_is_no_json_is_told_so_by_every_protocol(client: TestClient) -> None:
    for path in ("/v1/ideal-images", "/v2/models/imagenet/infer", "/hf/models/imagenet"):
        answer = client.post(path, content=b"{", headers={"Content-Type": "application/json"})
        assert answer.json()["detail"] == "The body is not JSON."


def test_other_messages_get_a_full_stop() -> None:
    assert sentence_of({"type": "new_kind", "msg": "input is odd"}) == "Input is odd."
