"""A disk without room: whatever would be written is refused as a whole, and taken again when there is room."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.support.disks import mounted
from tests.support.pictures import shapes, zipped
from tests.support.service import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

IDEAL = {"objective": {"label": "zebra"}, "steps": 7}


def fill(folder: Path) -> Path:
    """A file that takes what there is, to the last page."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    continue
    return path


def written(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("jobs.sqlite")}


def test_a_full_disk_refuses_whatever_would_be_written_and_takes_it_when_there_is_room(
    tmp_path: Path, settings: Settings, dog: bytes
) -> None:
    archive = zipped(shapes())
    with (
        mounted(tmp_path / "disk", "size=64m") as folder,
        TestClient(create_app(replace(settings, data_dir=folder)), raise_server_exceptions=False) as client,
    ):
        wait_until_ready(client)

        def submit() -> Any:
            return client.post("/v1/ideal-images", json=IDEAL)

        first = submit().json()
        writes: list[Callable[[], Any]] = [
            lambda: client.post("/v1/adversarial-images", params={"target": "zebra"}, content=dog),
            lambda: client.post("/v1/models", params={"name": "shapes"}, content=archive),
            lambda: client.post(
                "/v1/models", params={"name": "shapes"}, files=[("files", (n, b)) for n, b in shapes().items()]
            ),
            lambda: client.get("/v1/models/pets/export"),
        ]
        filler = fill(folder)
        before = written(folder)
        accepted = [first["id"]]
        while (refused := submit()).status_code == 202:  # the log of the database has some room of its own
            accepted.append(refused.json()["id"])
        for answer in (refused, *(write() for write in writes)):
            assert (answer.status_code, answer.json()["type"]) == (507, "/problems/storage-full")
        assert written(folder) == before
        listed = client.get("/v1/jobs", params={"limit": 100}).json()["data"]
        assert {job["id"] for job in listed} == set(accepted)
        assert client.post("/v1/classify", content=dog).status_code == 200
        filler.unlink()
        for answer in (submit(), *(write() for write in writes)):
            assert answer.status_code in {200, 202}, answer.text
        assert client.delete(first["links"]["self"]).status_code == 204
