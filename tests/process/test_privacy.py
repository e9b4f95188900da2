"""Nobody but the user who runs the service reads what it writes."""

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from app.client import Client
from app.process.privacy import close_to_others
from app.settings import Settings
from tests.support.paths import INKBLOT, ROOT, SAMPLES
from tests.support.pictures import shapes, zipped
from tests.support.service import free_port, wait_for_process


def readable_by_others(folder: Path) -> list[str]:
    paths = [folder, *folder.rglob("*")]
    return [str(path) for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.mark.slow
def test_all_that_the_service_and_its_worker_write_is_closed_to_others(tmp_path: Path) -> None:
    folder, url = tmp_path / "var", f"http://127.0.0.1:{free_port()}"
    environ = os.environ | {
        "INKBLOT_DATA_DIR": str(folder),
        "INKBLOT_DEFAULT_MODEL": "imagenet",
        "INKBLOT_ENGINE": "torch",
    }
    process = subprocess.Popen(
        [*INKBLOT, "serve", "--port", url.rpartition(":")[2]], cwd=ROOT, env=environ, umask=0o022
    )
    try:
        with Client(url) as client:
            wait_for_process(client, process)
            client.classify(SAMPLES / "cat.jpg")
            (tmp_path / "shapes.zip").write_bytes(zipped(shapes()))
            jobs = [client.draw(objective={"label": "zebra"}, preset="raw", steps=2, size=64)]
            with (tmp_path / "shapes.zip").open("rb") as archive:
                jobs.append(client.teach(archive, name="shapes"))
            ends = [list(client.follow(job))[-1]["data"]["status"] for job in jobs]
            while_it_runs = readable_by_others(folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert ends == ["succeeded"] * 2
    written = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert {"files", "jobs.sqlite", "models"} <= written
    assert while_it_runs == readable_by_others(folder) == []


def test_what_an_earlier_version_left_open_is_closed_at_the_start(tmp_path: Path) -> None:
    for name in ("files", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    for name in ("jobs.sqlite", "jobs.sqlite-wal", "not-ours.txt"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    close_to_others(Settings(data_dir=tmp_path))
    assert readable_by_others(tmp_path / "files") == readable_by_others(tmp_path / "models") == []
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.is_file()}
    assert modes == {"jobs.sqlite": 0o600, "jobs.sqlite-wal": 0o600, "not-ours.txt": 0o644}
