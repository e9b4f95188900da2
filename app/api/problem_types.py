"""The one table of problems: what each tells a person, and which errors of all rings become it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.requests import ClientDisconnect

from app.api.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    ChoiceError,
    ForeignOriginError,
    MalformedRequestError,
    MissingScopeError,
    ModelLoadingError,
    NotAcceptableError,
    ProtectedModelError,
    RateLimitedError,
    UnauthorizedError,
    UnknownFileError,
    UnknownHostError,
    UnknownPathError,
    UploadsFullError,
    WeightsNotHereError,
)
from app.jobs.files import StorageDownError, StorageFullError
from app.jobs.job import (
    DeadlineExceededError,
    JobExpiredError,
    KeyReusedError,
    QueueDownError,
    TooManyJobsError,
    UnknownJobError,
    WorkerDiedError,
)
from app.vision.encoding import UnencodableError
from app.vision.evaluation.folders import AmbiguousFolderError
from app.vision.image import ImageTooLargeError, InvalidImageError, UnsupportedImageError
from app.vision.labels import UnknownLabelError
from app.vision.models.model_folder import BrokenModelError, ModelExistsError
from app.vision.models.repository import ShippedModelError, UnknownModelError
from app.vision.networks.backbones import UnknownBackboneError
from app.vision.networks.layers import UnknownLayerError
from app.vision.networks.weights import MissingWeightsError, WeightsError
from app.vision.serving.batcher import QueueFullError
from app.vision.serving.runtimes import RuntimeUnavailableError
from app.vision.serving.tensors import TensorError
from app.vision.synthesis.adversarial_images import TargetIsSourceError
from app.vision.transfer.dataset import DatasetError, NotEnoughImagesError
from app.vision.transfer.examples import NoExamplesError, UnknownPictureError


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
        HTTPStatus.FORBIDDEN,
        "That is not allowed",
        "A key may do what its scopes say; models that ship with Inkblot can be neither changed nor deleted, and those "
        "that are for everybody by admins alone. `detail` says which it is.",
    ),
    "unauthorized": Kind(
        HTTPStatus.UNAUTHORIZED,
        "A key is needed",
        "Send `Authorization: Bearer …` with the key that you were given; clients take it from INKBLOT_KEY.",
    ),
    "rate-limited": Kind(
        HTTPStatus.TOO_MANY_REQUESTS,
        "This key has done enough for now",
        "Come again after the seconds in Retry-After; the RateLimit header of every answer says how much is left.",
    ),
    "foreign-origin": Kind(
        HTTPStatus.FORBIDDEN,
        "A page of another origin asks",
        "A page that is to do so must be at an origin that INKBLOT_ALLOWED_ORIGINS names, such as https://example.org.",
    ),
    "misdirected-request": Kind(
        HTTPStatus.MISDIRECTED_REQUEST,
        "Not a host of this service",
        "A name by which it is to be asked for must be one that INKBLOT_ALLOWED_HOSTS names.",
    ),
    "model-exists": Kind(
        HTTPStatus.CONFLICT,
        "There is a model of this name",
        "Choose another name, or make the next version of a model that was taught here with replace=true.",
    ),
    "no-examples": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Its pictures are not known here",
        "Corrections and neighbors are for models that were taught here, by you, on a frozen backbone; otherwise send "
        "the pictures again.",
    ),
    "invalid-archive": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The archive cannot be used",
        "Send a zip, tar or tar.gz with a folder for each class; `detail` says what is wrong with this one.",
    ),
    "ambiguous-folder": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "What a folder shows can be understood in two ways",
        "Say with `labels` which classes count as right for it; `detail` names those that it could mean.",
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
        HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time", "Send it again over a better line."
    ),
    "head-too-large": Kind(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The head of the request is too large",
        "Send shorter headers and a shorter address; `detail` names the limit.",
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
    "missing-weights": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The weights of this backbone are not here",
        "GET /v1/backbones says which are; `inkblot weights get NAME`, where the service runs, brings others.",
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
        "A store of files cannot be reached",
        "Nothing was changed; the models that are there go on serving. Come again later.",
    ),
    "storage-full": Kind(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "No room for more files",
        "Nothing was kept. Delete jobs that are not needed (DELETE /v1/jobs/{id}), make room on the disk of "
        "INKBLOT_DATA_DIR, or raise INKBLOT_FILES_MAX_BYTES; `detail` says which of them is full. Then send it again.",
    ),
    "overloaded": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Too much waits already",
        "Nothing was lost: come again after the seconds in Retry-After.",
    ),
}


SLUGS: Final[Mapping[type[Exception], str]] = {
    BodyTimeoutError: "request-timeout",
    BodyTooLargeError: "body-too-large",
    BrokenModelError: "model-unavailable",
    ChoiceError: "validation-error",
    ClientDisconnect: "malformed-request",
    DatasetError: "invalid-archive",
    DeadlineExceededError: "deadline-exceeded",
    ForeignOriginError: "foreign-origin",
    ImageTooLargeError: "image-too-large",
    InvalidImageError: "invalid-image",
    JobExpiredError: "gone",
    KeyReusedError: "idempotency-key-reused",
    MalformedRequestError: "malformed-request",
    MissingScopeError: "forbidden",
    MissingWeightsError: "model-unavailable",
    ModelExistsError: "model-exists",
    ModelLoadingError: "model-loading",
    NoExamplesError: "no-examples",
    AmbiguousFolderError: "ambiguous-folder",
    NotEnoughImagesError: "not-enough-images",
    NotAcceptableError: "not-acceptable",
    ProtectedModelError: "forbidden",
    QueueDownError: "worker-down",
    QueueFullError: "overloaded",
    RateLimitedError: "rate-limited",
    RuntimeUnavailableError: "model-unavailable",
    ShippedModelError: "forbidden",
    StorageDownError: "storage-down",
    StorageFullError: "storage-full",
    TensorError: "malformed-request",
    TargetIsSourceError: "target-is-source",
    TooManyJobsError: "queue-full",
    UnauthorizedError: "unauthorized",
    UnencodableError: "not-acceptable",
    UnknownBackboneError: "unknown-backbone",
    UnknownFileError: "unknown-file",
    UnknownHostError: "misdirected-request",
    UnknownJobError: "unknown-job",
    UnknownLabelError: "unknown-label",
    UnknownLayerError: "unknown-layer",
    UnknownModelError: "unknown-model",
    UnknownPathError: "not-found",
    UnknownPictureError: "unknown-picture",
    UnsupportedImageError: "unsupported-image",
    UploadsFullError: "overloaded",
    WeightsError: "model-unavailable",
    WeightsNotHereError: "missing-weights",
    WorkerDiedError: "worker-died",
}
_BY_NAME: Final = {kind.__name__: slug for kind, slug in SLUGS.items()}
SECRET: Final = {"internal", "model-unavailable"}
"""Their messages name files of the server: logged, not sent."""


def slug_of(kinds: Iterable[str]) -> str:
    """The problem of an error, by the names of its classes, the most special first; `internal` if none is known."""
    return next((_BY_NAME[kind] for kind in kinds if kind in _BY_NAME), "internal")
