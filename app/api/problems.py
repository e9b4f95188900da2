"""Every error that leaves the service is a problem of RFC 9457; `problem_types` is the table that makes it one."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from app.api.errors import BodyTimeoutError, BodyTooLargeError, ChoiceError
from app.api.problem_types import KINDS, SECRET, SLUGS, slug_of
from app.api.sentences import sentence_of
from app.jobs.files import StorageFullError, is_full
from app.vision.transfer.dataset import NotEnoughImagesError

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_OTHERS_PATHS: Final = ("/v2/", "/hf/")
"""Paths of protocols that are not ours, whose clients look for the reason in `error`."""


_TOLD: Final = 20
"""Errors of one request."""
_DETAIL: Final = 4000
"""Letters of a detail: of an archive with many faults it is long."""
_COME_AGAIN: Final = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
_EVERYWHERE: Final = (
    "validation-error",
    "internal",
    "model-loading",
    "foreign-origin",
    "misdirected-request",
    "head-too-large",
)
_STAY: Final = {"missing-weights", "model-unavailable"}
"""What no waiting mends."""
_STATUS_SLUGS: Final = {400: "malformed-request", 404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}


@dataclass(frozen=True)
class Problem:
    slug: str
    detail: str
    more: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> HTTPStatus:
        return KINDS[self.slug].status

    @classmethod
    def of(cls, error: Exception) -> "Problem":
        if is_full(error):  # wherever something was being written
            error = StorageFullError("The disk of the service has no room left.")
        slug = slug_of(kind.__name__ for kind in type(error).__mro__)
        if slug in SECRET:
            log.error("%s: %s", slug, error, exc_info=error if slug == "internal" else None)
        more: dict[str, object] = {}
        if suggestions := getattr(error, "suggestions", ()):
            more["suggestions"] = list(suggestions)
        if isinstance(error, NotEnoughImagesError):
            more["counts"] = dict(error.counts)
        if isinstance(error, ChoiceError):
            more["errors"] = [{"pointer": error.pointer, "detail": _echo(str(error), _DETAIL)}]
        headers = dict(getattr(error, "headers", {}))
        if KINDS[slug].status in _COME_AGAIN and slug not in _STAY:
            headers["Retry-After"] = str(getattr(error, "retry_after_s", 1))
        if isinstance(error, BodyTooLargeError | BodyTimeoutError):
            headers["Connection"] = "close"  # what else the client sends is dropped
        return cls(slug, KINDS[slug].title if slug in SECRET else _echo(str(error), _DETAIL), more, headers)

    def body(self, request: Request) -> dict[str, object]:
        kind = KINDS[self.slug]
        return {
            "type": f"/problems/{self.slug}",
            "title": kind.title,
            "status": int(kind.status),
            "detail": self.detail,
            "request_id": request_id(request),
            **({"error": self.detail} if request.scope.get("path", "").startswith(_OTHERS_PATHS) else {}),
            **self.more,
        }

    def response(self, request: Request) -> JSONResponse:
        request.scope.get("state", {})["problem"] = self.slug  # for the log
        return JSONResponse(self.body(request), self.status, dict(self.headers), MEDIA_TYPE)


def request_id(request: Request) -> str:
    found: str = request.scope.get("state", {}).get("request_id", "")
    return found


def responses(*slugs: str) -> dict[int | str, dict[str, Any]]:
    """For a route's OpenAPI: these problems, and those that every path can answer."""
    by_status: dict[HTTPStatus, list[str]] = defaultdict(list)
    for slug in (*slugs, *_EVERYWHERE):
        by_status[KINDS[slug].status].append(slug)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        int(status): {"description": " or ".join(found), "content": content}
        for status, found in sorted(by_status.items())
    }


def install(app: FastAPI) -> None:
    """Let every error of the application leave it as a problem."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    for kind in (*SLUGS, OSError):
        app.add_exception_handler(kind, _any_error)


async def _any_error(request: Request, error: Exception) -> JSONResponse:
    return Problem.of(error).response(request)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug = _STATUS_SLUGS.get(error.status_code, "internal")
    detail = _sentence(error, request) or f"{KINDS[slug].title}."
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request)) or headers.get("Allow", "")
    return Problem(slug, detail, headers=headers).response(request)


def _sentence(error: HTTPException, request: Request) -> str | None:
    match error.status_code:
        case HTTPStatus.BAD_REQUEST:
            return str(error.detail)  # the form parser says what was wrong
        case HTTPStatus.NOT_FOUND:
            return f"There is nothing at {_echo(request.url.path)}."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return f"{_echo(request.url.path)} does not take {request.method}."
    return None


def _allowed(request: Request) -> list[str]:
    """By all operations of the path: Starlette names the methods of its first route alone."""
    paths = request.app.openapi()["paths"]
    found = [operations for path, operations in paths.items() if compile_path(path)[0].match(request.url.path)]
    return sorted({method.upper() for operations in found for method in operations})


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors: list[Any] = list(error.errors())
    if any(one["type"] == "json_invalid" for one in errors):
        return Problem("malformed-request", "The body is not JSON.").response(request)
    told = [
        {"pointer": _echo("/" + "/".join(map(str, one["loc"]))), "detail": _echo(sentence_of(one))}
        for one in errors[:_TOLD]
    ]
    detail = " ".join(f"{_echo(str(one['loc'][-1]))}: {_echo(sentence_of(one))}" for one in errors[:_TOLD])
    return Problem("validation-error", detail, {"errors": told}).response(request)


def _echo(text: str, most: int = 200) -> str:
    """What a client sent goes back short, and as something that can be sent: a lone surrogate cannot."""
    short = text if len(text) <= most else text[:most] + "…"
    return short.encode(errors="replace").decode()
