"""POST /v1/ideal-images and POST /v1/adversarial-images: both answer with a job."""

import asyncio
import secrets
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api.dependencies import (
    Caller,
    IdempotencyKey,
    JobDesk,
    Jobs,
    Picture,
    Predictor,
    accepts_json,
    preferred_wait,
)
from app.api.disconnection import while_connected
from app.api.errors import ChoiceError
from app.api.problems import responses
from app.api.routes.classify import PICTURE_BODY, PICTURE_PROBLEMS
from app.api.routes.jobs import job_response, wait_for_end
from app.api.schemas.jobs import JobOut
from app.jobs.attack_params import AdversarialImageChoices
from app.jobs.job import Order
from app.jobs.params import (
    ADVERSARIAL_IMAGE,
    IDEAL_IMAGE,
    ChannelChoice,
    IdealImageChoices,
    LabelChoice,
)
from app.tracing import traceparent
from app.vision.networks.layers import find_layer
from app.vision.synthesis.adversarial_images import TargetIsSourceError, steps_of
from app.vision.synthesis.ideal_images import PRESETS
from app.vision.synthesis.patch_attack import DEFAULT_SHARE

router = APIRouter(tags=["synthesis"], dependencies=[Depends(accepts_json)])

ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "Done within the seconds of `Prefer: wait=N`.", "model": JobOut},
    202: {"description": "Accepted; `Location` is the job.", "model": JobOut},
}
_PROBLEMS = ("unknown-model", "idempotency-key-reused", "unknown-label", "queue-full", "storage-full", "worker-down")


@router.post(
    "/ideal-images",
    status_code=202,
    response_model=JobOut,
    responses=ACCEPTED
    | responses(
        "malformed-request", "request-timeout", "body-too-large", "unknown-layer", "not-acceptable", *_PROBLEMS
    ),
)
async def make_ideal_image(
    choices: IdealImageChoices,
    request: Request,
    predictor: Predictor,
    jobs: Jobs,
    caller: Caller,
    key: IdempotencyKey,
) -> Response:
    """Let a network draw what it looks for: an ideal image of a class, a channel or a neuron, or several that differ.

    With a `count`, the result has `facets`, each with its own scores, checks and `href`, and `files.sheet` shows them
    all; the scores beside them, and `files.final`, are those of the first. `similarity` is how alike a facet is to the
    others: the mean cosine of the Gram matrices of what the last stage but one makes of them, -1..1.
    """
    models = choices.models or [choices.model or predictor.default_model]
    model = models[0]
    labels = await asyncio.to_thread(predictor.repository.labels, model)
    request.state.model = model
    aim: LabelChoice | ChannelChoice
    if isinstance(choices.objective, LabelChoice):
        aim = LabelChoice(label=(await asyncio.to_thread(labels.find, choices.objective.label)).label)
        for partner in models[1:]:
            (await asyncio.to_thread(predictor.repository.labels, partner)).find(aim.label)
    else:
        aim = choices.objective
        await _check_channel(predictor, model, aim)
    filled = choices.model_copy(
        update={
            "model": model,
            "objective": aim,
            "steps": choices.steps or PRESETS[choices.preset].steps,
            "seed": _seed(choices.seed, key),
        }
    )
    flavour = f"{'+'.join(models)}/{filled.preset}/{filled.count}"
    order = Order(IDEAL_IMAGE, flavour, caller, filled.model_dump(exclude_none=True))
    return await submit(jobs, order, key, request)


@router.post(
    "/adversarial-images",
    status_code=202,
    response_model=JobOut,
    openapi_extra=PICTURE_BODY,
    responses=ACCEPTED | responses(*PICTURE_PROBLEMS, "target-is-source", *_PROBLEMS),
)
async def make_adversarial_image(
    request: Request,
    predictor: Predictor,
    jobs: Jobs,
    caller: Caller,
    key: IdempotencyKey,
    choices: Annotated[AdversarialImageChoices, Query()],
    picture: Picture,
) -> Response:
    """Change a picture so little that nobody sees it, and so that the network takes it for something else."""
    models = choices.models or [choices.model or predictor.default_model]
    classifier = await predictor.load(models[0])
    request.state.model = classifier.card.name
    found = await while_connected(request, predictor.classify(classifier, picture))
    target = await asyncio.to_thread(classifier.labels.find, choices.target) if choices.target else None
    for partner in models[1:]:
        labels = await asyncio.to_thread(predictor.repository.labels, partner)
        if target:
            labels.find(target.label)
    if target and target == found.top(1)[0].label:
        raise TargetIsSourceError(f"The picture is taken for {target.label!r} already.")
    filled = choices.model_copy(
        update={
            "model": classifier.card.name,
            "target": target.label if target else None,
            "steps": choices.steps or steps_of(choices.method, len(models), choices.survive),
            "patch": (choices.patch or DEFAULT_SHARE) if choices.method == "patch" else None,
            "place": (choices.place or "anywhere") if choices.method == "patch" else None,
            "seed": _seed(choices.seed, key),
        }
    )
    flavour = f"{'+'.join(models)}/{filled.method}/{(found.width * found.height).bit_length()}"
    order = Order(ADVERSARIAL_IMAGE, flavour, caller, filled.model_dump(exclude_none=True), picture)
    return await submit(jobs, order, key, request)


async def submit(jobs: JobDesk, order: Order, key: str | None, request: Request) -> Response:
    """Accept a job, and answer with it: as it is now, or when it has ended within the seconds of `Prefer: wait=N`."""
    job = await jobs.ask(jobs.queue.submit, replace(order, traceparent=traceparent()), key=key)
    wait = preferred_wait(request)
    if wait and not job.status.is_final:
        job = await wait_for_end(request, jobs, job, wait)
    return job_response(job, waited=wait, accepted=True)


def _seed(seed: int | None, key: str | None) -> int:
    """The one that was asked for, else a new one; the same for a request that comes again with its key."""
    if seed is not None:
        return seed
    return int.from_bytes(sha256(key.encode()).digest()[:4]) if key else secrets.randbits(32)


async def _check_channel(predictor: Predictor, model: str, aim: ChannelChoice) -> None:
    """Raises `UnknownLayerError`, or `ChoiceError` for a channel or neuron that the layer does not have."""
    classifier = await predictor.load(model)
    _, layer = await asyncio.to_thread(find_layer, classifier.backbone, aim.layer)
    channels, height, width = layer.shape
    for name, value, end in (("channel", aim.channel, channels), ("x", aim.x, width), ("y", aim.y, height)):
        if value is not None and value >= end:
            raise ChoiceError(f"/body/objective/{name}", f"{aim.layer} has {name} 0 to {end - 1}, not {value}.")
