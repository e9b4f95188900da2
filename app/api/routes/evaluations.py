"""POST /v1/evaluations: how good is a model, on pictures that it never saw?"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api.dependencies import Caller, IdempotencyKey, Jobs, Predictor, accepts_json, preferred_language
from app.api.problems import responses
from app.api.routes.synthesis import ACCEPTED, submit
from app.api.routes.teach import ARCHIVE_BODY
from app.api.uploads import received
from app.jobs.job import Order
from app.jobs.params import EVALUATION, EvaluationChoices, labels_told
from app.settings import Settings
from app.vision.evaluation.folders import check_folders
from app.vision.labels import Labels

router = APIRouter(tags=["models"])
PATH: Final = "/v1/evaluations"

_BODY = {
    "requestBody": {
        **ARCHIVE_BODY["requestBody"],
        "description": (
            "A zip, a tar or a tar.gz of pictures, or a form with files that are named label/name.jpg, laid out as for "
            "teaching. A folder is called after a class, in either language, or after a kind of things (`cat` for "
            "imagenet); pictures in `unknown` or `bilinmeyen` are of none of the classes, those in no folder are "
            "listed only. What can be understood in two ways is refused."
        ),
    }
}


async def _known_models(
    request: Request, predictor: Predictor, choices: Annotated[EvaluationChoices, Query()]
) -> tuple[EvaluationChoices, Labels, Labels | None]:
    """With every default filled in, before the pictures are read. Raises `UnknownModelError`."""
    name = choices.model or predictor.default_model
    labels = await asyncio.to_thread(predictor.repository.labels, name)
    rival = await asyncio.to_thread(predictor.repository.labels, choices.compare) if choices.compare else None
    filled = {"model": name, "lang": choices.lang or preferred_language(request), "seed": choices.seed or 0}
    return choices.model_copy(update=filled), labels, rival


async def _pictures(
    request: Request, known: Annotated[tuple[EvaluationChoices, Labels, Labels | None], Depends(_known_models)]
) -> AsyncIterator[tuple[EvaluationChoices, Path]]:
    """Their folders are understood before anything is queued."""
    choices, labels, rival = known

    def check(path: Path, settings: Settings) -> None:
        check_folders(path, settings.dataset_limits, labels, labels_told(choices.labels), rival)

    async with received(request, check) as pictures:
        yield choices, pictures


@router.post(
    "/evaluations",
    status_code=202,
    response_model=None,
    dependencies=[Depends(accepts_json)],
    openapi_extra=_BODY,
    responses=ACCEPTED
    | responses(
        "malformed-request",
        "unknown-model",
        "unknown-label",
        "ambiguous-folder",
        "request-timeout",
        "body-too-large",
        "invalid-archive",
        "not-enough-images",
        "overloaded",
        "not-acceptable",
        "idempotency-key-reused",
        "queue-full",
        "storage-full",
        "worker-down",
    ),
)
async def evaluate_model(
    request: Request,
    jobs: Jobs,
    caller: Caller,
    key: IdempotencyKey,
    sent: Annotated[tuple[EvaluationChoices, Path], Depends(_pictures)],
) -> Response:
    """Find out how good a model is on pictures that it never saw, perhaps beside another one.

    The job's result has accuracy with its 95 % interval, each class, confusions, calibration, `unknown`, the surest
    mistakes; its files are a report to read and print, a table of all answers, and a sheet of the mistakes.
    """
    choices, pictures = sent
    request.state.model = choices.model
    flavour = f"{choices.model}/{choices.compare}/{choices.corruptions}/{pictures.stat().st_size.bit_length()}"
    order = Order(EVALUATION, flavour, caller, choices.model_dump(exclude_none=True), pictures)
    return await submit(jobs, order, key, request)
