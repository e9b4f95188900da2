"""What holds for the body of every request before a route sees it: a limit."""

from collections.abc import Mapping

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import BodyTooLargeError
from app.api.problems import Problem


class Envelope:
    """Refuses bodies of more than `max_body` bytes; `larger` are the limits of paths that take more.

    A body that tells its length is refused before it is read; one that does not (or lies) as soon as it is too long.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, larger: Mapping[str, int]) -> None:
        self._app, self._max_body, self._larger = app, max_body, larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._larger.get(scope["path"], self._max_body)
        too_large = BodyTooLargeError(f"The request has more than {limit:,} bytes.")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            await Problem.of(too_large).response(Request(scope))(scope, receive, send)
            return
        size = 0

        async def receive_limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise too_large
            return message

        await self._app(scope, receive_limited, send)
