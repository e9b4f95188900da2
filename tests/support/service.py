"""What it takes to wait for a service."""

import asyncio
import socket
import time
from typing import TYPE_CHECKING

from fastapi.testclient import TestClient

from app.client import Client, NoServerError

if TYPE_CHECKING:
    import subprocess


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


def wait_for_process(client: Client, process: "subprocess.Popen[bytes]") -> None:
    """Until the service that runs in the process is ready; the time is only for the case that it never is."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        try:
            assert client.ready()["status"] == "ready"
        except NoServerError:
            assert process.poll() is None
            time.sleep(0.1)
        else:
            return
    raise AssertionError("The service does not answer.")
