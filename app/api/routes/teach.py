"""POST /v1/models teaches a new model; corrections make its next version; DELETE forgets it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api.dependencies import (
    Caller,
    IdempotencyKey,
    Jobs,
    Owner,
    Predictor,
    TaughtName,
    accepts_json,
    audited,
)
from app.api.errors import WeightsNotHereError
from app.api.own_models import OwnModels
from app.api.problems import responses
from app.api.routes.export import Bundles
from app.api.routes.synthesis import ACCEPTED, submit
from app.api.uploads import enough_to_learn, received
from app.jobs.job import Order
from app.jobs.params import CORRECTION, MODEL, CorrectionChoices, TeachChoices
from app.vision.models.model_folder import EXAMPLES
from app.vision.networks.backbones import BACKBONES, UnknownBackboneError, find_weights
from app.vision.transfer.examples import Examples, NoExamplesError, check_names

router = APIRouter(tags=["models"])
PATH: Final = "/v1/models"

_ARCHIVES: Final = ("application/zip", "application/gzip", "application/x-tar", "application/octet-stream")
ARCHIVE_BODY = {
    "requestBody": {
        "required": True,
        "description": (
            "A zip, a tar or a tar.gz of pictures, whatever its Content-Type says, or a form with files that are named "
            "label/name.jpg. What they show is said by a folder for each class, also within `train`, `val` and `test` "
            "(of which the last judges); by names like `cat.0.jpg` or `Abyssinian_12.jpg`; by a `labels.csv` beside "
            "them; or by a project of Teachable Machine (`.tm`). The job's result tells which it was, in `layout`; "
            "what can be read in two ways is refused."
        ),
        "content": {
            **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in _ARCHIVES},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
        },
    }
}
_PROBLEMS = ("idempotency-key-reused", "queue-full", "storage-full", "worker-down", "not-acceptable")


async def _is_repeated(jobs: Jobs, caller: Caller, key: IdempotencyKey) -> bool:
    """Whether it came before with its key: then what it asked for may be there by now, and that is no mistake."""
    return key is not None and await jobs.ask(jobs.queue.came_before, caller, key)


Repeated = Annotated[bool, Depends(_is_repeated)]


async def _new_name(
    predictor: Predictor, repeated: Repeated, choices: Annotated[TeachChoices, Query()]
) -> TeachChoices:
    """Before the pictures are read. Raises `ModelExistsError`, `UnknownBackboneError` or `WeightsNotHereError`."""
    if not repeated:
        await asyncio.to_thread(_check, predictor.repository, choices)
    return choices


async def _lesson(
    request: Request, choices: Annotated[TeachChoices, Depends(_new_name)]
) -> AsyncIterator[tuple[TeachChoices, Path]]:
    """The pictures are taken from the line once the choices can be: nobody sends 200 MiB to hear of a misspelt name."""
    async with received(request, enough_to_learn) as pictures:
        yield choices, pictures


def _check(models: OwnModels, choices: TeachChoices) -> None:
    if choices.backbone not in BACKBONES:
        raise UnknownBackboneError(choices.backbone)
    if find_weights(BACKBONES[choices.backbone], models.weights_dir) is None:
        raise WeightsNotHereError(choices.backbone)
    models.check_name(choices.name, replace=choices.replace)


@router.post(
    "/models",
    status_code=202,
    response_model=None,
    dependencies=[Depends(accepts_json)],
    openapi_extra=ARCHIVE_BODY,
    responses=ACCEPTED
    | responses(
        "malformed-request",
        "unknown-backbone",
        "missing-weights",
        "model-exists",
        "request-timeout",
        "body-too-large",
        "invalid-archive",
        "not-enough-images",
        "overloaded",
        *_PROBLEMS,
    ),
)
async def teach_model(
    request: Request,
    jobs: Jobs,
    caller: Caller,
    owner: Owner,
    key: IdempotencyKey,
    lesson: Annotated[tuple[TeachChoices, Path], Depends(_lesson)],
) -> Response:
    """Teach a pretrained network the classes of your own pictures; the new model serves when the job has ended."""
    choices, pictures = lesson
    request.state.model = choices.name
    filled = choices.model_copy(update={"seed": choices.seed or 0})
    flavour = f"{choices.backbone}/{choices.mode}/{pictures.stat().st_size.bit_length()}"
    order = Order(MODEL, flavour, caller, filled.model_dump(exclude_none=True), pictures, owner)
    answer = await submit(jobs, order, key, request)
    audited(request, "teach", model=choices.name, job=_job_of(answer))
    return answer


@router.post(
    "/models/{name}/corrections",
    status_code=202,
    response_model=None,
    dependencies=[Depends(accepts_json)],
    responses=ACCEPTED
    | responses(
        "malformed-request",
        "request-timeout",
        "body-too-large",
        "unknown-model",
        "unknown-picture",
        "no-examples",
        *_PROBLEMS,
    ),
)
async def correct_model(
    name: TaughtName,
    choices: CorrectionChoices,
    request: Request,
    predictor: Predictor,
    jobs: Jobs,
    caller: Caller,
    key: IdempotencyKey,
    repeated: Repeated,
) -> Response:
    """Teach a model anew with other labels for some of its pictures, which need not be sent again."""
    if not repeated:
        known = await asyncio.to_thread(_names_of_examples, predictor.repository, name)
        await asyncio.to_thread(check_names, [one.picture for one in choices.corrections], known)
    input_ = {"model": name, **choices.model_dump(exclude_defaults=True)}
    answer = await submit(jobs, Order(CORRECTION, name, caller, input_), key, request)
    audited(request, "correct", model=name, job=_job_of(answer))
    return answer


def _job_of(answer: Response) -> str:
    return answer.headers["Location"].rpartition("/")[2]


def _names_of_examples(models: OwnModels, name: str) -> tuple[str, ...]:
    models.check_change(name)
    path = models.file(name, EXAMPLES)
    names = Examples.names_in(path) if path else None
    if names is None:
        raise NoExamplesError(name)
    return names


@router.delete("/models/{name}", status_code=204, responses=responses("unknown-model", "forbidden", "storage-down"))
async def delete_model(name: TaughtName, request: Request, predictor: Predictor) -> None:
    """Forget a model that was taught here; who is being answered by it still gets the answer."""
    await asyncio.to_thread(predictor.repository.delete, name)
    bundles: Bundles = request.state.bundles
    await bundles.forget(name)
    audited(request, "delete-model", model=name)
