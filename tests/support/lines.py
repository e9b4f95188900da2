"""Servers on a real line, and requests that are written by hand."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn import Config

from app.api.exchange import safety_headers
from app.process.http_server import Connection, HttpServer

REFUSAL = b"It is too large."
GET = b"GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """`/early` is refused before its body was read, and its connection closed; anything else is answered at once."""
    assert scope["type"] == "http"
    early = scope["path"] == "/early"
    headers = [(b"content-length", str(len(REFUSAL)).encode())] + [(b"connection", b"close")] * early
    await send({"type": "http.response.start", "status": 413 if early else 200, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSAL})


@contextmanager
def serving(
    app: Callable[..., Any], *, keep_alive_s: int = 5, connection: type[Connection] = Connection
) -> Iterator[int]:
    """The port of a server in a thread."""
    config = Config(
        app,
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=keep_alive_s,
    )
    server = HttpServer(config, on_exit=lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def answers(line: socket.socket) -> bytes:
    """All that comes until the other side has nothing more to say."""
    line.settimeout(20)
    return b"".join(iter(lambda: line.recv(65536), b""))


def one_answer(line: socket.socket) -> bytes:
    line.settimeout(20)
    answer = b""
    while REFUSAL not in answer:
        answer += line.recv(65536)
    return answer


def problem_in(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/problem+json\r\n" in head + b"\r\n"
    problem = json.loads(body)
    assert f"X-Request-Id: {problem['request_id']}\r\n".encode() in head + b"\r\n"
    assert set(safety_headers(embeddable=False)) <= {line.partition(": ")[0] for line in head.decode().split("\r\n")}
    assert int(head.split()[1]) == problem["status"]
    return problem["status"], problem["type"].removeprefix("/problems/")
