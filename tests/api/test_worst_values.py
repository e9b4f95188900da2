"""Whatever a client sends, in whichever field, is refused shortly, and the event loop is never held up by it."""

import asyncio
import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.api.bodies import CORRECTIONS_BYTES, JSON_BYTES
from app.main import create_app
from app.settings import Settings
from tests.support.service import wait_until_ready

pytestmark = pytest.mark.slow

TRIES = 3
BLOCKED_S = 0.2
"""Of processor time, not of the clock: what other processes take of the machine is not ours."""
WIDE = "\ufdfa"
"""One letter that becomes eighteen when it is normalised."""
TEXTS = ("9" * 5000, WIDE * 2000, "\x00", "'" * 20_000, "a" * 60, "../" * 20, "")
NUMBERS = ("1e400", "1e20000000", "-1", "nan", "inf", "1/0", "1/" + "9" * 5000)
JSON_VALUES = (
    *(json.dumps(text) for text in TEXTS),
    *("1e400", "-1", "NaN", "Infinity", "9" * 4000, "9" * 5000, "1e300", "[]", "{}", "null", "true"),
    '"\\ud800"',
    json.dumps(WIDE * 10_000),
    "[" * 20_000,
    "{" + ",".join(f'"\\ud800{number}":0' for number in range(4000)) + "}",
)
HERE = "the worst goes here"
NEEDED = {
    "objective": {"label": "tabby"},
    "label": "tabby",
    "layer": "_blocks.15",
    "channel": 0,
    "picture": "cat/1.png",
}
CORRECTIONS = "/v1/models/imagenet/corrections"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("var"),
        engine="torch",
        worker="external",
        default_model="imagenet",
        body_timeout_s=1,
    )
    with TestClient(create_app(settings), base_url="http://localhost", raise_server_exceptions=False) as client:
        wait_until_ready(client)
        client.get("/v1/models/imagenet/layers")  # traces the network the first time
        gc.freeze()  # as `serve` does: what the tests' own tools left is not collected meanwhile
        yield client
        gc.unfreeze()


class Watch:
    """Asks /healthz in the service's own loop again and again: the most that an answer took since the last look."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def until(self, over: asyncio.Event, client: TestClient) -> None:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(client.app), base_url="http://localhost") as http:
            while not over.is_set():
                began = time.process_time()
                await asyncio.sleep(0.005)
                assert (await http.get("/healthz")).status_code == 200
                self.longest_s = max(self.longest_s, time.process_time() - began)

    def short(self, ask: Callable[[], httpx2.Response], about: object) -> httpx2.Response:
        """The answer, which held nobody up. What holds the loop up does so each time: once alone, it was something else
        that this process did meanwhile, which also uses processor time.
        """
        took = []
        for _ in range(TRIES):
            self.longest_s = 0.0
            answer = ask()
            took.append(self.longest_s)
            if took[-1] < BLOCKED_S:
                return answer
        raise AssertionError(f"{about} held the loop up by {took} s")


@contextmanager
def watched(client: TestClient) -> Iterator[Watch]:
    watch, over = Watch(), asyncio.Event()
    assert client.portal
    watching = client.portal.start_task_soon(watch.until, over, client)
    try:
        yield watch
    finally:
        client.portal.call(over.set)
        watching.result(60)


def refused(answer: httpx2.Response) -> None:
    """By a problem of a reasonable size; what is no mistake may also be done."""
    assert answer.status_code < 500, answer.text[:1000]
    assert answer.is_success or answer.json()["type"].startswith("/problems/")
    assert answer.is_success or len(answer.content) < 12_000


def operations(client: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    paths = client.get("/openapi.json").json()["paths"]
    ours = {path: methods for path, methods in paths.items() if path.startswith("/v1/")}
    return [(method, path, found) for path, methods in ours.items() for method, found in methods.items()]


def request_of(path: str, parameter: dict[str, Any], worst: str) -> tuple[str, dict[str, Any]]:
    name, inside = parameter["name"], parameter["in"]
    where = path.replace("{" + name + "}", quote(worst, safe="") or "%20") if inside == "path" else path
    where = where.replace("{job_id}", "job_1").replace("{name}", "imagenet")
    if inside == "header":
        return where, {"headers": {name: worst.encode().replace(b"\x00", b"")}}
    return where, {"params": {name: worst}} if inside == "query" else {}


def test_each_parameter_takes_its_worst_value(service: TestClient) -> None:
    with watched(service) as watch:
        for method, path, operation in operations(service):
            for parameter in operation.get("parameters", []):
                for worst in (*TEXTS, *NUMBERS):
                    where, sent = request_of(path, parameter, worst)
                    ask = partial(service.request, method, where, **sent)
                    refused(watch.short(ask, (method, path, parameter["name"], worst[:20])))


def places(schema: dict[str, Any], components: dict[str, Any]) -> Iterator[Any]:
    """Documents that have, each at another place, something to be replaced."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    yield HERE
    for option in schema.get("anyOf", []):
        yield from places(option, components)
    if schema.get("type") == "array":
        yield from ([inner] for inner in places(schema["items"], components))
    needed = {name: NEEDED[name] for name in schema.get("required", []) if name in NEEDED}
    for name, part in schema.get("properties", {}).items():
        yield from ({**needed, name: inner} for inner in places(part, components))


def test_each_field_of_a_body_takes_its_worst_value(service: TestClient) -> None:
    components = service.get("/openapi.json").json()["components"]["schemas"]
    tried = 0
    with watched(service) as watch:
        for method, path, operation in operations(service):
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                for document in places(content["schema"], components) if kind == "application/json" else ():
                    for worst in JSON_VALUES:
                        body = json.dumps(document).replace(json.dumps(HERE), worst)
                        headers = {"Content-Type": kind}
                        where = path.replace("{name}", "imagenet")
                        ask = partial(service.request, method, where, content=body, headers=headers)
                        refused(watch.short(ask, (path, document, worst[:20])))
                        tried += 1
    assert tried > 300


@pytest.mark.parametrize(
    "body",
    [
        '{"corrections":[{' + ",".join(f'"{number}":0' for number in range(90_000)) + "}]}",
        "{" + ",".join(f'"{number}":0' for number in range(90_000)) + "}",
        '{"corrections":[' + ",".join(["0"] * 500_000) + "]}",
        '{"corrections":[' + ",".join(["{}"] * 300_000) + "]}",
        '{"corrections":[' + ",".join(['{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0}'] * 25_000) + "]}",
        '{"corrections":[{"picture":"' + WIDE * 300_000 + '","label":null}]}',
    ],
)
def test_a_body_as_large_as_it_may_be(service: TestClient, body: str) -> None:
    assert JSON_BYTES < len(body.encode()) <= CORRECTIONS_BYTES
    headers = {"Content-Type": "application/json"}
    with watched(service) as watch:
        answer = watch.short(partial(service.post, CORRECTIONS, content=body, headers=headers), body[:40])
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation-error")
        refused(answer)


def test_a_query_of_many_choices(service: TestClient) -> None:
    choices = "&".join(f"{number}=1" for number in range(5000))
    with watched(service) as watch:
        answer = watch.short(partial(service.get, f"/v1/jobs?{choices}"), "5000 choices")
        assert answer.status_code == 422
        refused(answer)


@pytest.mark.parametrize(("path", "most"), [("/v1/ideal-images", JSON_BYTES), (CORRECTIONS, CORRECTIONS_BYTES)])
def test_a_body_of_json_has_a_limit_whether_it_tells_its_length_or_not(
    service: TestClient, path: str, most: int
) -> None:
    body = b" " * (most + 1)
    for content in (body, (body[start : start + 10_000] for start in range(0, len(body), 10_000))):
        answer = service.post(path, content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")
        assert f"{most:,}" in answer.json()["detail"]
    absurd = service.post(path, content=iter([b"{}"]), headers={"Content-Length": "9" * 5000})
    assert absurd.status_code == 413


def test_a_body_of_json_has_a_time(service: TestClient) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/ideal-images",
        "query_string": b"",
        "headers": [(b"content-length", b"10")],
        "state": dict(service.app_state),
    }
    assert service.portal
    service.portal.call(service.app, scope, receive, send)
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["type"] == "/problems/request-timeout"


def test_everything_that_can_be_chosen_has_an_end(service: TestClient) -> None:
    """Texts have a length or a pattern that gives them one, numbers a least and a most, lists a size."""
    document = service.get("/openapi.json").json()
    schemas = [parameter["schema"] for *_, one in operations(service) for parameter in one.get("parameters", [])]
    inputs = [
        content["schema"]
        for *_, one in operations(service)
        for kind, content in one.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json"
    ]
    assert inputs
    for schema in schemas + inputs:
        bounded(schema, document["components"]["schemas"])


def bounded(schema: dict[str, Any], components: dict[str, Any]) -> None:
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    for option in schema.get("anyOf", []):
        bounded(option, components)
    for part in schema.get("properties", {}).values():
        bounded(part, components)
    match schema.get("type"):
        case "string":
            assert {"maxLength", "enum", "const", "pattern"} & schema.keys(), schema
        case "integer" | "number":
            assert {"minimum", "exclusiveMinimum"} & schema.keys(), schema
            assert {"maximum", "exclusiveMaximum"} & schema.keys(), schema
        case "array":
            assert "maxItems" in schema, schema
            bounded(schema["items"], components)
