import os
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir

import pytest

from app.process.places import CannotServeError, check_places, unusable_places
from app.settings import Settings
from tests.support.commands import run
from tests.support.disks import mounted
from tests.support.service import free_port

NOBODY = 65534


def subjects(settings: Settings) -> list[str]:
    return [subject for subject, _ in unusable_places(settings)]


def as_nobody(what: Callable[[], str]) -> str:
    """What it says in a process of another user; skips where this one may not become that."""
    if not hasattr(os, "fork") or os.geteuid() != 0:
        pytest.skip("needs to be root, to become somebody else")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(NOBODY)
        os.write(writing, what().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


def test_places_that_are_there_or_can_be_made_are_no_obstacle(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "new" / "var",
        weights_dir=tmp_path,
        database_url="postgresql://ada:secret@machine:5432/jobs",
        files_url="s3://bucket/folder",
    )
    assert subjects(settings) == []
    assert (tmp_path / "new" / "var").is_dir()


def test_a_file_in_the_place_of_the_data_folder_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(CannotServeError, match=r"it is a file.*INKBLOT_DATA_DIR"):
        check_places(Settings(data_dir=tmp_path / "var"))
    with pytest.raises(CannotServeError, match="a part of its path is a file"):
        check_places(Settings(data_dir=tmp_path / "var" / "below"))


def test_a_disk_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "disk", "ro", "size=1m") as folder,
        pytest.raises(CannotServeError, match="Read-only file system"),
    ):
        check_places(Settings(data_dir=folder / "var"))


def test_a_full_disk_is_not_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=64k") as folder:
        with pytest.raises(OSError, match="No space"):
            (folder / "all").write_bytes(bytes(1 << 20))
        assert subjects(Settings(data_dir=folder)) == []


def test_a_folder_or_a_database_of_another_user_is_refused_by_its_name(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m", "mode=755") as folder:
        for parent in takewhile(lambda path: path != Path(gettempdir()), (tmp_path, *tmp_path.parents)):
            parent.chmod(0o755)

        def reason() -> str:
            return " ".join(sentence for _, sentence in unusable_places(Settings(data_dir=folder)))

        assert "Permission denied" in as_nobody(reason)
        folder.chmod(0o777)
        assert as_nobody(reason) == ""
        (folder / "jobs.sqlite").touch(mode=0o600)
        assert "jobs.sqlite cannot be written (it belongs to root)" in as_nobody(reason)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("weights_dir", Path("/nowhere/at/all"), "INKBLOT_WEIGHTS_DIR=/nowhere/at/all is no folder"),
        ("database_url", "mysql://machine/jobs", "names mysql"),
        ("database_url", "machine:5432", "is no address of a database"),
        ("database_url", "postgresql://machine:port/jobs", "is no address of a database"),
        ("files_url", "ftp://machine/folder", "INKBLOT_FILES_URL=ftp://machine/folder cannot be"),
    ],
)
def test_an_address_that_can_never_work_is_refused(tmp_path: Path, setting: str, value: object, sentence: str) -> None:
    with pytest.raises(CannotServeError) as refused:
        check_places(Settings(data_dir=tmp_path, **{setting: value}))  # type: ignore[arg-type]
    assert sentence in str(refused.value)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_service_and_a_worker_do_not_start_with_what_can_never_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "var").write_text("")
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("INKBLOT_PORT", str(free_port()))
    status, _, err = run(command)
    assert status == 2
    assert "it is a file" in err


def test_doctor_fails_for_weights_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INKBLOT_WEIGHTS_DIR", str(tmp_path / "weights"))
    status, out, _ = run("doctor")
    assert status == 1
    assert "weights: INKBLOT_WEIGHTS_DIR=" in out
