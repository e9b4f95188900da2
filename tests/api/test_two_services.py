"""Two services on one data folder and one database."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.jobs.files import FileStore
from app.main import create_app
from app.settings import Settings
from tests.support.service import wait_until_ready

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("var")
    return Settings(data_dir=folder, engine="torch", worker="external", default_model="imagenet")


@pytest.fixture(scope="module")
def services(own_settings: Settings) -> Iterator[list[TestClient]]:
    with ExitStack() as stack:
        clients = [stack.enter_context(TestClient(create_app(own_settings))) for _ in range(2)]
        for client in clients:
            wait_until_ready(client)
        yield clients


def test_one_key_and_two_pictures_at_once_is_one_job_with_its_own_picture(
    services: list[TestClient], own_settings: Settings, cat: bytes, dog: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    keep = FileStore.keep

    def keep_together(self: FileStore, *args: Any) -> None:
        keep(self, *args)
        both.wait(30)

    monkeypatch.setattr(FileStore, "keep", keep_together)
    choices = {"target": "zebra", "method": "fgsm", "seed": "1"}

    def attack(client: TestClient, picture: bytes, number: int) -> Any:
        headers = {"Idempotency-Key": f"key-{number}"}
        return client.post("/v1/adversarial-images", params=choices, content=picture, headers=headers)

    for number in range(5):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(attack, services, (cat, dog), (number, number)))
        assert sorted(answer.status_code for answer in answers) == [202, 422]
        won = (cat, dog)[[answer.status_code for answer in answers].index(202)]
        refused = next(answer for answer in answers if answer.status_code == 422)
        assert refused.json()["type"] == "/problems/idempotency-key-reused"
        job = next(answer.json() for answer in answers if answer.status_code == 202)
        folder = Path(own_settings.jobs_files) / "work" / job["id"]
        assert [path.read_bytes() for path in folder.iterdir()] == [won]
