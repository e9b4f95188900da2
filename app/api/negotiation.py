"""In which form an answer goes out: what the Accept header likes best, unless `format` says it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel

from app.api.accept import accepted
from app.api.dependencies import milliseconds_since_start
from app.api.disconnection import while_connected
from app.api.schemas.classify import Timing
from app.api.schemas.inspect import LookTiming, timing_of
from app.vision.evaluation.neighbors import Neighbors
from app.vision.evaluation.stability import Stability
from app.vision.inspection.requests import Explanation, Maps

Found = TypeVar("Found", Maps, Explanation, Stability, Neighbors)

MEDIA_TYPES: Final[Mapping[str, str]] = {
    "png": "image/png",
    "webp": "image/webp",
    "json": "application/json",
    "npy": "application/x-npy",
    "csv": "text/csv",
}


class Answer(Response):
    """A body in one of the forms, with what it took in Server-Timing."""

    def __init__(self, body: bytes, form: str, timing: Timing) -> None:
        headers = {"Vary": "Accept, Accept-Language", "Server-Timing": timing.header()}
        super().__init__(body, headers=headers, media_type=MEDIA_TYPES[form])


def in_forms(*forms: str) -> dict[int | str, dict[str, Any]]:
    """For a route's OpenAPI: the forms beside JSON in which it answers."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"content": {MEDIA_TYPES[form]: binary for form in forms}}}


def negotiated(request: Request, wanted: str | None, forms: tuple[str, ...]) -> str:
    """One of the forms, of equally liked ones the first; raises `NotAcceptableError` if none will do."""
    if wanted:
        return wanted
    by_media = {MEDIA_TYPES[form]: form for form in forms}
    return by_media[accepted(request.headers.get("accept", ""), tuple(by_media))]


async def answered(
    request: Request, form: str, work: "asyncio.Future[Found]", numbers: Callable[[Found, LookTiming], BaseModel]
) -> Response:
    """What the work has drawn, or else its `numbers`. Raises what the work raises, or `ClientDisconnect`."""
    found = await while_connected(request, work)
    timing = timing_of(found.watch, milliseconds_since_start(request))
    body = numbers(found, timing).model_dump_json().encode() if found.body is None else found.body
    return Answer(body, form, timing)
