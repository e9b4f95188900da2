import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before PyTorch is loaded: threads that spin while they wait take the processors from the workers beside the tests.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from fastapi.testclient import TestClient

from app.client import Client, NoServerError
from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "app" / "web" / "samples"
INKBLOT = [sys.executable, "-m", "app"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Photos and weights for development; they lie beside the checkout, if at all."""
    for folder in ROOT.parents:
        if (folder / "shared" / "data").is_dir():
            return folder / "shared" / "data"
    pytest.skip("needs the development photos in ../shared/data")


@pytest.fixture(scope="session")
def dog() -> bytes:
    return (SAMPLES / "basenji.png").read_bytes()


@pytest.fixture(scope="session")
def cat() -> bytes:
    return (SAMPLES / "cat.jpg").read_bytes()


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        data_dir=tmp_path_factory.mktemp("var"), engine="torch", worker="external", default_model="imagenet"
    )


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[TestClient]:
    """The real application with its bundled model, ready."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `inkblot serve` in a process of its own, ended by SIGTERM."""
    url = f"http://127.0.0.1:{free_port()}"
    ours = {"DATA_DIR": str(tmp_path_factory.mktemp("var")), "ENGINE": "torch", "DEFAULT_MODEL": "imagenet"}
    environ = os.environ | {f"INKBLOT_{name}": value for name, value in ours.items()}
    process = subprocess.Popen([*INKBLOT, "serve", "--port", url.rpartition(":")[2]], cwd=ROOT, env=environ)
    with Client(url) as client:
        for _ in range(300):
            try:
                assert client.ready()["status"] == "ready"
                break
            except NoServerError:
                assert process.poll() is None
                time.sleep(0.1)
    yield url
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
