"""POST /v1/neighbors: which pictures that a model learned from does this one look like?"""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import Picture, Predictor, preferred_language
from app.api.negotiation import answered, in_forms, negotiated
from app.api.problems import responses
from app.api.routes.classify import PICTURE_BODY, PICTURE_PROBLEMS
from app.api.schemas.neighbors import NeighborChoices, NeighborsOut
from app.vision.encoding import Encoding
from app.vision.evaluation.neighbors import neighbors, remembered

router = APIRouter(tags=["look inside"])

_FORMS: Final[dict[str, Encoding | None]] = {"json": None, "png": "PNG", "webp": "WEBP"}


@router.post(
    "/neighbors",
    response_model=NeighborsOut,
    openapi_extra=PICTURE_BODY,
    responses=in_forms("png", "webp") | responses("unknown-model", "no-examples", *PICTURE_PROBLEMS),
)
async def find_neighbors(
    request: Request, predictor: Predictor, choices: Annotated[NeighborChoices, Query()], picture: Picture
) -> Response:
    """Show the pictures that a model learned from which are most like this one.

    For models that were taught here on a frozen backbone; those that ship keep no pictures.
    """
    form = negotiated(request, choices.format, tuple(_FORMS))
    classifier = await predictor.load(choices.model)
    request.state.model = classifier.card.name
    path = await asyncio.to_thread(predictor.repository.pictures_of, classifier.card.name)
    known = await asyncio.to_thread(remembered, classifier, path)
    language, limits = choices.lang or preferred_language(request), predictor.limits
    work = predictor.run_steps(
        classifier,
        lambda forward: neighbors(
            classifier, forward, known, picture, limits, k=choices.k, language=language, form=_FORMS[form]
        ),
    )
    return await answered(
        request, form, work, lambda found, timing: NeighborsOut.of(found, classifier.card, language, timing)
    )
