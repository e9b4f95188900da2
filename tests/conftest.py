import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before PyTorch is loaded: threads that spin while they wait take the processors from the workers beside the tests.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from functools import partialmethod
from typing import Any

from fastapi.testclient import TestClient

from app.audit import AUDIT
from app.client import Client
from app.main import create_app
from app.settings import Settings
from tests.support.paths import INKBLOT, ROOT, SAMPLES
from tests.support.service import free_port, wait_for_process, wait_until_ready

# A service that listens on loopback does not answer for the host "testserver".
TestClient.__init__ = partialmethod(TestClient.__init__, base_url="http://localhost")  # type: ignore[assignment]


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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `inkblot serve` in a process of its own, ended by SIGTERM."""
    url = f"http://127.0.0.1:{free_port()}"
    ours = {"DATA_DIR": str(tmp_path_factory.mktemp("var")), "ENGINE": "torch", "DEFAULT_MODEL": "imagenet"}
    environ = os.environ | {f"INKBLOT_{name}": value for name, value in ours.items()}
    process = subprocess.Popen([*INKBLOT, "serve", "--port", url.rpartition(":")[2]], cwd=ROOT, env=environ)
    with Client(url) as client:
        wait_for_process(client, process)
    yield url
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.fixture
def audited() -> Iterator[list[dict[str, Any]]]:
    """The fields of what the audit is told; pytest's own capturing depends on whether an earlier test began a log."""
    told: list[dict[str, Any]] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.__dict__["fields"])

    logger, keeper = logging.getLogger(AUDIT), Keeper()
    level = logger.level
    logger.addHandler(keeper)
    logger.setLevel(logging.INFO)
    yield told
    logger.removeHandler(keeper)
    logger.setLevel(level)
