"""SIGTERM ends a service that somebody listens to, and the listener goes on with the next one."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from app.client import Client, JobEvent, NoServerError
from tests.support.paths import INKBLOT, ROOT
from tests.support.service import free_port

pytestmark = pytest.mark.slow

LEAVE_S = 20
"""uvicorn waits 30 s for those who are still being answered."""


@contextmanager
def serving(port: int, data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    ours = {"DATA_DIR": str(data_dir), "ENGINE": "torch", "DEFAULT_MODEL": "imagenet", "WORKER": "external"}
    environ = os.environ | {f"INKBLOT_{name}": value for name, value in ours.items()}
    process = subprocess.Popen([*INKBLOT, "serve", "--port", str(port)], cwd=ROOT, env=environ)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LEAVE_S) == 0


def test_streams_end_with_the_service_and_are_taken_up_again(tmp_path: Path) -> None:
    port = free_port()
    told: list[JobEvent] = []
    queued, waited = threading.Event(), threading.Event()
    answer: list[httpx2.Response] = []

    def follow() -> None:
        with Client(f"http://127.0.0.1:{port}") as client:
            for event in client.follow(job):
                told.append(event)
                queued.set()

    def wait() -> None:
        headers = {"Prefer": "wait=60"}
        answer.append(httpx2.get(f"http://127.0.0.1:{port}{job['links']['self']}", headers=headers, timeout=60))
        waited.set()

    with Client(f"http://127.0.0.1:{port}") as client:
        with serving(port, tmp_path) as process:
            ready(client, process)
            job = client.draw(objective={"label": "tabby"}, steps=1)
            listeners = [threading.Thread(target=one) for one in (follow, wait)]
            for listener in listeners:
                listener.start()
            with httpx2.stream("GET", f"http://127.0.0.1:{port}{job['links']['events']}", timeout=60) as stream:
                lines = stream.iter_lines()
                assert next(lines) == "event: queued"
                assert queued.wait(60)
                process.send_signal(signal.SIGTERM)
                assert [line for line in lines if line.startswith(":")][-1] == ": the service ends; come again"
            assert waited.wait(60)
            assert (answer[0].status_code, answer[0].json()["status"]) == (200, "queued")
        with serving(port, tmp_path) as process:
            ready(client, process)
            client.cancel(job["id"])
            listeners[0].join(60)
            assert told[-1]["event"] == "end"
            assert told[-1]["data"]["status"] == "canceled"


def ready(client: Client, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            assert client.ready()["status"] == "ready"
        except NoServerError:
            assert process.poll() is None
            threading.Event().wait(0.1)
        else:
            return
    raise AssertionError("The service did not become ready.")
