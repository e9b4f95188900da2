import errno
import logging
import os
from pathlib import Path

import pytest

from app.jobs.files import FileStore
from app.jobs.writer import Writer


class FullStore(FileStore):
    """A store on a disk that is full, until it is given room."""

    has_room = False

    def keep(self, job: str, name: str, data: bytes | Path) -> None:
        if not self.has_room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().keep(job, name, data)


def test_a_full_disk_is_told_once_and_again_only_after_there_was_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files, writer = FullStore(str(tmp_path), max_bytes=1 << 20), Writer()

    def write(number: int) -> None:
        name = f"job_{number}"
        writer.write("checkpoint", name, lambda: files.keep(name, "checkpoint", b"%d" % number))
        writer.afterwards(lambda: None).result(10)

    for number in range(3):
        write(number)
    assert [(record.levelno, record.args) for record in caplog.records] == [(logging.ERROR, ("checkpoint", "job_0"))]
    assert "No space left" in caplog.text
    files.has_room = True
    write(3)
    assert files.kept("job_3", "checkpoint") == b"3"
    files.has_room = False
    write(4)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING, logging.ERROR]


def test_a_preview_that_fails_is_told_although_checkpoints_do_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files, writer = FullStore(str(tmp_path), max_bytes=1 << 20), Writer()
    writer.write("preview", "job_1", lambda: files.put("job_1", "preview.webp", b"a picture"))
    writer.write("checkpoint", "job_1", lambda: files.keep("job_1", "checkpoint", b"a state"))
    writer.afterwards(lambda: None).result(10)
    assert [record.args for record in caplog.records] == [("checkpoint", "job_1")]
    assert files.get("job_1", "preview.webp") == b"a picture"
