import errno
import logging
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.jobs.files import FileStore, StorageDownError
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


def test_of_what_waits_for_a_store_that_hangs_only_the_newest_of_each_kind_and_job_is_written() -> None:
    writer, hangs, written = Writer(), threading.Event(), list[tuple[str, str, int]]()
    writer.write("checkpoint", "job_1", lambda: hangs.wait(20))
    for number in range(100):
        for kind, job in (("checkpoint", "job_1"), ("preview", "job_1"), ("checkpoint", "job_2")):
            writer.write(kind, job, partial(written.append, (kind, job, number)))
    tidied = writer.afterwards(lambda: written.append(("tidied", "job_1", 0)))
    assert len(writer._newest) == 3
    hangs.set()
    tidied.result(10)
    newest = [("checkpoint", "job_1", 99), ("preview", "job_1", 99), ("checkpoint", "job_2", 99)]
    assert written == [*newest, ("tidied", "job_1", 0)]
    writer.write("checkpoint", "job_1", lambda: written.append(("checkpoint", "job_1", 100)))
    writer.afterwards(lambda: None).result(10)
    assert written[-1] == ("checkpoint", "job_1", 100)


@pytest.mark.parametrize(
    "ask",
    [
        lambda files: files.put("job_1", "final.png", b"a picture"),
        lambda files: files.keep("job_1", "checkpoint", bytes(12_000_000)),
        lambda files: files.kept("job_1", "checkpoint"),
        lambda files: files.open_kept("job_1", "upload"),
        lambda files: files.forget("job_1"),
        lambda files: files.check_room(),
    ],
    ids=["put", "keep", "kept", "open_kept", "forget", "check_room"],
)
def test_a_bucket_that_takes_connections_and_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[FileStore], object]
) -> None:
    """After four questions at most; obstore's own bound is eleven, and each waits for its thirty seconds."""
    with socket.create_server(("127.0.0.1", 0)) as bucket:
        lines: list[socket.socket] = []

        def listen() -> None:
            while True:
                try:
                    lines.append(bucket.accept()[0])
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        place = {"ENDPOINT": f"http://127.0.0.1:{bucket.getsockname()[1]}", "REGION": "here", "ALLOW_HTTP": "true"}
        for name, value in {**place, "SKIP_SIGNATURE": "true", "TIMEOUT": "200ms"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        files = FileStore("s3://bucket/folder", max_bytes=1 << 20)
        with pytest.raises(StorageDownError):
            ask(files)
        bucket.shutdown(socket.SHUT_RDWR)
        assert 1 <= len(lines) <= 4
        for line in lines:
            line.close()
