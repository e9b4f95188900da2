"""Whoever sends nothing holds nobody up."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.errors import UploadsFullError
from app.api.upload_turns import UploadTurns
from app.main import create_app
from app.settings import Settings
from tests.support.asgi import archive_sent
from tests.support.pictures import zipped
from tests.support.service import wait_until_ready

BUSY = 4


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_turn_is_held_by_those_who_keep_up() -> None:
    clock = Clock()
    turns = UploadTurns(clock)
    with ExitStack() as held:
        uploads = [held.enter_context(turns.take()) for _ in range(BUSY)]
        for upload in uploads:
            upload.add(100_000)
        with pytest.raises(UploadsFullError), turns.take():
            pass
        clock.now = 2.0
        with turns.take():
            """They have sent less than 64 KiB a second."""
        for upload in uploads:
            upload.add(100_000)
        with pytest.raises(UploadsFullError), turns.take():
            pass
    with turns.take():
        """All of them are done."""


def test_those_who_have_sent_nothing_hold_no_turn() -> None:
    turns = UploadTurns(Clock())
    with ExitStack() as held:
        for _ in range(10 * BUSY):
            held.enter_context(turns.take())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("var"), engine="torch", worker="external", body_timeout_s=1)
    with TestClient(create_app(settings), base_url="http://localhost", raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize("content_type", [b"application/zip", b"multipart/form-data; boundary=x"])
def test_idle_uploads_block_nobody_and_come_to_an_end(service: TestClient, content_type: bytes) -> None:
    async def idle(waiting: Callable[[], None], statuses: list[int]) -> None:
        async def receive() -> dict[str, Any]:
            waiting()
            await asyncio.Event().wait()
            return {}

        async def send(message: Any) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await service.app(archive_sent(service, "idle", content_type), receive, send)

    async def scenario() -> tuple[list[int], list[int]]:
        waiting, all_wait = 0, asyncio.Event()

        def count() -> None:
            nonlocal waiting
            waiting += 1
            if waiting == 2 * BUSY:
                all_wait.set()

        statuses: list[int] = []
        idlers = [asyncio.create_task(idle(count, statuses)) for _ in range(2 * BUSY)]
        await all_wait.wait()
        others = [await asyncio.to_thread(teach, service) for _ in range(2)]
        await asyncio.gather(*idlers)
        return statuses, others

    assert service.portal
    idlers, others = service.portal.call(scenario)
    assert others == [422, 422], "it was received, and holds too few pictures"
    assert idlers == [408] * (2 * BUSY)


def teach(service: TestClient) -> int:
    return service.post("/v1/models", params={"name": "other"}, content=zipped({"red/0.png": b"x"})).status_code
