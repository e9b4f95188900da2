"""What it takes to wait for a service."""

import asyncio
import socket

from fastapi.testclient import TestClient


def wait_until_ready(client: TestClient, *, jobs: bool = True) -> None:
    """Until the default model answers, and unless `jobs` is false until jobs are taken."""
    for _ in range(600):
        answer = client.get("/readyz")
        if answer.status_code == 200 and (not jobs or answer.json()["jobs"] == "ready"):
            return
        client.portal.call(_let_the_loop_run)  # type: ignore[union-attr]
    raise AssertionError("The service did not become ready.")


async def _let_the_loop_run() -> None:
    await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
