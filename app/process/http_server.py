"""The HTTP server: uvicorn, with bounds on what a client may send and for how long it may hold a connection."""

import asyncio
import json
from collections.abc import Callable
from socket import socket
from typing import Any, Final, cast

from fastapi import Request
from uvicorn import Config, Server
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.exchange import new_request_id, safety_headers, tell_refusal
from app.api.problems import MEDIA_TYPE, Problem
from app.process.http_parser import DeafParser

HEAD_BYTES: Final = 32 * 1024
"""Of a request's line and headers together."""
HEAD_S: Final = 10.0
"""In which they must have come."""
DROPPED_BYTES: Final = 512 * 1024 * 1024
"""Of a body that was answered before all of it had come: most clients look at no answer until they have sent it."""
DROPPED_S: Final = 30.0
STALL_S: Final = 60.0
"""In which a client takes nothing of an answer that does not fit into the system's buffers; then it is given up."""
_TOGETHER: Final = 64 * 1024
"""Bytes that are copied rather than written after the head."""
PIPELINED: Final = 100
"""Requests that wait behind another on their connection; with so many no more is read."""
_TOO_LARGE: Final = f"The request's line and headers have more than {HEAD_BYTES:,} bytes."
_MALFORMED: Final = "malformed-request"


class HttpServer(Server):
    """`on_exit` is called with the lifespan's state when the server begins to end, before it waits for its answers."""

    def __init__(self, config: Config, *, on_exit: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._on_exit(self.lifespan.state)
        await super().shutdown(sockets)


class _Line:
    """What an answer sees of its transport: closing it under a client that still sends would lose the answer.

    Its head goes out together with what follows it at once: a process that is killed between them would leave half of
    an answer, which nobody can ask for again.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, close: Callable[[], None]
    ) -> None:
        self._write, self._loop, self._close = transport.write, loop, close
        self.is_closing = transport.is_closing
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        if self._head == b"":
            self._head = data
            self._loop.call_soon(self._send_head)  # at the latest: of a stream it may be all for a while
        elif self._head is not None and len(data) <= _TOGETHER:
            data, self._head = self._head + data, None
            self._write(data)
        else:
            self._send_head()
            self._write(data)

    def close(self) -> None:
        self._send_head()
        self._close()

    def _send_head(self) -> None:
        if self._head:
            self._write(self._head)
        self._head = None


class _Flow(FlowControl):
    """uvicorn's lets each request that asks for its body go on reading, whatever waits behind it already."""

    def __init__(self, transport: asyncio.Transport, may_read: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._may_read = may_read

    def resume_reading(self) -> None:
        if self._may_read():
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """Refuses heads that are too long or too slow; reads and drops, within bounds, bodies that nobody wants."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, lambda: len(self.pipeline) < PIPELINED)
        self._began, self._head_is_open, self._head_bytes = False, True, 0
        self._is_refused = self._head_is_too_large = self._drops = self._closes = False
        self.parser: Any = DeafParser(self)
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(HEAD_S, self._head_is_late)
        self._stalling: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_stalling()
        if self._is_answering():  # uvicorn tells the last of those that were asked at once, which may not run yet
            _tell_gone(self._running)
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Told at once, lest work begin for a client that has gone: uvicorn tells it a turn of the loop later."""
        if self._is_answering():
            _tell_gone(self._running)

    def data_received(self, data: bytes) -> None:
        if self._drops or self._is_refused:
            self._dropped += len(data)
            if self._dropped > DROPPED_BYTES:
                self.transport.close()
        if self._is_refused:
            return
        self._began_now, was_open = False, self._head_is_open
        super().data_received(data)
        if was_open and self._head_is_open and not self._began_now:  # else only its end belongs to this head
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(Problem("head-too-large", _TOO_LARGE))
        is_idle = not self._is_answering() and not self._drops and self.timeout_keep_alive_task is None
        if (self._head_is_open or is_idle) and self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_S, self._head_is_late)

    def on_message_begin(self) -> None:
        self._unset_keepalive_if_required()  # which the end of a dropped body has set in the same turn, it may be
        super().on_message_begin()
        self._began = self._began_now = self._head_is_open = True
        self._head_bytes = self._trailer_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_is_open:
            super().on_header(name, value)
            return
        self._trailer_bytes += len(name) + len(value) + 4  # behind a body, and nobody reads them
        if self._trailer_bytes > HEAD_BYTES:
            raise ValueError("There are too many trailers.")  # as below

    def on_headers_complete(self) -> None:
        if self.parser.begins_anew():
            return
        self._head_is_open = False
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES:
            self._head_is_too_large = True
            raise ValueError(_TOO_LARGE)  # the parser stops, and uvicorn calls `send_400_response`
        super().on_headers_complete()
        self.cycle.transport = cast("asyncio.Transport", _Line(self.transport, self.loop, self._close_gently))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        if self.parser.begins_anew():
            return
        super().on_message_complete()
        if not self._drops:
            return
        self._drops = False
        self._stop_timer()
        if self._closes:
            self.transport.close()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        unread = not self.pipeline and self.cycle.more_body
        if not self._closes:
            super().on_response_complete()
        if unread and not self._drops and not self.transport.is_closing():
            self._drop(closes=False)

    def send_400_response(self, msg: str) -> None:
        """Called for whatever the parser cannot take; uvicorn's own answer is plain text."""
        self._refuse(Problem("head-too-large", _TOO_LARGE) if self._head_is_too_large else Problem(_MALFORMED, msg))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._stop_stalling()
        super().resume_writing()

    def shutdown(self) -> None:
        if self._is_answering():
            super().shutdown()
        else:
            self.transport.close()

    def _head_is_late(self) -> None:
        self._timer = None
        if self._is_answering():
            self._timer = self.loop.call_later(HEAD_S, self._head_is_late)
        elif self._began:
            self._refuse(Problem("request-timeout", f"The head of the request was not complete after {HEAD_S:g} s."))
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.disconnected

    def _has_broken_body(self) -> bool:
        """Of the last request: what cannot be read came while its body was awaited, and nothing was answered yet."""
        return self.cycle.more_body and not self.cycle.response_started

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, and no more after that. Answers that are under way come to their end first;
        then there is none of ours, since the client could take it for another's.
        """
        self._is_refused = True
        if self._drops:  # what was answered before it had come as a whole
            self._drop(closes=True)
            return
        if self._is_answering() and self._has_broken_body():
            if self.pipeline:
                self.pipeline.popleft()
                self.cycle = self.pipeline[0][0] if self.pipeline else self._running
            else:
                _tell_gone(self.cycle)
        if self._is_answering():
            self.cycle.keep_alive = False
            return
        status, request_id = problem.status, new_request_id()
        content = json.dumps(problem.body(Request({"type": "http", "state": {"request_id": request_id}}))).encode()
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(content)),
            "Connection": "close",
            "X-Request-Id": request_id,
            **safety_headers(embeddable=False),
        }
        lines = (f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {text}" for name, text in headers.items()))
        self.transport.write("\r\n".join((*lines, "", "")).encode() + content)
        tell_refusal(request_id, status.value, problem.slug)
        self._drop(closes=True)

    def _close_gently(self) -> None:
        """At once if the client has sent all; else it is given time to see the answer."""
        if self.cycle.more_body or self._is_refused:
            self._drop(closes=True)
        else:
            self.transport.close()

    def _drop(self, *, closes: bool) -> None:
        self._drops, self._dropped, self._closes = True, 0, closes
        self._unset_keepalive_if_required()
        self._stop_timer()
        self._timer = self.loop.call_later(DROPPED_S, self.transport.close)
        self.flow.resume_reading()
        if closes and self.transport.can_write_eof():
            self.transport.write_eof()

    def _look_again(self, size: int) -> None:
        self._stop_stalling()
        self._stalling = self.loop.call_later(STALL_S, self._has_stalled, size)

    def _has_stalled(self, before: int) -> None:
        """An answer that nobody takes would stay in memory as long as its client lives."""
        size = self.transport.get_write_buffer_size()
        if size < before:
            self._look_again(size)
        else:
            self.transport.abort()

    def _stop_stalling(self) -> None:
        if self._stalling:
            self._stalling.cancel()
            self._stalling = None

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def _tell_gone(cycle: RequestResponseCycle) -> None:
    """What the application learns when it waits for more of the request, and for the client to go away."""
    cycle.disconnected = True
    cycle.message_event.set()
