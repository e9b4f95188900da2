"""What it takes to wait for a service."""

import asyncio
import socket

from fastapi.testclient import TestClient


def wait_until_ready(client: TestClient) -> None:
    for _ in range(600):
        if client.get("/readyz").status_code == 200:
            return
        client.portal.call(_let_the_loop_run)  # type: ignore[union-attr]
    raise AssertionError("The service did not become ready.")


async def _let_the_loop_run() -> None:
    await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
