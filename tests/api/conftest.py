import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.support.answers import teach
from tests.support.paths import ROOT
from tests.support.pictures import shapes, zipped
from tests.support.service import wait_until_ready


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The real application beside a real worker, with a model of red discs and blue squares."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("var"), engine="torch", worker="external")
    worker = subprocess.Popen([sys.executable, "-m", "app", "worker"], cwd=ROOT, env=os.environ | settings.environ())
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        assert teach(client, "shapes", zipped(shapes(12)))["status"] == "succeeded"
        yield client
    worker.terminate()
    assert worker.wait(20) == 0
