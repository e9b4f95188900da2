"""Every error that leaves the service is a problem of RFC 9457, and this is the table that makes it one."""

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
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from app.jobs.files import StorageDownError, StorageFullError
from app.jobs.job import JobExpiredError, KeyReusedError, TooManyJobsError, UnknownJobError
from app.vision.encoding import UnencodableError
from app.vision.image import ImageTooLargeError, InvalidImageError, UnsupportedImageError
from app.vision.labels import UnknownLabelError
from app.vision.models.model_folder import BrokenModelError, ModelExistsError
from app.vision.models.repository import ShippedModelError, UnknownModelError
from app.vision.networks.backbones import MissingWeightsError, UnknownBackboneError, WeightsError
from app.vision.networks.layers import UnknownLayerError
from app.vision.serving.batcher import QueueFullError
from app.vision.serving.runtimes import RuntimeUnavailableError
from app.vision.synthesis.adversarial_images import TargetIsSourceError
from app.vision.transfer.archive import DatasetError, NotEnoughImagesError
from app.vision.transfer.examples import NoExamplesError, UnknownPictureError

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A type of problem: what `/problems/{slug}` tells a person about it."""

    status: HTTPStatus
    title: str
    advice: str


KINDS: Final[Mapping[str, Kind]] = {
    "malformed-request": Kind(
        HTTPStatus.BAD_REQUEST,
        "The request cannot be read",
        "The body is not what its Content-Type says, or it broke off.",
    ),
    "not-found": Kind(HTTPStatus.NOT_FOUND, "Nothing is here", "Check the path; /docs lists all of them."),
    "unknown-model": Kind(
        HTTPStatus.NOT_FOUND, "No such model", "GET /v1/models lists the models; `suggestions` has the nearest."
    ),
    "unknown-backbone": Kind(HTTPStatus.NOT_FOUND, "No such backbone", "GET /v1/backbones lists the backbones."),
    "unknown-job": Kind(
        HTTPStatus.NOT_FOUND, "No such job", "GET /v1/jobs lists yours; a job that was deleted is forgotten."
    ),
    "unknown-file": Kind(HTTPStatus.NOT_FOUND, "No such file", "`result.files` of the job names those that are there."),
    "unknown-picture": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "No such picture",
        "Pictures are called as `worst` of the job's result calls them; `suggestions` has the nearest names.",
    ),
    "forbidden": Kind(
        HTTPStatus.FORBIDDEN, "That is not allowed", "Models that ship with Inkblot can be neither changed nor deleted."
    ),
    "model-exists": Kind(
        HTTPStatus.CONFLICT,
        "There is a model of this name",
        "Choose another name, or make the next version of a model that was taught here with replace=true.",
    ),
    "no-examples": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Its pictures are not known here",
        "Corrections are for models that were taught here on a frozen backbone; otherwise send the pictures again.",
    ),
    "invalid-archive": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The archive cannot be used",
        "Send a zip with a folder for each class and pictures in it; `detail` says what is wrong with this one.",
    ),
    "not-enough-images": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Too few pictures",
        "At least two classes (folders) with at least two pictures each; `counts` says what was found.",
    ),
    "unknown-layer": Kind(
        HTTPStatus.NOT_FOUND, "No such layer", "GET /v1/models/{name}/layers lists the layers of a model."
    ),
    "method-not-allowed": Kind(
        HTTPStatus.METHOD_NOT_ALLOWED, "Not with this method", "The Allow header names those that work."
    ),
    "not-acceptable": Kind(
        HTTPStatus.NOT_ACCEPTABLE,
        "Not available in that form",
        "The Accept header excludes every form that this path can answer in.",
    ),
    "request-timeout": Kind(
        HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time", "Send it again over a better line."
    ),
    "gone": Kind(HTTPStatus.GONE, "Not kept any longer", "Jobs and their files are kept for some days: ask again."),
    "body-too-large": Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large", "Send a smaller file; `detail` names the limit."
    ),
    "image-too-large": Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The picture has too many pixels",
        "Scale it down; `detail` names the limit.",
    ),
    "unsupported-image": Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Not a picture, or of a format that is not accepted",
        "The format is found from the bytes, never from the name: save the picture as one of those in `detail`.",
    ),
    "invalid-image": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The picture is broken",
        "Open it and save it again: it may have been cut off on its way.",
    ),
    "unknown-label": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "No such label",
        "GET /v1/models/{name}/labels?q=… searches them, in both languages.",
    ),
    "target-is-source": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "It is taken for that already",
        "Choose another target: the picture is classified as this one without any change.",
    ),
    "idempotency-key-reused": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The key belongs to another request",
        "An Idempotency-Key stands for one request; use a new one for another.",
    ),
    "deadline-exceeded": Kind(
        HTTPStatus.GATEWAY_TIMEOUT, "The time was over", "Give a larger deadline_s, or ask for fewer steps."
    ),
    "worker-died": Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The worker died of this job",
        "It was tried several times. Perhaps the picture is too large for the memory of the machine.",
    ),
    "validation-error": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "A choice cannot be",
        "`errors` says for each what was wrong and where (`pointer`).",
    ),
    "queue-full": Kind(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many jobs wait",
        "Come again after the seconds in Retry-After, or cancel jobs that you do not need.",
    ),
    "internal": Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something broke in the service",
        "It was logged under `request_id`: please report it.",
    ),
    "model-loading": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The model is still being loaded",
        "Come again after the seconds in Retry-After.",
    ),
    "model-unavailable": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "This model cannot be loaded",
        "Its files are missing or broken; the log of the service says which. Other models are not affected.",
    ),
    "worker-down": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Slow work is not taken at the moment",
        "The queue of the jobs cannot be reached; classification is not affected. Come again later.",
    ),
    "storage-down": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The store of the models cannot be reached",
        "Nothing was changed; the models that are there go on serving. Come again later.",
    ),
    "storage-full": Kind(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "No room for more files",
        "Delete jobs that are not needed (DELETE /v1/jobs/{id}), or raise INKBLOT_FILES_MAX_BYTES.",
    ),
    "overloaded": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Too much waits already",
        "Nothing was lost: come again after the seconds in Retry-After.",
    ),
}


class ModelLoadingError(RuntimeError):
    """The default model is not there yet."""


class BodyTooLargeError(ValueError):
    """More bytes than a request, or a picture in it, may have."""


class BodyTimeoutError(TimeoutError):
    """The client stopped sending in the middle of a body."""


class MalformedRequestError(ValueError):
    """A body that cannot be taken apart."""


class JobsUnavailableError(RuntimeError):
    """The queue of the jobs cannot be reached."""


class UploadsFullError(RuntimeError):
    """So many archives are being received that another must wait."""


class UnknownFileError(LookupError):
    """A job left no file of this name."""


class ChoiceError(ValueError):
    """A choice that cannot be, found out only with the model at hand; `pointer` says which."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


class NotAcceptableError(ValueError):
    """Every form of the answer is excluded by the Accept header."""


_SLUGS: Final[Mapping[type[Exception], str]] = {
    BodyTimeoutError: "request-timeout",
    BodyTooLargeError: "body-too-large",
    BrokenModelError: "model-unavailable",
    ChoiceError: "validation-error",
    ClientDisconnect: "malformed-request",
    DatasetError: "invalid-archive",
    RuntimeUnavailableError: "model-unavailable",
    ImageTooLargeError: "image-too-large",
    InvalidImageError: "invalid-image",
    JobExpiredError: "gone",
    JobsUnavailableError: "worker-down",
    KeyReusedError: "idempotency-key-reused",
    MalformedRequestError: "malformed-request",
    MissingWeightsError: "model-unavailable",
    ModelExistsError: "model-exists",
    ModelLoadingError: "model-loading",
    NoExamplesError: "no-examples",
    NotEnoughImagesError: "not-enough-images",
    NotAcceptableError: "not-acceptable",
    QueueFullError: "overloaded",
    ShippedModelError: "forbidden",
    StorageDownError: "storage-down",
    StorageFullError: "storage-full",
    TargetIsSourceError: "target-is-source",
    TooManyJobsError: "queue-full",
    UnencodableError: "not-acceptable",
    UnknownBackboneError: "unknown-backbone",
    UnknownFileError: "unknown-file",
    UnknownJobError: "unknown-job",
    UnknownLabelError: "unknown-label",
    UnknownLayerError: "unknown-layer",
    UnknownModelError: "unknown-model",
    UnknownPictureError: "unknown-picture",
    UnsupportedImageError: "unsupported-image",
    UploadsFullError: "overloaded",
    WeightsError: "model-unavailable",
}
_SECRET: Final = {"internal", "model-unavailable"}
"""Their messages name files of the server: logged, not sent."""
_COME_AGAIN: Final = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
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
        slug = next((_SLUGS[kind] for kind in type(error).__mro__ if kind in _SLUGS), "internal")
        if slug in _SECRET:
            log.error("%s: %s", slug, error, exc_info=error if slug == "internal" else None)
        more: dict[str, object] = {}
        if suggestions := getattr(error, "suggestions", ()):
            more["suggestions"] = list(suggestions)
        if isinstance(error, NotEnoughImagesError):
            more["counts"] = dict(error.counts)
        if isinstance(error, ChoiceError):
            more["errors"] = [{"pointer": error.pointer, "detail": str(error)}]
        headers = {}
        if KINDS[slug].status in _COME_AGAIN and slug != "model-unavailable":
            headers["Retry-After"] = str(getattr(error, "retry_after_s", 1))
        if isinstance(error, BodyTooLargeError | BodyTimeoutError):
            headers["Connection"] = "close"  # what else the client sends is not read
        return cls(slug, KINDS[slug].title if slug in _SECRET else str(error), more, headers)

    def body(self, request: Request) -> dict[str, object]:
        kind = KINDS[self.slug]
        return {
            "type": f"/problems/{self.slug}",
            "title": kind.title,
            "status": int(kind.status),
            "detail": self.detail,
            "request_id": request_id(request),
            **self.more,
        }

    def response(self, request: Request) -> JSONResponse:
        return JSONResponse(self.body(request), self.status, dict(self.headers), MEDIA_TYPE)


def request_id(request: Request) -> str:
    found: str = request.scope.get("state", {}).get("request_id", "")
    return found


def responses(*slugs: str) -> dict[int | str, dict[str, Any]]:
    """For a route's OpenAPI: these problems, and those that every path can answer."""
    by_status: dict[HTTPStatus, list[str]] = defaultdict(list)
    for slug in (*slugs, "validation-error", "internal", "model-loading"):
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
    app.add_exception_handler(Exception, _any_error)
    for kind in _SLUGS:  # Exception alone would be answered outside of all middleware, and logged as a crash
        app.add_exception_handler(kind, _any_error)


async def _any_error(request: Request, error: Exception) -> JSONResponse:
    response = Problem.of(error).response(request)
    response.headers["X-Request-Id"] = request_id(request)
    return response


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug = _STATUS_SLUGS.get(error.status_code, "internal")
    detail = f"{request.method} {request.url.path}: {KINDS[slug].title.lower()}."
    if error.status_code == HTTPStatus.BAD_REQUEST:
        detail = str(error.detail)  # the form parser says what was wrong
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request)) or headers.get("Allow", "")
    return Problem(slug, detail, headers=headers).response(request)


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
    told = [{"pointer": "/" + "/".join(map(str, one["loc"])), "detail": one["msg"]} for one in errors]
    detail = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in errors)
    return Problem("validation-error", detail, {"errors": told}).response(request)
