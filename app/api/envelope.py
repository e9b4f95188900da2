"""What holds for every request before a route sees it: an id, a clock, and a limit on the body."""

import re
import time
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import BodyTooLargeError
from app.api.problems import Problem

_SANE_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Envelope:
    """Puts `request_id` and `began` into the request's state, and refuses bodies of more than `max_body` bytes.

    `larger` are the limits of paths that take more.

    The client's own X-Request-Id is kept if it is a sane one. A body that tells its length is refused before
    it is read; one that does not (or lies) as soon as it is too long.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, larger: Mapping[str, int]) -> None:
        self._app, self._max_body, self._larger = app, max_body, larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {}).update(request_id=request_id, began=time.perf_counter())

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                outgoing = MutableHeaders(scope=message)
                outgoing["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    outgoing.setdefault(name, value)
            await send(message)

        limit = self._larger.get(scope["path"], self._max_body)
        too_large = BodyTooLargeError(f"The request has more than {limit:,} bytes.")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            await Problem.of(too_large).response(Request(scope))(scope, receive, send_with_headers)
            return
        size = 0

        async def receive_limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise too_large
            return message

        await self._app(scope, receive_limited, send_with_headers)
