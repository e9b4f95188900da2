"""POST /v1/stability: how firmly does an answer stand?"""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import Picture, Predictor, preferred_language
from app.api.negotiation import answered, in_forms, negotiated
from app.api.problems import responses
from app.api.routes.classify import PICTURE_BODY, PICTURE_PROBLEMS
from app.api.routes.feature_maps import target_of
from app.api.schemas.stability import StabilityChoices, StabilityOut
from app.vision.encoding import Encoding
from app.vision.evaluation.stability import StabilityRequest, stability

router = APIRouter(tags=["look inside"])

_FORMS: Final[dict[str, Encoding | None]] = {"json": None, "png": "PNG", "webp": "WEBP"}


@router.post(
    "/stability",
    response_model=StabilityOut,
    openapi_extra=PICTURE_BODY,
    responses=in_forms("png", "webp") | responses("unknown-model", "unknown-label", *PICTURE_PROBLEMS),
)
async def ask_after_changes(
    request: Request, predictor: Predictor, choices: Annotated[StabilityChoices, Query()], picture: Picture
) -> Response:
    """Ask again after fourteen kinds of change at five strengths each: noise, blur, JPEG, rotation and so on.

    In numbers, or (`Accept: image/png`) as a contact sheet: a row a change, framed in red where the answer flips.
    """
    form = negotiated(request, choices.format, tuple(_FORMS))
    classifier = await predictor.load(choices.model)
    request.state.model = classifier.card.name
    target = await target_of(classifier, choices.target)
    language = choices.lang or preferred_language(request)
    wanted = StabilityRequest(tuple(dict.fromkeys(choices.changes)), target, language, _FORMS[form])
    limits = predictor.limits
    work = predictor.run_steps(classifier, lambda forward: stability(classifier, forward, picture, limits, wanted))
    return await answered(
        request, form, work, lambda found, timing: StabilityOut.of(found, classifier.card, language, timing)
    )
