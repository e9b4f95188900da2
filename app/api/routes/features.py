"""POST /v1/features."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import Pictures, Predictor, milliseconds_since_start
from app.api.disconnection import while_connected
from app.api.negotiation import Answer, in_forms, negotiated
from app.api.problems import responses
from app.api.routes.classify import PICTURE_BODY, PICTURE_PROBLEMS
from app.api.schemas.features import FeatureChoices, FeatureList
from app.api.schemas.inspect import timing_of
from app.vision.inspection.features import Features, features_of
from app.vision.inspection.inspection import layers_of

router = APIRouter(tags=["look inside"])


@router.post(
    "/features",
    response_model=FeatureList,
    openapi_extra=PICTURE_BODY,
    responses=in_forms("npy", "csv") | responses("unknown-model", "unknown-layer", *PICTURE_PROBLEMS),
)
async def make_features(
    request: Request, predictor: Predictor, choices: Annotated[FeatureChoices, Query()], pictures: Pictures
) -> Response:
    """Take what a frozen network makes of 1 to 16 pictures out of it, for a classifier of your own.

    A row a picture, in their order: as JSON, as float32 `[n, features]` (`application/x-npy`) or as `text/csv`. One
    broken picture is a problem that says which, and there is no answer for the others.
    """
    form = negotiated(request, choices.format, ("json", "npy", "csv"))
    for picture in pictures:
        if isinstance(picture, Exception):
            raise picture
    uploads = [picture for picture in pictures if isinstance(picture, bytes)]
    classifier = await predictor.load(choices.model)
    request.state.model = classifier.card.name
    layer = (await asyncio.to_thread(layers_of, classifier, choices.layer))[0] if choices.layer else None
    work = predictor.run_steps(
        classifier, lambda forward: features_of(classifier, forward, uploads, predictor.limits, layer)
    )
    found: Features = await while_connected(request, work)
    timing = timing_of(found.watch, milliseconds_since_start(request))
    match form:
        case "npy":
            body = found.as_npy()
        case "csv":
            body = found.as_csv()
        case _:
            body = FeatureList.of(found, classifier.card, timing).model_dump_json().encode()
    return Answer(body, form, timing)
