"""One line of the log for each request, which a program reads and which tells nothing of the picture."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from fastapi.testclient import TestClient

from app import logs
from app.logs import JsonFormatter, TextFormatter
from app.main import create_app
from app.settings import Settings

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """The lines of the log so far, as a collector reads them."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(logs._with_request_id)
    caplog.set_level(logging.INFO)
    logging.getLogger("app").addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger("app").removeHandler(handler)


def test_a_request_is_one_line_with_its_id_route_status_time_and_model(
    client: TestClient, dog: bytes, lines: Lines
) -> None:
    files = [("file", ("secret-face.png", dog))]
    answer = client.post("/v1/classify?model=cats-vs-dogs&lang=tr", files=files, headers={"X-Request-Id": "mine"})
    (line,) = lines()
    assert answer.status_code == 200
    assert {name: line[name] for name in ("request_id", "method", "route", "status", "model", "level")} == {
        "request_id": "mine",
        "method": "POST",
        "route": "/v1/classify",
        "status": 200,
        "model": "cats-vs-dogs",
        "level": "info",
    }
    assert isinstance(line["ms"], float)
    assert 0 < line["ms"] < 60_000
    assert "secret" not in json.dumps(line)


def test_the_default_model_is_told_and_of_a_path_only_what_there_is(
    client: TestClient, dog: bytes, lines: Lines
) -> None:
    client.post("/v1/classify", content=dog)
    client.get("/v1/models/pets/labels")
    client.get("/v1/models/secret-face/labels")
    client.get("/v1/jobs/secret-face")
    client.get("/secret-face.png")
    told = [(line.get("route"), line.get("model"), line.get("problem")) for line in lines()]
    assert told == [
        ("/v1/classify", "imagenet", None),
        ("/v1/models/{name}/labels", "pets", None),
        ("/v1/models/{name}/labels", None, "unknown-model"),
        ("/v1/jobs/{job_id}", None, "unknown-job"),
        (None, None, "not-found"),
    ]
    assert "secret" not in json.dumps(lines())


def test_a_probe_that_goes_well_is_no_news(client: TestClient, lines: Lines) -> None:
    client.get("/healthz")
    client.get("/readyz")
    assert lines() == []


def test_what_a_problem_promises_is_there_its_id_finds_the_cause(settings: Settings, lines: Lines) -> None:
    app = create_app(settings)

    @app.get("/bug")
    def bug() -> None:
        logging.getLogger("app.elsewhere").warning("in a thread")
        raise RuntimeError("swordfish")

    with TestClient(app, raise_server_exceptions=False) as client:
        request_id = client.get("/bug").json()["request_id"]
    of_request = [line for line in lines() if line.get("request_id") == request_id]
    assert [line["level"] for line in of_request] == ["warning", "error", "info"]
    assert "swordfish" in str(of_request[1]["exception"])
    assert (of_request[2]["status"], of_request[2]["problem"]) == (500, "internal")


@pytest.mark.parametrize(
    ("log_format", "is_terminal", "formatter"),
    [
        ("auto", True, TextFormatter),
        ("auto", False, JsonFormatter),
        ("json", True, JsonFormatter),
        ("text", False, TextFormatter),
    ],
)
def test_a_terminal_gets_text_and_a_collector_json(
    monkeypatch: pytest.MonkeyPatch, log_format: logs.LogFormat, is_terminal: bool, formatter: type
) -> None:
    chosen: list[logging.Handler] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setattr(logging, "basicConfig", lambda handlers, **_: chosen.extend(handlers))
    logs.configure("info", log_format)
    assert type(chosen[0].formatter) is formatter


def test_text_has_the_id_at_the_end_of_the_line_and_the_traceback_below() -> None:
    try:
        int("swordfish")
    except ValueError:
        record = logging.LogRecord("app", logging.ERROR, "", 0, "broke", (), sys.exc_info())
    record.request_id = "mine"
    first, *rest = TextFormatter().format(record).splitlines()
    assert first.endswith("ERROR app: broke [mine]")
    assert rest[-1].startswith("ValueError: ")
    assert "swordfish" in rest[-1]
