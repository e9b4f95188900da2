import os
import time
from pathlib import Path

import pytest

from app.process.cleanup import sweep
from app.settings import Settings


def test_what_killed_processes_left_is_deleted_once_it_is_old(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    drafts = ["uploads/{}.zip", "cache/.draft-{}/model.xml", "models/.draft-{}/v1/head.safetensors"]
    drafts += ["models/.deleted-{}/shapes/model.json", "cache/exports/tmp{}/draft.zip"]
    kept = [tmp_path / name for name in ("models/shapes/model.json", "cache/exports/shapes-1-a.zip", "jobs.sqlite")]
    old = [tmp_path / draft.format("old") for draft in drafts]
    young = [tmp_path / draft.format("young") for draft in drafts]
    for path in (*kept, *old, *young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes")
    hours_ago = time.time() - 7200
    for path in (*kept, *old):
        for one in (path, *path.parents):
            if one.is_relative_to(tmp_path) and one != tmp_path:
                os.utime(one, (hours_ago, hours_ago))
    sweep(settings)
    assert [path for path in old if path.exists()] == []
    assert [path for path in (*kept, *young) if not path.exists()] == []
    assert not (tmp_path / "models/.draft-old").exists()


def test_what_cannot_be_deleted_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "uploads/old.zip"
    archive.parent.mkdir()
    archive.write_bytes(b"")
    os.utime(archive, (0, 0))

    def refuse(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    sweep(Settings(data_dir=tmp_path))
    assert archive.exists()
