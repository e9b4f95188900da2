"""The examples of the OpenAPI document, which swagger-ui fills in, are answered."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.sentences import sentence_of
from app.main import create_app
from app.settings import Settings

DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()
LEFT_OUT = {
    ("post", "/v1/evaluations"),  # takes an archive, whose folders are called after the model's classes
    ("post", "/v1/models"),  # takes an archive, and its name is of a model that is not there yet
    ("get", "/v1/models/{name}/export"),  # takes a minute
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, found in DOCUMENT["paths"].items():
        for method, operation in found.items():
            of_a_job = "{job_id}" in path
            of_a_taught_model = "shapes" in str(operation.get("parameters"))
            if path.startswith("/v1") and not of_a_job and not of_a_taught_model and (method, path) not in LEFT_OUT:
                yield method, path, operation


def first_example(schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema.get("examples", [None])[0]


@pytest.mark.parametrize(("method", "path", "operation"), list(operations()))
def test_the_examples_of_an_operation_are_answered(
    client: TestClient, dog: bytes, method: str, path: str, operation: dict[str, Any]
) -> None:
    given = {one["name"]: (one["in"], first_example(one["schema"])) for one in operation.get("parameters", [])}
    names = {name: value for name, (where, value) in given.items() if where == "path"}
    query = {name: value for name, (where, value) in given.items() if where == "query" and value is not None}
    content = operation.get("requestBody", {}).get("content", {})
    sent: dict[str, Any] = {}
    if "application/json" in content:
        sent = {"json": first_example(content["application/json"]["schema"])}
        assert sent["json"], "a body without an example"
    elif content:
        sent = {"content": dog}
    assert all(names.values()), "a path without an example"
    answer = client.request(method, path.format(**names), params=query, **sent)
    assert answer.status_code in {200, 202}, answer.text
    if answer.headers.get("location", "").startswith("/v1/jobs/"):
        client.delete(answer.headers["location"])


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/v1/classify?top_k=0", "top_k: It must be 1 at least."),
        ("/v1/classify?top_k=x", "top_k: It must be a whole number."),
        ("/v1/classify?lang=de", "lang: It must be 'en' or 'tr'."),
        ("/v1/classify?topk=3", "topk: There is no choice of this name."),
        ("/v1/models", "name: It is missing."),
        ("/v1/models?name=No Slug", "name: It must have small letters, digits, - and _, 64 at most, and begin with a"),
        ("/v1/adversarial-images?epsilon=much", "epsilon: Neither a number nor a fraction like 8/255."),
    ],
)
def test_what_is_wrong_with_a_choice_is_a_sentence(client: TestClient, dog: bytes, path: str, sentence: str) -> None:
    answer = client.post(path, content=dog)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(sentence)
    assert all(one["detail"].endswith(".") for one in answer.json()["errors"])


def test_other_messages_get_a_full_stop() -> None:
    assert sentence_of({"type": "new_kind", "msg": "input is odd"}) == "Input is odd."
