"""Work for a client is stopped when the client goes away."""

import asyncio
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

Result = TypeVar("Result")


async def while_connected(request: Request, answer: "asyncio.Future[Result]") -> Result:
    """The answer; when the client goes away it is cancelled at once, and `ClientDisconnect` raised.

    The request's body must have been read.
    """
    gone: asyncio.Future[Any] = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        gone.cancel()
        answer.cancel()  # does nothing to one that is done


async def _gone(request: Request) -> None:
    with suppress(asyncio.CancelledError):
        while (await request.receive())["type"] != "http.disconnect":
            """What is left of a body that nobody wants."""
