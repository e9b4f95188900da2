"""A client that goes away takes its work with it: before, in and after the queue."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect

from app.api.disconnection import while_connected
from app.main import create_app
from app.settings import Settings
from app.vision.ask import Pause, Steps
from tests.support.service import wait_until_ready

if TYPE_CHECKING:
    from app.vision.serving.predictor import Predictor

PLACES = 6


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """With one model thread, and few places in its queue."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("var"), engine="torch", worker="external", threads=1, max_queue=PLACES
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


class Caller:
    """A client of the application that stays until it is told to leave."""

    def __init__(self, body: bytes, content_type: str = "application/octet-stream") -> None:
        self._messages = [{"type": "http.request", "body": body}]
        self._content_type = content_type.encode()
        self.leaves = asyncio.Event()
        self.status: int | None = None

    async def ask(self, service: TestClient, path: str = "/v1/classify") -> int | None:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"content-type", self._content_type)],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": dict(service.app_state),
        }
        await service.app(scope, self._receive, self._send)
        return self.status

    async def _receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop()
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)


def form(picture: bytes, number: int) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + picture + b"\r\n"
    return part * number + b"--x--\r\n"


def raw(picture: bytes) -> Caller:
    return Caller(picture)


def lone(picture: bytes) -> Caller:
    return Caller(form(picture, 1), "multipart/form-data; boundary=x")


def several(picture: bytes) -> Caller:
    return Caller(form(picture, 2), "multipart/form-data; boundary=x")


@pytest.mark.parametrize("caller", [raw, lone, several])
def test_whoever_leaves_the_queue_frees_its_place_at_once(
    service: TestClient, dog: bytes, caller: Callable[[bytes], Caller]
) -> None:
    async def scenario() -> None:
        predictor: Predictor = service.app_state["predictor"]
        queue = predictor._batcher
        answered = queue._run
        pictures: list[int] = []
        gate, entered = threading.Event(), threading.Event()

        def busy() -> Steps[None]:
            entered.set()
            assert gate.wait(60)
            yield Pause()

        classifier = await predictor.load()
        blocking = predictor.run_steps(classifier, lambda _: busy())
        assert await asyncio.to_thread(entered.wait, 10)
        queue._run = lambda items: pictures.append(len(items)) or answered(items)  # type: ignore[func-returns-value]
        try:
            each = 2 if caller is several else 1
            leaving = [caller(dog) for _ in range(PLACES // each)]
            asked = [asyncio.create_task(one.ask(service)) for one in leaving]
            await until(lambda: len(queue) == PLACES)
            assert await raw(dog).ask(service) == 503
            for one in leaving:
                one.leaves.set()
            await asyncio.gather(*asked)
            assert len(queue) == 0
            staying = [asyncio.create_task(raw(dog).ask(service)) for _ in range(PLACES)]
            await until(lambda: len(queue) == PLACES)
            gate.set()
            assert await asyncio.gather(*staying) == [200] * PLACES
            assert sum(pictures) == PLACES, "nothing was done for those who left"
        finally:
            gate.set()
            await blocking
            queue._run = answered

    assert service.portal
    service.portal.call(scenario)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(60_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("It did not come to that.")


def test_work_for_a_client_that_has_gone_is_stopped() -> None:
    """`while_connected` on a request whose client hangs up, and on one whose client stays."""

    async def scenario() -> None:
        async def hung_up() -> dict[str, str]:
            return {"type": "http.disconnect"}

        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(ClientDisconnect):
            await while_connected(Request({"type": "http"}, hung_up), answer)
        assert answer.cancelled()
        stays: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, stays.set_result, 7)
        assert await while_connected(Request({"type": "http"}, asyncio.Event().wait), stays) == 7  # type: ignore[arg-type]

    asyncio.run(scenario())
