"""The answer to an error that nothing in the application handles."""

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import Problem


class Unhandled:
    """Answers as a problem of the type `internal`, and logs the error.

    A handler for `Exception` would do so outside of all middleware, where no header is put on the answer. An error
    in the middle of an answer goes on to the server, which can do no more than break the line.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_noticed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noticed)
        except Exception as error:
            if scope["type"] != "http" or begun:
                raise
            await Problem.of(error).response(Request(scope))(scope, receive, send)
