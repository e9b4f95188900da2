"""What pages of other origins, and names that are not ours, may not do."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from app.api.origins import Hosts, is_loopback
from app.main import create_app
from app.settings import Settings
from tests.support.service import wait_until_ready

FRIEND = "https://front.example"


@pytest.fixture(scope="module")
def opened(settings: Settings) -> Iterator[TestClient]:
    """A service that lets pages of FRIEND use it."""
    friendly = replace(settings, allowed_origins=(FRIEND,))
    with TestClient(create_app(friendly), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8080"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models?name=stolen"),
        ("POST", "/v1/models/pets/corrections"),
        ("POST", "/v1/adversarial-images"),
        ("POST", "/v1/ideal-images"),
        ("POST", "/v1/jobs/job_0/cancel"),
        ("DELETE", "/v1/jobs/job_0"),
        ("DELETE", "/v1/models/pets"),
    ],
)
def test_a_page_elsewhere_changes_nothing(client: TestClient, method: str, path: str, headers: dict[str, str]) -> None:
    answer = client.request(method, path, headers={"Content-Type": "text/plain", **headers}, content=b"{}")
    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/foreign-origin"
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"]
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost"},
        {"Origin": "https://localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_our_own_page_and_programs_may(client: TestClient, dog: bytes, headers: dict[str, str]) -> None:
    assert client.post("/v1/classify", headers=headers, content=dog).status_code == 200


def test_reading_is_not_refused_but_no_page_elsewhere_sees_the_answer(client: TestClient) -> None:
    answer = client.get("/v1/models", headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_preflight_of_a_page_elsewhere_is_refused(client: TestClient) -> None:
    asks = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    answer = client.options("/v1/classify", headers=asks)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/foreign-origin")


def test_an_allowed_front_end_asks_first_and_may_send_what_the_api_reads(opened: TestClient) -> None:
    wanted = "content-type,authorization,idempotency-key,if-none-match,last-event-id,prefer,x-request-id"
    asks = {"Origin": FRIEND, "Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": wanted}
    answer = opened.options("/v1/jobs/job_0", headers=asks)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert all(name in allowed for name in wanted.split(","))
    assert answer.headers["X-Request-Id"]


def test_an_allowed_front_end_reads_answers_and_problems(opened: TestClient, dog: bytes) -> None:
    page = {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"}
    for answer, status in (
        (opened.post("/v1/classify", headers=page, content=dog), 200),
        (opened.post("/v1/classify", headers=page, content=b"no picture"), 415),
        (opened.post("/v1/classify", headers={**page, "Content-Length": "100000000"}, content=iter([b"x"])), 413),
        (opened.get("/v1/nothing", headers=page), 404),
    ):
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"Location", "ETag", "Retry-After", "X-Request-Id", "Content-Disposition"} <= set(exposed)
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_allowing_one_origin_allows_no_other(opened: TestClient, dog: bytes) -> None:
    for origin in ("https://evil.example", "http://front.example", f"{FRIEND}:8443", f"{FRIEND}.evil.example"):
        answer = opened.post("/v1/classify", headers={"Origin": origin}, content=dog)
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/jobs", "/healthz", "/docs/", "/openapi.json"])
def test_a_name_that_was_made_to_point_here_reads_nothing(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example:8000"})
    assert answer.status_code == 421
    assert answer.json()["type"] == "/problems/misdirected-request"


LOOPBACK = ["localhost", "LOCALHOST:8000", "a.localhost:1", "localhost.", "127.0.0.1:8000", "[::1]:8000", "10.0.0.7"]
NEIGHBOURS = ["inkblot:8000", "teacher.local:8000"]
STRANGERS = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8000", "a@localhost"]
BROKEN = ["[::1", "a b", "localhost:x", "localhost/", "1.2.3.4.5", ":80", "[evil]"]


@pytest.mark.parametrize("authority", LOOPBACK)
def test_loopback_names_and_addresses_are_ours(authority: str) -> None:
    assert Hosts((), listening="127.0.0.1").has(authority)
    assert Hosts((), listening="0.0.0.0").has(authority)  # a container behind a published port; a probe by address


@pytest.mark.parametrize("authority", NEIGHBOURS)
def test_names_that_no_public_zone_has_are_ours_where_neighbours_connect_anyway(authority: str) -> None:
    assert Hosts((), listening="0.0.0.0").has(authority)
    assert not Hosts((), listening="127.0.0.1").has(authority)


@pytest.mark.parametrize("authority", STRANGERS + BROKEN)
@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0", "::"])
def test_other_names_are_not(authority: str, listening: str) -> None:
    assert not Hosts((), listening=listening).has(authority)


def test_names_that_are_allowed_are_ours_too() -> None:
    hosts = Hosts(("ink.example", "*.school.example"), listening="cats.example")
    assert all(map(hosts.has, ("ink.example:443", "Ink.Example", "a.school.example", "cats.example", "localhost")))
    assert not any(map(hosts.has, ("a.ink.example", "school.example", "evilschool.example")))
    assert Hosts(("*",), listening="127.0.0.1").has("evil.example")


def test_what_listens_on_loopback_is_known() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.7", "example.org", "")))
