"""What routes ask for: each of these loads or raises, so that no route has to check.

They are coroutines, since FastAPI runs a plain function in a thread of its own, and few, since each costs it 50 µs.
"""

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, ParamSpec, TypeVar, cast

from fastapi import Depends, Path, Request
from starlette.datastructures import UploadFile

from app import audit
from app.api.accept import accepted, quality
from app.api.bodies import arriving_within, declared_length
from app.api.errors import (
    BodyTooLargeError,
    MalformedRequestError,
    ModelLoadingError,
)
from app.api.own_models import OwnPredictor
from app.jobs.job import QueueDownError
from app.keys import Key
from app.settings import Settings

if TYPE_CHECKING:
    from app.jobs.event_stream import EventStream
    from app.jobs.files import FileStore
    from app.jobs.queue import JobQueue

_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", re.IGNORECASE)
_MAX_WAIT_S: Final = 60
_OPENING_S: Final = 4.0
P = ParamSpec("P")
T = TypeVar("T")
LANGUAGES = ("en", "tr")


async def settings(request: Request) -> Settings:
    return cast("Settings", request.state.settings)


async def predictor(request: Request) -> OwnPredictor:
    """The predictor, once the default model was loaded (or could not be); raises `ModelLoadingError` before."""
    if not request.state.loading.done():
        raise ModelLoadingError("The default model is still being loaded.")
    return OwnPredictor(request.state.predictor, owner_of(request))


def preferred_language(request: Request) -> str:
    """The first of our languages that Accept-Language prefers; English if none."""
    ranked = []
    for position, choice in enumerate(request.headers.get("accept-language", "").split(",")):
        name, _, parameters = choice.partition(";")
        tag = name.strip().partition("-")[0].lower()
        if tag in LANGUAGES and (liking := quality(parameters)) > 0:
            ranked.append((-liking, position, tag))
    return min(ranked)[2] if ranked else LANGUAGES[0]


async def accepts_json(request: Request) -> None:
    """Raises `NotAcceptableError` unless the Accept header leaves room for JSON."""
    accepted(request.headers.get("accept", ""), ("application/json",))


def milliseconds_since_start(request: Request) -> float:
    return (time.perf_counter() - cast("float", request.state.began)) * 1e3


async def pictures(request: Request) -> "list[bytes | BodyTooLargeError]":
    """The files of a multipart form, else the whole body as one picture; one that is too large is the error instead."""
    settings: Settings = request.state.settings
    async with arriving_within(settings.body_timeout_s):
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            return await _files(request, settings)
        return [await _body(request, settings)]


async def _body(request: Request, settings: Settings) -> bytes:
    """Read as a stream, so that the limit of one picture holds although the limit of a request is higher."""
    limit = settings.max_picture_bytes
    if declared_length(request.headers) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    if not body:
        raise MalformedRequestError("The request has no body: send a picture, raw or as multipart field `file`.")
    return bytes(body)


async def _files(request: Request, settings: Settings) -> "list[bytes | BodyTooLargeError]":
    limit = settings.max_picture_bytes
    async with request.form(max_files=settings.max_pictures, max_fields=16) as form:
        found = form.multi_items()
        if not found:
            raise MalformedRequestError("The form has no file: send pictures as multipart field `file`.")
        if texts := [name for name, value in found if not isinstance(value, UploadFile)]:
            raise MalformedRequestError(
                f"The form field {texts[0]!r} is not a file: choices are query parameters, pictures have a file name."
            )
        files = [value for _, value in found if isinstance(value, UploadFile)]
        return [_too_large(limit) if (file.size or 0) > limit else await file.read() for file in files]


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The picture has more than {limit:,} bytes.")


@dataclass(frozen=True)
class JobDesk:
    """Where jobs are handed in and asked after."""

    queue: "JobQueue"
    files: "FileStore"
    events: "EventStream"
    threads: Executor

    async def ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask what blocks, in a thread of the desk's own: a database that does not answer holds up nothing else."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(question, *args, **kwargs))


async def job_desk(request: Request) -> JobDesk:
    """Raises `QueueDownError` while the database of the jobs cannot be reached."""
    try:
        async with asyncio.timeout(_OPENING_S):
            return await asyncio.shield(cast("asyncio.Future[JobDesk]", request.state.jobs))
    except Exception as error:
        raise QueueDownError("The queue of the jobs cannot be reached.") from error


def key_of(request: Request) -> Key | None:
    """With which the door was opened; None without keys, and on paths that are for everybody."""
    return getattr(request.state, "key", None)


def owner_of(request: Request) -> str | None:
    """Whose jobs and models exist for this request; None if all do: for an admin, and without keys."""
    settings: Settings = request.state.settings
    if settings.api_keys is None:
        return None
    key = key_of(request)
    if key is None:
        return ""
    return None if key.is_admin else key.name


def audited(request: Request, action: str, **what: object) -> None:
    """A line of the audit, by the key that asks; without keys by the address."""
    key = key_of(request)
    audit.tell(action, f"key {key.name}" if key else request.client.host if request.client else "local", **what)


async def owner(request: Request) -> str | None:
    return owner_of(request)


async def caller(request: Request) -> str:
    """Who asks, as far as jobs are concerned: whose they are, and the limits and turns of the queue."""
    if key := key_of(request):
        return client_of(key.name)
    return request.client.host if request.client else "local"


def client_of(key: str) -> str:
    """What the queue calls a key; no address is called so."""
    return f"key:{key}"


def preferred_wait(request: Request) -> int:
    """The seconds of `Prefer: wait=N` (RFC 7240), 60 at most; 0 without."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(int(found[1]), _MAX_WAIT_S) if found else 0


async def idempotency_key(request: Request) -> str | None:
    """Raises `MalformedRequestError` for one that is too long."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 200:
        raise MalformedRequestError("An Idempotency-Key has 1 to 200 characters.")
    return key


async def picture(pictures: "Annotated[list[bytes | BodyTooLargeError], Depends(pictures)]") -> bytes:
    """The one picture that the request is about."""
    if len(pictures) > 1:
        raise MalformedRequestError("This path takes one picture at a time.")
    (found,) = pictures
    if isinstance(found, Exception):
        raise found
    return found


ServiceSettings = Annotated[Settings, Depends(settings)]
Predictor = Annotated[OwnPredictor, Depends(predictor)]
Pictures = Annotated["list[bytes | BodyTooLargeError]", Depends(pictures)]
Picture = Annotated[bytes, Depends(picture)]
Jobs = Annotated[JobDesk, Depends(job_desk)]
Caller = Annotated[str, Depends(caller)]
Owner = Annotated[str | None, Depends(owner)]
ModelName = Annotated[str, Path(max_length=100, examples=["imagenet"])]
TaughtName = Annotated[str, Path(max_length=100, description="Of a model that was taught here.", examples=["shapes"])]
IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
