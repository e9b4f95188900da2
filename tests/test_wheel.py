"""The wheel is whole: installed into an empty folder it serves with its models and its web files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.client import Client, NoServerError
from tests.support.paths import ROOT, SAMPLES
from tests.support.service import free_port

pytestmark = pytest.mark.slow


def test_what_the_wheel_installs_serves_from_an_empty_folder(tmp_path: Path) -> None:
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("inkblot-*.whl")
    site, empty, port = tmp_path / "site", tmp_path / "empty", free_port()
    empty.mkdir()
    subprocess.run([*uv, "pip", "install", "--quiet", "--no-deps", "--target", site, wheel], check=True)
    environ = os.environ | {"PYTHONPATH": str(site), "INKBLOT_WORKER": "external", "INKBLOT_ENGINE": "torch"}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=empty, env=environ)
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            while True:
                try:
                    ready = client.ready()
                    break
                except NoServerError:
                    assert process.poll() is None
            assert ready["status"] == "ready"
            assert {"cats-vs-dogs", "imagenet", "pets"} <= {model["name"] for model in client.models()}
            prediction = client.classify((SAMPLES / "cat.jpg").read_bytes())
            assert prediction["predictions"][0]["label"] == "cat"
            assert b"swagger" in client.file("/docs/")
    finally:
        process.terminate()
        process.wait(20)
    assert (site / "app/py.typed").is_file()
