"""Hugging Face's inference API for image classification, as its Python client speaks it."""

import base64
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.api.contract import EXAMPLE_PICTURE, body_of
from app.api.dependencies import ModelName, Picture, Predictor
from app.api.disconnection import while_connected
from app.api.errors import ChoiceError
from app.api.problems import responses
from app.api.routes.classify import PICTURE_BODY, PICTURE_PROBLEMS

router = APIRouter(prefix="/hf", tags=["hugging face"])

_TOP_K: Final = 5


class ClassificationParameters(BaseModel):
    """Of the task; `function_to_apply` other than softmax has no meaning for these heads."""

    top_k: int = Field(_TOP_K, ge=1, le=1000)
    function_to_apply: Literal["softmax"] = "softmax"


class ClassificationInputs(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": EXAMPLE_PICTURE, "parameters": {"top_k": 3}}]})

    inputs: Annotated[str, Field(description="The picture in base64.")]
    parameters: ClassificationParameters = Field(default_factory=lambda: ClassificationParameters(top_k=_TOP_K))


class ClassificationOutput(BaseModel):
    label: str
    score: float


_CONTENT: Final = {**PICTURE_BODY["requestBody"]["content"], "application/json": body_of(ClassificationInputs)}
_BODY: Final = {"requestBody": {**PICTURE_BODY["requestBody"], "content": _CONTENT}}


@router.post(
    "/models/{name}",
    openapi_extra=_BODY,
    responses=responses("unknown-model", *PICTURE_PROBLEMS),
)
async def classify_image(
    name: ModelName, request: Request, predictor: Predictor, picture: Picture
) -> list[ClassificationOutput]:
    """The likeliest classes of a picture, which is the body, or in base64 in JSON with `parameters`."""
    number = _TOP_K
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        picture, number = _read(picture)
    classifier = await predictor.load(name)
    request.state.model = name
    found = await while_connected(request, predictor.classify(classifier, picture))
    return [ClassificationOutput(label=one.label.label, score=one.score) for one in found.top(number)]


def _read(body: bytes) -> tuple[bytes, int]:
    try:
        asked = ClassificationInputs.model_validate_json(body)
        return base64.b64decode(asked.inputs, validate=True), asked.parameters.top_k
    except ValidationError as error:
        raise ChoiceError.of(error) from None
    except ValueError:  # letters that are not ASCII are no binascii.Error
        raise ChoiceError("/body/inputs", "inputs is not base64.") from None
