"""POST /v1/classify."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api.dependencies import Pictures, Predictor, accepts_json, milliseconds_since_start, preferred_language
from app.api.disconnection import while_connected
from app.api.problems import Problem, responses
from app.api.schemas.classify import ClassifyChoices, Prediction, PredictionList
from app.api.schemas.classify import Problem as ProblemOut
from app.vision.evaluation.stability import MildStability, mild_stability

router = APIRouter(tags=["classify"], dependencies=[Depends(accepts_json)])

PICTURE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The picture itself (its format is found from the bytes), or a form with 1 to 16 files.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 16,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
        },
    }
}


PICTURE_PROBLEMS = (
    "malformed-request",
    "not-acceptable",
    "request-timeout",
    "body-too-large",
    "image-too-large",
    "unsupported-image",
    "invalid-image",
    "overloaded",
)
"""Of every path that takes a picture."""


@router.post(
    "/classify",
    openapi_extra=PICTURE_BODY,
    responses=responses("unknown-model", *PICTURE_PROBLEMS),
)
async def classify(
    request: Request,
    response: Response,
    predictor: Predictor,
    choices: Annotated[ClassifyChoices, Query()],
    pictures: Pictures,
) -> Prediction | PredictionList:
    """Say what is in a picture, or in each of up to 16.

    One picture gets a prediction; several get a list with, for each, a prediction or a problem of its own.
    """
    classifier = await predictor.load(choices.model)
    request.state.model = classifier.card.name
    language = choices.lang or preferred_language(request)

    async def predict(data: bytes | Exception) -> Prediction:
        if isinstance(data, Exception):
            raise data
        found = await predictor.classify(classifier, data)
        mild = await held(data) if choices.stability else None
        total_ms = milliseconds_since_start(request)
        return Prediction.of(found, choices, language=language, total_ms=total_ms, mild=mild)

    async def held(data: bytes) -> MildStability:
        limits = predictor.limits
        return await predictor.run_steps(classifier, lambda forward: mild_stability(classifier, forward, data, limits))

    async def predict_all() -> list[Prediction | BaseException]:
        return await asyncio.gather(*map(predict, pictures), return_exceptions=True)

    response.headers["Vary"] = "Accept, Accept-Language"
    if len(pictures) == 1:
        prediction = await while_connected(request, asyncio.create_task(predict(pictures[0])))
        response.headers["Server-Timing"] = prediction.timing_ms.header()
        return prediction
    results = await while_connected(request, asyncio.create_task(predict_all()))
    return PredictionList(data=[one if isinstance(one, Prediction) else _problem(one, request) for one in results])


def _problem(error: BaseException, request: Request) -> ProblemOut:
    if not isinstance(error, Exception):
        raise error
    return ProblemOut.model_validate(Problem.of(error).body(request))
