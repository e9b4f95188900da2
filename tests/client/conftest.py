import socket
from contextlib import closing

import pytest

from tests.support.clock import Clock


@pytest.fixture
def nobody() -> str:
    """An address at which nothing listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of the clients."""
    clock = Clock()
    monkeypatch.setattr("app.client.patience.time", clock)
    monkeypatch.setattr("app.client.client.time", clock)
    monkeypatch.setattr("app.client.async_client.sleep", clock.sleep_async)
    return clock
