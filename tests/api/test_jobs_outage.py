"""The database of the jobs goes away, or freezes, and comes back."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from benchmarks.postgres import Postgres
from tests.support.postgres import running_postgres
from tests.support.service import wait_until_ready

pytestmark = pytest.mark.slow

IDEAL = {"objective": {"label": "zebra"}, "steps": 7, "seed": 1}
WITHIN_S = 5.0


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def service(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("var"),
        database_url=postgres.url,
        engine="torch",
        worker="external",
        default_model="imagenet",
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def timed(ask: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return ask(), time.monotonic() - began


def until_back(service: TestClient) -> None:
    while (answer := service.get("/v1/jobs")).status_code != 200:
        assert answer.json()["type"] == "/problems/worker-down"


@pytest.mark.parametrize("how", ["frozen", "gone"])
def test_a_database_that_does_not_answer_holds_up_nothing_else(
    service: TestClient, postgres: Postgres, dog: bytes, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    job = service.post("/v1/ideal-images", json=IDEAL).json()
    if how == "frozen":
        postgres.freeze()
    else:
        postgres.stop()
    about_jobs: list[Callable[[], Any]] = [
        *(lambda: service.get("/v1/jobs") for _ in range(20)),
        lambda: service.get(job["links"]["self"]),
        lambda: service.get(job["links"]["events"], headers={"Accept": "application/json"}),
        lambda: service.post(job["links"]["cancel"]),
        lambda: service.delete(job["links"]["self"]),
        lambda: service.post("/v1/ideal-images", json=IDEAL, headers={"Idempotency-Key": "k"}),
        lambda: service.post("/v1/adversarial-images", params={"target": "zebra"}, content=dog),
    ]
    others: list[Callable[[], Any]] = [
        lambda: service.get("/v1/models"),
        lambda: service.get("/v1/models/pets/labels"),
        lambda: service.post("/v1/classify", params={"model": "pets"}, content=dog),  # its first
        lambda: service.get("/readyz"),
    ]
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(timed, ask) for ask in about_jobs]
        told = [pool.submit(timed, ask) for ask in others]
        for one in asked:
            answer, seconds = one.result()
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/worker-down")
            assert int(answer.headers["Retry-After"]) >= 1
            assert seconds < WITHIN_S
        for one in told:
            answer, seconds = one.result()
            assert answer.status_code == 200
            assert seconds < WITHIN_S
    again, seconds = timed(lambda: service.get("/v1/jobs"))
    assert again.status_code == 503
    assert seconds < WITHIN_S
    if how == "frozen":
        postgres.thaw()
    else:
        postgres.start()
    until_back(service)
    assert service.get(job["links"]["self"]).json()["status"] == "queued"
    assert service.post("/v1/ideal-images", json=IDEAL, headers={"Idempotency-Key": "k"}).status_code == 202
    lines = [record.getMessage() for record in caplog.records if "database of the jobs" in record.getMessage()]
    assert [("cannot be reached" in line, "is back" in line) for line in lines] == [(True, False), (False, True)]
