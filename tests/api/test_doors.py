"""What a key has used up, and what it is told of that."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from app.api.doors import DAY_S, Doors, KeyLimits
from app.api.exchange import Exchange
from app.keys import KeyRing
from app.main import create_app
from app.settings import Settings
from tests.support.answers import finished, teach
from tests.support.clock import Clock
from tests.support.keys import bearing, write_keys
from tests.support.pictures import shapes, zipped
from tests.support.service import wait_until_ready


async def counting(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads all that is sent."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


@pytest.fixture
def clock() -> Clock:
    return Clock(now=1000.0)


@pytest.fixture
def behind(tmp_path: Path, clock: Clock) -> Callable[..., TestClient]:
    def make(**limits: int) -> TestClient:
        ring = KeyRing(write_keys(tmp_path / "keys.json"))
        doors = Doors(counting, ring, KeyLimits(**limits), clock.monotonic)
        return TestClient(Exchange(doors, headers={}))

    return make


def post(client: TestClient, who: str = "ayse", content: Any = b"") -> Any:
    return client.post("/v1/classify", headers=bearing(who), content=content)


def test_requests_of_a_minute_are_counted_for_each_key(behind: Callable[..., TestClient], clock: Clock) -> None:
    client = behind(requests_a_minute=2, bytes_a_day=0)
    first = post(client)
    assert first.headers["RateLimit-Policy"] == '"requests";q=2;w=60;qu="requests"'
    assert first.headers["RateLimit"] == '"requests";r=1;t=60'
    clock.sleep(20.5)
    assert post(client).headers["RateLimit"] == '"requests";r=0;t=40'
    refused = post(client)
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/rate-limited")
    assert (refused.headers["Retry-After"], refused.headers["RateLimit"]) == ("40", '"requests";r=0;t=40')
    assert post(client, "bora").status_code == 200
    clock.sleep(int(refused.headers["Retry-After"]))
    assert post(client).headers["RateLimit"] == '"requests";r=1;t=60'


def test_bytes_of_a_day_are_counted_as_they_come(behind: Callable[..., TestClient], clock: Clock) -> None:
    client = behind(requests_a_minute=0, bytes_a_day=100)
    assert post(client, content=b"x" * 60).headers["RateLimit"] == f'"upload";r=40;t={DAY_S}'
    refused = post(client, content=b"x" * 41)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(DAY_S))
    assert "bytes of this day" in refused.json()["detail"]
    assert post(client, content=b"x" * 40).status_code == 200, "what was refused is not counted"
    clock.sleep(DAY_S)
    assert post(client, content=b"x" * 100).status_code == 200


def test_a_body_of_untold_length_ends_where_the_bytes_do(behind: Callable[..., TestClient]) -> None:
    client = behind(requests_a_minute=0, bytes_a_day=100)

    def pieces() -> Iterator[bytes]:
        yield from (b"x" * 30 for _ in range(4))

    assert post(client, content=pieces()).status_code == 429


def test_without_limits_nothing_is_told(behind: Callable[..., TestClient]) -> None:
    answer = post(behind(requests_a_minute=0, bytes_a_day=0), content=b"x" * 1000)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


def test_what_a_key_may_not_do_counts_too(behind: Callable[..., TestClient]) -> None:
    client = behind(requests_a_minute=1, bytes_a_day=0)
    assert post(client, "teach").status_code == 403
    assert post(client, "teach").status_code == 429


def test_a_secret_is_compared_with_every_key_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    ring = KeyRing(write_keys(tmp_path / "keys.json"))
    monkeypatch.setattr("app.keys.hmac.compare_digest", compare)
    for secret in ("ink_root", "ink_bora", "ink_nobody"):
        compared.clear()
        ring.find(secret)
        assert len(compared) == 6


@pytest.mark.slow
def test_jobs_and_models_stay_their_makers_over_restarts_and_in_every_service(
    settings: Settings, tmp_path: Path, audited: list[dict[str, Any]]
) -> None:
    own = replace(settings, data_dir=tmp_path / "var", api_keys=write_keys(tmp_path / "keys.json"), worker="child")
    with TestClient(create_app(own), headers=bearing("ayse")) as client:
        wait_until_ready(client)
        job = teach(client, "shapes", zipped(shapes()))
        assert job["status"] == "succeeded", job["error"]
        assert re.search(r'"owner": "ayse"', (own.trained_dir / "shapes" / "model.json").read_text())
        assert "ayse" not in client.get("/v1/models/shapes").text
        with TestClient(create_app(own), headers=bearing("root")) as admin:
            wait_until_ready(admin)
            replaced = teach(admin, "shapes", zipped(shapes(7)), replace="true")
            assert replaced["status"] == "succeeded", replaced["error"]
            assert teach(admin, "everybodys", zipped(shapes()))["status"] == "succeeded"
    without_worker = replace(own, worker="external")
    with ExitStack() as stack:
        services = [stack.enter_context(TestClient(create_app(without_worker))) for _ in range(2)]
        for service in services:
            wait_until_ready(service)
            for path, mine, others in (
                (f"/v1/jobs/{job['id']}", 200, 404),
                ("/v1/models/shapes", 200, 404),
                (f"/v1/jobs/{replaced['id']}", 404, 404),
                ("/v1/models/everybodys", 200, 200),
            ):
                assert service.get(path, headers=bearing("ayse")).status_code == mine, path
                assert service.get(path, headers=bearing("bora")).status_code == others, path
                assert service.get(path, headers=bearing("root")).status_code == 200, path
        assert services[0].get("/v1/models/shapes", headers=bearing("ayse")).json()["version"] == 2
        assert services[1].delete(f"/v1/jobs/{job['id']}", headers=bearing("ayse")).status_code == 204
        assert services[0].delete("/v1/models/shapes", headers=bearing("ayse")).status_code == 204
    assert [(one["action"], one["by"]) for one in audited] == [
        ("teach", "key ayse"),
        ("teach", "key root"),
        ("teach", "key root"),
        ("delete-job", "key ayse"),
        ("delete-model", "key ayse"),
    ]
    assert not re.search(r"\.png|ink_", str(audited))


@pytest.mark.slow
def test_a_name_that_became_anothers_before_the_worker_had_it_is_not_replaced(
    settings: Settings, tmp_path: Path
) -> None:
    own = replace(settings, data_dir=tmp_path / "var", api_keys=write_keys(tmp_path / "keys.json"), worker="external")
    with TestClient(create_app(own)) as client:
        wait_until_ready(client)
        orders = [
            client.post(
                "/v1/models",
                params={"name": "both", "replace": "true"},
                content=zipped(shapes()),
                headers=bearing(who),
            ).json()
            for who in ("ayse", "bora")
        ]
    with TestClient(create_app(replace(own, worker="child", jobs_running=1))) as client:
        wait_until_ready(client)
        ended = []
        for who, job in zip(("ayse", "bora"), orders, strict=True):
            client.headers.update(bearing(who))
            ended.append(finished(client, job))
        won = [job["status"] for job in ended].index("succeeded")
        assert ended[1 - won]["error"]["type"] == "/problems/model-exists"
        assert client.get("/v1/models/both", headers=bearing(("ayse", "bora")[won])).status_code == 200
        assert client.get("/v1/models/both", headers=bearing(("ayse", "bora")[1 - won])).status_code == 404


def test_the_middleware_lets_through_what_is_no_request(tmp_path: Path) -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any: ...

    doors = Doors(app, KeyRing(write_keys(tmp_path / "keys.json")), KeyLimits(0, 0))
    asyncio.run(doors({"type": "lifespan"}, nothing, nothing))
    assert seen == ["lifespan"]
