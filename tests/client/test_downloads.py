import re
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random

import pytest

from app.client.downloads import DownloadError, download
from tests.support.http_server import send, serving
from tests.support.service import free_port

FILE = Random(0).randbytes(700_000)
DIGITS = sha256(FILE).hexdigest()[:8]
NO_PAUSES = (0.0, 0.0)
Serve = Callable[[BaseHTTPRequestHandler], None]


def fetched(serve: Serve, path: Path, **choices: str) -> tuple[bytes, list[tuple[int, int | None]]]:
    watched: list[tuple[int, int | None]] = []
    with serving(serve) as url:
        sha = choices.get("sha256", DIGITS)
        download(f"{url}/vgg.pth", path, sha256=sha, watch=lambda *seen: watched.append(seen), pauses=NO_PAUSES)
    assert [one.name for one in path.parent.iterdir()] == [path.name], "no part is left"
    return path.read_bytes(), watched


def start_of(request: BaseHTTPRequestHandler) -> int:
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    return int(found[1]) if found else 0


def send_from(request: BaseHTTPRequestHandler, data: bytes, *, most: int | None = None) -> None:
    """As a server does that knows ranges; it hangs up after `most` bytes."""
    start = start_of(request)
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    request.send_header("Content-Length", str(len(data) - start))
    request.end_headers()
    request.wfile.write(data[start:][:most])


def test_a_file_comes_whole_and_its_progress_is_told(tmp_path: Path) -> None:
    data, watched = fetched(lambda request: send(request, FILE), tmp_path / "deep/vgg.pth")
    assert data == FILE
    assert watched[-1] == (len(FILE), len(FILE))
    assert [done for done, _ in watched] == sorted(done for done, _ in watched)


def test_a_line_that_breaks_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    starts: list[int] = []

    def serve(request: BaseHTTPRequestHandler) -> None:
        starts.append(start_of(request))
        send_from(request, FILE, most=100_000)

    data, watched = fetched(serve, tmp_path / "vgg.pth")
    assert data == FILE
    assert starts == [100_000 * number for number in range(7)], "nothing was sent twice"
    assert {total for _, total in watched} == {len(FILE)}


def test_what_an_earlier_call_left_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "vgg.pth.part").write_bytes(FILE[:650_000])
    starts: list[int] = []

    def serve(request: BaseHTTPRequestHandler) -> None:
        starts.append(start_of(request))
        send_from(request, FILE)

    assert fetched(serve, tmp_path / "vgg.pth")[0] == FILE
    assert starts == [650_000]


def test_a_part_that_is_whole_already_is_only_checked(tmp_path: Path) -> None:
    (tmp_path / "vgg.pth.part").write_bytes(FILE)
    assert fetched(lambda request: send(request, b"", 416), tmp_path / "vgg.pth")[0] == FILE


@pytest.mark.parametrize("left", [b"of another file", Random(1).randbytes(900_000)])
def test_a_part_of_another_file_is_thrown_away(left: bytes, tmp_path: Path) -> None:
    (tmp_path / "vgg.pth.part").write_bytes(left)

    def serve(request: BaseHTTPRequestHandler) -> None:
        if start_of(request) >= len(FILE):
            send(request, b"", 416)
        else:
            send_from(request, FILE)

    assert fetched(serve, tmp_path / "vgg.pth")[0] == FILE


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    (tmp_path / "vgg.pth.part").write_bytes(FILE[:1000])
    assert fetched(lambda request: send(request, FILE), tmp_path / "vgg.pth")[0] == FILE


def test_a_server_that_stumbles_is_asked_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def serve(request: BaseHTTPRequestHandler) -> None:
        asked.append(1)
        send(request, FILE) if len(asked) > 2 else send(request, b"busy", 503)

    assert fetched(serve, tmp_path / "vgg.pth")[0] == FILE


def claiming(length: int) -> Serve:
    return lambda request: send(request, FILE, 200, **{"Content-Length": str(length)})


def test_a_length_that_is_too_large_does_not_matter_where_the_bytes_are_right(tmp_path: Path) -> None:
    assert fetched(claiming(len(FILE) + 1000), tmp_path / "vgg.pth")[0] == FILE


@pytest.mark.parametrize(
    ("serve", "told"),
    [
        (claiming(len(FILE) - 1000), f"is another file: its SHA-256 does not begin with {DIGITS}"),
        (lambda request: send(request, FILE[::-1]), "is another file"),
        (lambda request: send(request, b"<html>Sign in to this network</html>"), "is another file"),
        (lambda request: send(request, b"gone", 404), "is not there: it answers 404"),
        (lambda request: send(request, b"ill", 500), "breaks off again and again (it answers 500)"),
        (lambda request: send(request, b"", 302, Location="/vgg.pth"), "breaks off again and again"),
        (lambda request: send(request, FILE[:9], 200, **{"Content-Length": "99"}), "breaks off again and again"),
    ],
)
def test_what_is_not_the_file_is_told_and_what_was_there_stays(serve: Serve, told: str, tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    path.write_bytes(b"before")
    with serving(serve) as url, pytest.raises(DownloadError, match=re.escape(told)):
        download(f"{url}/vgg.pth", path, sha256=DIGITS, watch=lambda *_: None, pauses=NO_PAUSES)
    assert path.read_bytes() == b"before"


def test_nobody_there_and_a_folder_that_cannot_be_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="breaks off again and again"):
        download(f"http://127.0.0.1:{free_port()}/x", tmp_path / "x", sha256=DIGITS, watch=print, pauses=NO_PAUSES)
    with pytest.raises(DownloadError, match="cannot be written"):
        download("http://127.0.0.1:9/x", tmp_path / "file/x", sha256=DIGITS, watch=print, pauses=NO_PAUSES)
    with pytest.raises(DownloadError):
        download("no address", tmp_path / "x", sha256=DIGITS, watch=print, pauses=NO_PAUSES)
