"""What a request may send, and in which time, before a route sees it."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import BodyTimeoutError, BodyTooLargeError
from app.api.problems import Problem

JSON_BYTES: Final = 64 * 1024
CORRECTIONS_BYTES: Final = 1024 * 1024
_CORRECTIONS: Final = re.compile(r"/v1/models/[^/]+/corrections")
_LONGEST_NUMBER: Final = 18


def declared_length(headers: Headers) -> int:
    """Of the body, as Content-Length says; 0 if it says nothing."""
    text = headers.get("content-length", "")
    if not text.isdecimal():
        return 0
    return int(text) if len(text) <= _LONGEST_NUMBER else 10**_LONGEST_NUMBER


class Bodies:
    """Refuses bodies that are too long, or late.

    `streamed` has the limits of the paths whose routes read their body themselves, in a time of their own; one that
    ends with / stands for all below it. Any other body is JSON, small, and read here as a whole within `seconds`. One
    that tells its length is refused before it is read; one that does not (or lies) as soon as it is too long.
    """

    def __init__(self, app: ASGIApp, *, streamed: Mapping[str, int], seconds: float) -> None:
        self._app, self._streamed, self._seconds = app, streamed, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit_of_stream(scope["path"])
        is_streamed = limit is not None
        limit = limit or _limit_of_json(scope["path"])
        length = declared_length(headers)
        try:
            if length > limit:
                raise _too_large(limit)
            if not is_streamed and (length or "transfer-encoding" in headers):
                body = await self._read(_limited(receive, limit))
                receive = _replayed(body, receive)
        except ClientDisconnect:
            return
        except (BodyTooLargeError, BodyTimeoutError) as error:
            await Problem.of(error).response(Request(scope))(scope, receive, send)
            return
        await self._app(scope, _limited(receive, limit) if is_streamed else receive, send)

    def _limit_of_stream(self, path: str) -> int | None:
        top = "/" + path.removeprefix("/").partition("/")[0] + "/"  # the path of `OPTIONS *` is no path
        return self._streamed.get(path) or self._streamed.get(top)

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        async with arriving_within(self._seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
        return bytes(body)


@asynccontextmanager
async def arriving_within(seconds: float) -> AsyncIterator[None]:
    """Raises `BodyTimeoutError` if the body that is read inside has not come by then."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except BodyTimeoutError:
        raise
    except TimeoutError:
        raise BodyTimeoutError(f"The body was not complete after {seconds:g} s.") from None


def _limit_of_json(path: str) -> int:
    return CORRECTIONS_BYTES if _CORRECTIONS.fullmatch(path) else JSON_BYTES


def _limited(receive: Receive, limit: int) -> Receive:
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        return message

    return limited


def _replayed(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body has more than {limit:,} bytes.")
