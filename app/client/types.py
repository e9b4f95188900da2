"""The answers of the service: the JSON of the API, as dictionaries."""

from typing import Any, Literal, TypedDict


class Label(TypedDict):
    index: int
    label: str
    display: str


class ScoredLabel(Label):
    score: float


class ModelOfPrediction(TypedDict):
    name: str
    version: int
    backbone: str
    num_classes: int


class ImageOfPrediction(TypedDict):
    sha256: str
    width: int
    height: int
    format: str


class Unknown(TypedDict):
    is_unknown: bool
    score: float


class MildStability(TypedDict):
    agreeing: int
    of: int
    kept: float
    suspicious: bool


class Prediction(TypedDict):
    object: Literal["prediction"]
    model: ModelOfPrediction
    image: ImageOfPrediction
    predictions: list[ScoredLabel]
    unknown: Unknown | None
    stability: MildStability | None
    timing_ms: dict[str, float]


class Model(ModelOfPrediction):
    object: Literal["model"]
    description: str
    licence: str | None
    source: str | None
    metrics: dict[str, Any]
    training: dict[str, Any] | None
    is_default: bool
    is_trained: bool
    links: dict[str, str]


class Layer(TypedDict):
    name: str
    shape: list[int]
    stage: int
    suggested: bool


class Ready(TypedDict):
    status: Literal["ready"]
    version: str
    model: str
    device: str
    forward: str
    jobs: Literal["ready", "unavailable"]


class Job(TypedDict):
    object: Literal["job"]
    id: str
    kind: str
    status: Literal["queued", "running", "succeeded", "failed", "canceled"]
    queue: dict[str, float] | None
    progress: dict[str, Any] | None
    preview: str | None
    input: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    links: dict[str, str]


class JobEvent(TypedDict):
    event: str
    data: dict[str, Any]
