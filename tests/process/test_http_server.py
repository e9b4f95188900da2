"""What a client may send, and how long it may hold a connection, against a real server on a real line."""

import asyncio
import http.client
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from select import select
from typing import Any, ClassVar, cast

import pytest
from starlette.types import Receive, Scope, Send

from app.process import http_server
from app.process.http_server import Connection
from tests.support.lines import GET, REFUSAL, answers, application, one_answer, problem_in, serving


@pytest.fixture
def port() -> Iterator[int]:
    with serving(application) as port:
        yield port


def send_for_ever(line: socket.socket) -> None:
    line.settimeout(20)
    while True:
        line.sendall(bytes(1000))


def test_what_is_no_whole_request_is_a_line_of_the_log_too(port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(b"no request\r\n\r\n")
        answer = answers(line)
    assert problem_in(answer) == (400, "malformed-request")
    (record,) = [one for one in caplog.records if one.name == "app.api.exchange"]
    assert vars(record)["fields"] == {"status": 400, "problem": "malformed-request"}
    assert vars(record)["request_id"] == json.loads(answer.partition(b"\r\n\r\n")[2])["request_id"]


def test_a_head_without_end_is_refused_long_before_it_is_long(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(b"GET /ok HTTP/1.1\r\nX-Long: ")
        while not select([line], [], [], 0.001)[0]:
            line.sendall(b"a" * 4096)
        answer = answers(line)
        assert problem_in(answer) == (431, "head-too-large")


@pytest.mark.parametrize("large", [b"X: " + b"a" * 40_000, b"\r\n".join(b"X%d: a" % n for n in range(5000))])
def test_a_whole_head_may_be_too_large_too(port: int, large: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(b"GET /ok HTTP/1.1\r\nHost: localhost\r\n" + large + b"\r\n\r\n")
        assert problem_in(answers(line)) == (431, "head-too-large")


def test_a_head_that_stops_in_the_middle_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.2)
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for line in lines:
        line.sendall(b"GET /ok HTTP/1.1\r\nHost: local")
    for line in lines:
        assert problem_in(answers(line)) == (408, "request-timeout")
        line.close()


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.2)
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        assert answers(line) == b""


def test_the_second_head_of_a_connection_has_the_same_limits(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.2)
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(GET)
        assert one_answer(line).startswith(b"HTTP/1.1 200")
        line.sendall(b"GET /ok HTTP/1.1\r\nHost: local")
        assert problem_in(answers(line)) == (408, "request-timeout")


def test_what_is_no_http_is_told_so_by_a_problem(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(b"\x16\x03\x01 this is something else\r\n\r\n")
        assert problem_in(answers(line)) == (400, "malformed-request")


def test_a_client_that_looks_at_no_answer_until_it_has_sent_all_sees_the_refusal(port: int) -> None:
    body = bytes(100_000_000)
    for _ in range(3):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("POST", "/early", body)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (413, REFUSAL)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/early", body)
    with refused.value as problem:
        assert (problem.code, problem.read()) == (413, REFUSAL)


def test_a_body_of_untold_length_is_dropped_too(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/early", (bytes(1_000_000) for _ in range(50)), encode_chunked=True)
        assert connection.getresponse().status == 413


def test_what_is_dropped_has_a_bound(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "DROPPED_BYTES", 1_000_000)
    for path in ("/early", "/ok"):
        with closing(socket.create_connection(("127.0.0.1", port))) as line:
            line.settimeout(20)
            line.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
            with pytest.raises(ConnectionError):
                send_for_ever(line)


@pytest.mark.parametrize("path", ["/early", "/ok"])
def test_what_is_dropped_has_an_end(port: int, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "DROPPED_S", 0.2)
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode())
        assert REFUSAL in answers(line)
        with pytest.raises(ConnectionError):
            send_for_ever(line)


def test_a_connection_goes_on_after_a_body_that_nobody_read(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(b"POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n")
        assert one_answer(line).startswith(b"HTTP/1.1 200")
        line.sendall(bytes(3_000_000) + GET)
        assert one_answer(line).startswith(b"HTTP/1.1 200")


def test_garbage_behind_a_request_does_not_cost_it_its_answer(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(GET + b"\x16\x03\x01 garbage\r\n\r\n")
        assert REFUSAL in answers(line)


def test_the_end_of_the_server_waits_for_nobody_who_sends_nothing() -> None:
    with serving(application) as port:
        lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        lines[0].sendall(GET[:10])
        lines[1].sendall(b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        assert one_answer(lines[1]).startswith(b"HTTP/1.1 413")
        began = time.monotonic()
    assert time.monotonic() - began < http_server.HEAD_S
    for line in lines:
        line.close()


def test_a_dropped_body_that_ends_with_the_next_request_does_not_cut_that_one_off() -> None:
    """The end of the body starts the clock of an idle connection, which this one is not."""
    asked = threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await asyncio.to_thread(asked.wait, 20)
        await application(scope, receive, send)

    with serving(slow, keep_alive_s=0) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        assert one_answer(line).startswith(b"HTTP/1.1 200")
        line.sendall(b"body" + b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port)) as other:  # a turn of the loop, in which the clock would end
            other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one_answer(other).startswith(b"HTTP/1.1 200")
        asked.set()
        assert one_answer(line).startswith(b"HTTP/1.1 200")


def test_an_empty_line_does_not_hold_a_connection_for_ever(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.2)
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one_answer(line).startswith(b"HTTP/1.1 200")
        line.sendall(b"\r\n")
        answers(line)  # comes to its end


class Written(Connection):
    """Keeps what it writes, piece by piece."""

    pieces: ClassVar[list[bytes]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", Kept(transport, self.pieces)))


class Kept:
    def __init__(self, transport: asyncio.Transport, pieces: list[bytes]) -> None:
        self._transport, self._pieces = transport, pieces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._transport.write(data)


@pytest.mark.parametrize("ends", [b"", b"Connection: close\r\n"])
def test_a_short_answer_is_one_piece_so_that_a_killed_process_leaves_no_half_of_it(ends: bytes) -> None:
    Written.pieces.clear()
    with (
        serving(application, connection=Written) as port,
        closing(socket.create_connection(("127.0.0.1", port))) as line,
    ):
        line.sendall(GET.replace(b"\r\n\r\n", b"\r\n" + ends + b"\r\n"))
        answer = one_answer(line)
    assert Written.pieces == [answer]
    assert answer.endswith(b"\r\n\r\n" + REFUSAL)


def test_the_head_of_an_answer_that_goes_on_later_does_not_wait_for_it() -> None:
    seen = threading.Event()

    async def later(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await asyncio.to_thread(seen.wait, 20)
        await send({"type": "http.response.body", "body": b"yes"})

    with serving(later) as port, closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.settimeout(20)
        line.sendall(GET)
        head = line.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert head.endswith(b"\r\n\r\n")
        seen.set()
        assert line.recv(65536) == b"yes"


@pytest.mark.parametrize(("method", "status", "body"), [(b"HEAD", 200, b"xyz"), (b"GET", 204, b""), (b"GET", 304, b"")])
def test_an_answer_without_a_body_is_its_head(method: bytes, status: int, body: bytes) -> None:
    async def bare(_scope: Scope, _receive: Receive, send: Send) -> None:
        length = [(b"content-length", b"3")] * bool(body)
        await send({"type": "http.response.start", "status": status, "headers": length})
        await send({"type": "http.response.body", "body": body})

    with serving(bare) as port, closing(socket.create_connection(("127.0.0.1", port))) as line:
        for _ in range(2):
            line.settimeout(20)
            line.sendall(GET.replace(b"GET", method))
            answer = line.recv(65536)
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert answer.endswith(b"\r\n\r\n")


def test_a_large_body_is_whole() -> None:
    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"y" * 10})

    with serving(large) as port, closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(GET)
        _, _, body = answers(line).partition(b"\r\n\r\n")
    assert (body.count(b"x"), body.count(b"y")) == (100_000, 10)
