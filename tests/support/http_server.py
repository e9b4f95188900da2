"""Servers that answer what a test wants."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2

from app.client import Client


def answering(*answers: httpx2.Response) -> tuple[Client, list[httpx2.Request]]:
    """A client of something that gives these answers in turn, and what it was asked."""
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return answers[min(len(asked), len(answers)) - 1]

    return Client(http=httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://inkblot")), asked


def problem(slug: str, status: int, retry_after: str | None = None, **more: object) -> httpx2.Response:
    headers = {"Retry-After": retry_after} if retry_after is not None else {}
    body = {"type": f"/problems/{slug}", "title": "A title", "status": status, "request_id": "r1", **more}
    return httpx2.Response(status, json=body, headers=headers)


@contextmanager
def serving(handle: Callable[[BaseHTTPRequestHandler], None], *, port: int = 0) -> Iterator[str]:
    """The address of a web server that answers every GET with `handle`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            handle(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as in the base class
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up in the middle is what these tests want."""

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(request: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)
