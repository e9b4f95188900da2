"""POST /v1/explanations."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import Picture, Predictor, preferred_language
from app.api.errors import ChoiceError
from app.api.negotiation import answered, in_forms, negotiated
from app.api.problems import responses
from app.api.routes.classify import PICTURE_BODY
from app.api.routes.feature_maps import LOOK_PROBLEMS, target_of
from app.api.schemas.inspect import ExplanationChoices, ExplanationOut
from app.vision.drawing.overlay import OverlayStyle
from app.vision.encoding import Encoding
from app.vision.inspection.inspection import explain, layers_of
from app.vision.inspection.requests import ExplanationRequest

router = APIRouter(tags=["look inside"])

_FORMS: dict[str, Literal["numbers"] | Encoding] = {"png": "PNG", "webp": "WEBP", "json": "numbers"}


@router.post(
    "/explanations",
    response_model=ExplanationOut,
    openapi_extra=PICTURE_BODY,
    responses=in_forms("png", "webp") | responses(*LOOK_PROBLEMS),
)
async def make_explanation(
    request: Request, predictor: Predictor, choices: Annotated[ExplanationChoices, Query()], picture: Picture
) -> Response:
    """Show what a class's score rests on, as a heat map over the whole picture.

    What the network did not get to see is hatched. With `Accept: application/json` the heat map in numbers, the box
    around its hottest part, and where that is in words.
    """
    form = negotiated(request, choices.format, tuple(_FORMS))
    if choices.layer and choices.method != "grad_cam":
        raise ChoiceError("/query/layer", f"layer: {choices.method} looks at the pixels; only grad_cam takes a layer.")
    classifier = await predictor.load(choices.model)
    request.state.model = classifier.card.name
    target = await target_of(classifier, choices.target)
    (layer,) = await asyncio.to_thread(layers_of, classifier, choices.layer) if choices.layer else (None,)
    language = choices.lang or preferred_language(request)
    wanted = ExplanationRequest(
        method=choices.method,
        layer=layer,
        target=target,
        style=OverlayStyle(choices.colormap, choices.opacity),
        bare=choices.view == "heat_map",
        caption=choices.caption,
        language=language,
        form=_FORMS[form],
    )
    limits = predictor.limits
    answer = predictor.run_steps(classifier, lambda forward: explain(classifier, forward, picture, limits, wanted))
    return await answered(
        request, form, answer, lambda found, timing: ExplanationOut.of(found, classifier.card, language, timing)
    )
