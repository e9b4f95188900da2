"""The Open Inference Protocol, version 2: clients of Triton, KServe and others classify with it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from app import __version__
from app.api.bodies import arriving_within
from app.api.contract import body_of
from app.api.dependencies import ModelName, Predictor, ServiceSettings
from app.api.disconnection import while_connected
from app.api.errors import ChoiceError
from app.api.problems import responses
from app.api.routes.classify import PICTURE_PROBLEMS
from app.api.schemas.open_inference import HealthOut, InferIn, InferOut, ModelMetadata, ServerOut, TensorOfModel
from app.api.tensors import LENGTH, read_request, write_answer
from app.vision.classifier import Classifier
from app.vision.models.repository import UnknownModelError
from app.vision.serving.predictor import Prediction
from app.vision.serving.tensors import Tensor, best_classes, canvases_of, tensors_of

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

Version = Annotated[str | None, Field(examples=["1"])]
_EXTENSIONS: Final = ["binary_tensor_data", "classification"]
_INFER_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "JSON, or JSON and the bytes of the tensors behind it (Inference-Header-Content-Length).",
        "content": {
            "application/json": body_of(InferIn),
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {200: {"model": InferOut}}


@router.get("", response_model=ServerOut)
async def server_metadata() -> ServerOut:
    """What this server is."""
    return ServerOut(name="inkblot", version=__version__, extensions=_EXTENSIONS)


@router.get("/health/live", response_model_exclude_none=True)
async def live() -> HealthOut:
    """The process lives."""
    return HealthOut(live=True)


@router.get("/health/ready", response_model_exclude_none=True, responses=responses("model-unavailable"))
async def ready(predictor: Predictor) -> HealthOut:
    """The default model answers."""
    await predictor.load()
    return HealthOut(ready=True)


@router.get("/models/{name}", responses=responses("unknown-model"))
@router.get("/models/{name}/versions/{version}", responses=responses("unknown-model"))
async def model_metadata(name: ModelName, predictor: Predictor, version: Version = None) -> ModelMetadata:
    """What goes into a model and comes out of it; `pixels` have the size of its canvas."""
    classifier = await _found(predictor, name, version)
    card, crop = classifier.card, classifier.backbone.preprocessing.crop
    outputs = [
        TensorOfModel(name="probabilities", datatype="FP32", shape=[-1, card.num_classes]),
        TensorOfModel(name="label", datatype="BYTES", shape=[-1]),
    ]
    if classifier.space:
        outputs.append(TensorOfModel(name="unknown", datatype="FP32", shape=[-1]))
    return ModelMetadata(
        name=name,
        versions=[str(card.version)],
        platform=f"inkblot_{card.backbone}",
        inputs=[
            TensorOfModel(name="image", datatype="BYTES", shape=[-1]),
            TensorOfModel(name="pixels", datatype="FP32", shape=[-1, 3, crop, crop]),
        ],
        outputs=outputs,
    )


@router.get("/models/{name}/ready", responses=responses("unknown-model"))
@router.get("/models/{name}/versions/{version}/ready", responses=responses("unknown-model"))
async def model_ready(name: ModelName, predictor: Predictor, version: Version = None) -> HealthOut:
    """The model answers."""
    await _found(predictor, name, version)
    return HealthOut(ready=True)


@router.post(
    "/models/{name}/infer",
    openapi_extra=_INFER_BODY,
    responses=_ANSWERS | responses("unknown-model", *PICTURE_PROBLEMS),
)
@router.post(
    "/models/{name}/versions/{version}/infer",
    openapi_extra=_INFER_BODY,
    responses=_ANSWERS | responses("unknown-model", *PICTURE_PROBLEMS),
)
async def infer(
    name: ModelName, request: Request, predictor: Predictor, settings: ServiceSettings, version: Version = None
) -> Response:
    """Classify 1 to 16 pictures: files (`image`, BYTES), or canvases that are ready (`pixels`, FP32 in 0..1).

    `probabilities` and `label` come back, and `unknown` of a model that can tell. Pixels are rounded to 8 bits.
    """
    async with arriving_within(settings.body_timeout_s):
        body = await request.body()
    asked, tensor = await asyncio.to_thread(read_request, body, request.headers.get(LENGTH))
    classifier = await _found(predictor, name, version)
    request.state.model = name
    pictures = tensor.shape[0] if tensor.shape else 0
    if not 0 < pictures <= settings.max_pictures:
        raise ChoiceError("/body/inputs/0/shape", f"1 to {settings.max_pictures} pictures can be asked about at once.")
    if tensor.datatype == "FP32":
        rows, strange = await while_connected(
            request, predictor.classify_canvases(classifier, canvases_of(tensor, classifier))
        )
        found = tensors_of(classifier.labels, list(rows), strange)
    else:
        every = _classified(predictor, classifier, tensor.values.ravel().tolist())
        predictions = await while_connected(request, asyncio.create_task(every))
        probabilities = [one.probabilities for one in predictions]
        found = tensors_of(classifier.labels, probabilities, [one.unknown for one in predictions])
    outputs, binary = _wanted(asked, classifier, found)
    answer = InferOut(model_name=name, model_version=str(classifier.card.version), id=asked.id, outputs=[])
    content, length = write_answer(answer, outputs, binary)
    media_type = "application/octet-stream" if length else "application/json"
    return Response(content, media_type=media_type, headers={LENGTH: length} if length else None)


async def _classified(predictor: Predictor, classifier: Classifier, pictures: Sequence[bytes]) -> list[Prediction]:
    """In their order. Raises what the first that cannot be classified raises."""
    return await asyncio.gather(*(predictor.classify(classifier, data) for data in pictures))


async def _found(predictor: Predictor, name: str, version: str | None) -> Classifier:
    """Raises what loading raises, and `UnknownModelError` for another version than the one that answers."""
    classifier = await predictor.load(name)
    if version not in {None, str(classifier.card.version)}:
        raise UnknownModelError(f"{name}, version {version}", [])
    return classifier


def _wanted(
    asked: InferIn, classifier: Classifier, found: Mapping[str, Tensor]
) -> tuple[Mapping[str, Tensor], set[str]]:
    """The tensors that are wanted, and which of them go out as bytes. Raises `ChoiceError` for one that is not."""
    as_bytes = bool(asked.parameters.get("binary_data_output"))
    if not asked.outputs:
        return found, set(found) if as_bytes else set()
    outputs = {}
    for place, one in enumerate(asked.outputs):
        if one.name not in found:
            raise ChoiceError(f"/body/outputs/{place}/name", f"There is no output {one.name!r}: {', '.join(found)}.")
        best = one.parameters.get("classification")
        if best and one.name == "probabilities":
            if not isinstance(best, int) or not 0 < best <= len(classifier.labels):
                where = f"/body/outputs/{place}/parameters/classification"
                raise ChoiceError(where, f"classification is 1 to {len(classifier.labels)}.")
            outputs[one.name] = best_classes(found[one.name], classifier.labels, best)
        else:
            outputs[one.name] = found[one.name]
    return outputs, {one.name for one in asked.outputs if one.parameters.get("binary_data", as_bytes)}
