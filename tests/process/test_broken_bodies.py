"""What stops being HTTP in the middle of a body is refused at once, whoever was reading it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from starlette.types import Receive, Scope, Send

from tests.support.lines import GET, REFUSAL, answers, application, one_answer, problem_in, serving

CHUNKED = b"Host: localhost\r\nTransfer-Encoding: chunked\r\n"
BROKEN = b"3\r\nabc\r\nthis is no size\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'


def post(path: str, body: bytes = BROKEN, content_type: bytes = b"application/octet-stream") -> bytes:
    return f"POST {path} HTTP/1.1\r\n".encode() + CHUNKED + b"Content-Type: " + content_type + b"\r\n\r\n" + body


class Reader:
    """Reads each body to its end before it answers, but answers what is under `/slow` when it is let."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked: list[str] = []
        self.gone: list[str] = []
        self.has_seen_it_go = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.append(scope["path"])
                self.has_seen_it_go.set()
                return
            more = message.get("more_body", False)
        if scope["path"].startswith("/slow"):
            await asyncio.to_thread(self.may_answer.wait, 20)
        await application(scope, receive, send)


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(20)
        yield line


def test_the_client_gets_a_400_and_the_application_learns_that_no_more_will_come() -> None:
    reader = Reader()
    with serving(reader) as port, connected(port) as line:
        line.sendall(post("/body"))
        assert problem_in(answers(line)) == (400, "malformed-request")
        assert reader.has_seen_it_go.wait(20)
        assert reader.gone == ["/body"]


def test_it_may_break_long_after_it_began() -> None:
    reader = Reader()
    with serving(reader) as port, connected(port) as line:
        line.sendall(post("/body", b"3\r\nabc\r\n"))
        with connected(port) as other:  # by then it has been asked
            other.sendall(GET)
            one_answer(other)
        assert reader.asked == ["/body", "/ok"]
        line.sendall(b"\xff\xff\xff\r\n")
        assert problem_in(answers(line)) == (400, "malformed-request")
        assert reader.has_seen_it_go.wait(20)


def test_behind_another_request_it_costs_that_one_nothing_and_is_not_begun() -> None:
    reader = Reader()
    with serving(reader) as port, connected(port) as line:
        line.sendall(GET.replace(b"/ok", b"/slow/1") + GET.replace(b"/ok", b"/slow/2") + post("/body"))
        with connected(port) as other:
            other.sendall(GET)
            one_answer(other)
        reader.may_answer.set()
        found = answers(line)
        assert found.count(b"HTTP/1.1 200") == found.count(REFUSAL) == 2
        assert found.count(b"HTTP/1.1") == 2, "a third would be taken for the answer to a later request"
        assert sorted(reader.asked) == ["/ok", "/slow/1", "/slow/2"]


def test_of_a_body_that_was_answered_already_nothing_more_is_said() -> None:
    with serving(application) as port, connected(port) as line:
        line.sendall(post("/ok", b"3\r\nabc\r\n"))
        found = one_answer(line)
        line.sendall(b"this is no size\r\n" + GET)
        assert (found + answers(line)).count(b"HTTP/1.1") == 1


def half_close(line: socket.socket) -> None:
    line.shutdown(socket.SHUT_WR)


def reset(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    line.close()


@pytest.mark.parametrize("leave", [half_close, reset])
def test_what_runs_learns_that_its_client_has_gone_although_more_was_asked_behind_it(
    leave: Callable[[socket.socket], None],
) -> None:
    begun, gone = threading.Event(), threading.Event()

    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/events":
            return await application(scope, receive, send)
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        return None

    with serving(listen) as port, connected(port) as line:
        line.sendall(GET.replace(b"/ok", b"/events") + GET)
        assert begun.wait(20)
        leave(line)
        assert gone.wait(20)


RAW, FORM = b"application/octet-stream", b"multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("path", "content_type", "begins"),
    [
        ("/v1/classify", RAW, b"\xff\xd8\xff"),
        ("/v1/classify", FORM, PART),
        ("/v1/explanations", FORM, PART),
        ("/v1/adversarial-images?target=tabby", FORM, PART),
        ("/v1/models?name=broken", RAW, b"PK"),
        ("/v1/models?name=broken", FORM, PART),
        ("/v1/ideal-images", b"application/json", b"{"),
        ("/v2/models/imagenet/infer", b"application/json", b"{"),
    ],
)
def test_the_service_refuses_it_in_every_way_that_it_reads_bodies(
    server: str, path: str, content_type: bytes, begins: bytes
) -> None:
    """A minute later it would be a 408."""
    with connected(int(server.rpartition(":")[2])) as line:
        line.sendall(post(path, b"%x\r\n%s\r\n" % (len(begins), begins), content_type))
        line.sendall(b"this is no size\r\n")
        assert problem_in(answers(line)) == (400, "malformed-request")
