"""What is allowed, but hardly ever sent; and what is sent without end where nobody looks for it."""

import json
import socket
import threading
from contextlib import suppress

import pytest
from starlette.types import Receive, Scope, Send

from app.process import http_server
from app.process.http_server import HEAD_BYTES, PIPELINED, Connection
from tests.support.lines import GET, answers, problem_in, serving

READ_AT_ONCE = 256 * 1024
"""By asyncio, of which one part may hold many requests."""
OFFER = b"Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """What was asked, as JSON."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    names = {name.decode() for name, _ in scope["headers"]}
    told = {"method": scope["method"], "path": scope["path"], "body": body.decode(), "headers": sorted(names)}
    content = json.dumps(told).encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def told(answer: bytes) -> list[dict[str, object]]:
    """What each of the answers on a line says."""
    return [json.loads("{" + part.partition("}")[0] + "}") for part in answer.decode().split("{")[1:]]


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize(
    ("head", "body"),
    [(b"Content-Length: 5\r\n\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n")],
)
def test_whoever_offers_another_protocol_is_answered_in_this_one(*, head: bytes, body: bytes, pause: bool) -> None:
    """As `curl --http2` and the HTTP client of Java do, with every request."""
    asked = b"POST /v1/classify?top_k=1 HTTP/1.1\r\nHost: localhost\r\n" + OFFER + head
    with serving(echo) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if pause:
            for byte in asked + body:
                line.sendall(bytes([byte]))
        else:
            line.sendall(asked + body)
        line.sendall(b"GET /next HTTP/1.1\r\nHost: localhost\r\n" + OFFER + b"\r\n" + LAST)
        first, second, last = told(answers(line))
    assert (first["method"], first["path"], first["body"]) == ("POST", "/v1/classify", "hello")
    assert "upgrade" not in str(first["headers"])
    assert (second["path"], last["path"]) == ("/next", "/last")


def test_nobody_is_connected_to_elsewhere() -> None:
    with serving(echo) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert problem_in(answers(line)) == (400, "malformed-request")


def test_trailers_without_end_are_refused_long_before_they_fill_the_memory() -> None:
    with serving(echo) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n")
        line.sendall(b"X: a\r\n" * (HEAD_BYTES // 4))
        assert problem_in(answers(line)) == (400, "malformed-request")


def test_a_few_trailers_are_allowed_and_are_no_headers() -> None:
    with serving(echo) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        line.sendall(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
        (answer,) = told(answers(line))
    assert (answer["body"], "x-sum" in str(answer["headers"])) == ("hello", False)


def test_requests_that_are_sent_one_behind_the_other_are_all_answered_and_few_wait_in_memory() -> None:
    """The end of what is read at once is always in the middle of some head."""
    number, longest = 20_000, 0

    class Watched(Connection):
        def on_headers_complete(self) -> None:
            nonlocal longest
            super().on_headers_complete()
            longest = max(longest, len(self.pipeline))

    with serving(echo, connection=Watched) as port, socket.create_connection(("127.0.0.1", port)) as line:
        sending = threading.Thread(target=line.sendall, args=(GET * number + LAST,))
        sending.start()
        found = answers(line)
        sending.join()
    assert found.count(b"HTTP/1.1 200") == number + 1
    assert longest <= PIPELINED + READ_AT_ONCE // len(GET) + 1


@pytest.mark.parametrize("parts", [1, 50])
def test_an_answer_that_its_client_does_not_take_is_given_up(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    monkeypatch.setattr(http_server, "STALL_S", 0.2)
    size, answered, given_up = 50_000_000, threading.Event(), threading.Event()

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        for number in range(1, parts + 1):
            await send({"type": "http.response.body", "body": bytes(size // parts), "more_body": number < parts})
        answered.set()

    class Watched(Connection):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            given_up.set()

    with serving(large, connection=Watched) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(GET)
        assert given_up.wait(20)
        assert answered.wait(20), "the application was told"
        line.settimeout(20)
        taken = 0
        with suppress(ConnectionError):
            while part := line.recv(1 << 20):
                taken += len(part)
        assert taken < size


def test_an_answer_is_whole_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its client takes some of it between two looks."""
    monkeypatch.setattr(http_server, "STALL_S", 5.0)
    size = 50_000_000

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": bytes(size)})

    with serving(large) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(GET)
        assert answers(line).count(b"\0") == size
