import importlib
import json
import pkgutil
import socket
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

import app
from app.api.problem_types import KINDS, SLUGS
from app.api.problems import Problem
from app.client.errors import ClientError
from app.main import create_app
from app.settings import Settings
from app.vision.serving.batcher import QueueFullError
from tests.support.lines import answers


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/docs/nothing.js", 404, "not-found"),
        ("GET", "/problems/nothing", 404, "not-found"),
        ("GET", "/v1/classify", 405, "method-not-allowed"),
        ("PUT", "/healthz", 405, "method-not-allowed"),
    ],
)
def test_a_path_or_method_that_is_not_there_is_a_problem(
    client: TestClient, method: str, path: str, status: int, slug: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{slug}"
    if status == 405:
        assert answer.headers["Allow"]


@pytest.mark.parametrize("slug", KINDS)
def test_every_type_of_problem_is_a_page_for_people(client: TestClient, slug: str) -> None:
    page = client.get(f"/problems/{slug}")
    assert page.status_code == 200
    assert KINDS[slug].title in page.text
    assert str(int(KINDS[slug].status)) in page.text


def test_a_bug_is_logged_under_the_request_id_and_nothing_internal_leaks(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    @app.get("/bug")
    def bug() -> None:
        raise RuntimeError("the password is swordfish")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/bug", headers={"X-Request-Id": "my-id"})
    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"] == "my-id"
    assert "swordfish" not in answer.text
    assert "swordfish" in caplog.text


def test_a_request_id_that_is_not_sane_is_replaced(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "a b\t<script>"}).headers["X-Request-Id"].isalnum()


def test_an_overloaded_service_says_when_to_come_again() -> None:
    problem = Problem.of(QueueFullError(7))
    assert problem.status == 503
    assert problem.headers["Retry-After"] == "7"


def test_a_body_that_tells_its_length_is_refused_before_it_is_read(client: TestClient) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * 1_000_000

    answer = client.post("/v1/classify", content=endless(), headers={"Content-Length": "100000000"})
    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/body-too-large"


def test_a_body_that_does_not_tell_its_length_is_refused_when_it_is_too_long(client: TestClient) -> None:
    answer = client.post("/v1/classify", content=(b"x" * 1_000_000 for _ in range(34)))
    assert answer.status_code == 413
    assert "33,554,432" in answer.json()["detail"]


def test_one_file_of_a_form_that_is_too_large_fails_alone(client: TestClient, dog: bytes) -> None:
    files = [("file", ("big", b"x" * 34_000_000)), ("file", ("dog", dog))]
    data = client.post("/v1/classify", files=files).json()["data"]
    assert data[0]["type"] == "/problems/body-too-large"
    assert data[1]["predictions"][0]["label"] == "basenji"


TOLD_ELSEWHERE = {
    "KeyFileError": "the commands and the start of the service say it",
    "CanceledError": "ends a job as canceled",
    "EngineStoppedError": "the job goes on with the next worker",
    "Av1Error": "the picture's error says it",
    "ChannelsError": "the route and the schema make a validation error of it",
    "OvertakenError": "never leaves the mirror",
    "ClassNameError": "the archive's error and the validation of corrections say it",
    "StreamClosedError": "the stream ends, and says that there is more to come",
    "DownloadError": "the command that gets weights tells it",
    "ExportError": "a process that was killed: there is nothing that the client could do",
    "CannotServeError": "ends the process at its start",
    "DeviceUnavailableError": "ends the process at its start",
    "SettingsError": "ends the process at its start",
    "ClientError": "the client's own",
}


def test_every_error_of_our_own_is_in_the_table_or_told_elsewhere() -> None:
    """One that is in neither would read `internal`, with no page that explains it."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if module.name != "app.__main__" and not module.name.startswith("app.vision.export.predict"):
            importlib.import_module(module.name)
    ours = {kind for kind in subclasses(Exception) if kind.__module__.startswith("app.")}
    assert len(ours) > 30
    untold = {kind.__name__ for kind in ours if not issubclass(kind, tuple(SLUGS))}
    children = {kind.__name__ for kind in subclasses(ClientError)}
    assert untold - children == set(TOLD_ELSEWHERE)


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {one for child in kind.__subclasses__() for one in {child, *subclasses(child)}}


def test_a_question_about_the_server_as_a_whole_is_answered_too(server: str) -> None:
    with socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2]))) as line:
        line.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, body = answers(line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["type"] == "/problems/not-found"
