"""The choices and the answer of POST /v1/features."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from app.api.schemas.classify import ModelOfPrediction
from app.api.schemas.inspect import LayerName, LookTiming, Model, rounded
from app.jobs.params import Choices
from app.vision.classifier import ModelCard
from app.vision.inspection.features import Features


class FeatureChoices(Choices):
    model: Model = None
    layer: LayerName = Field(
        None,
        description="The mean of each channel of this layer, as GET /v1/models/{name}/layers lists them; absent: the "
        "pooled features that the head gets.",
    )
    format: Literal["json", "npy", "csv"] | None = Field(None, description="Instead of the Accept header.")


class FeatureList(BaseModel):
    object: Literal["list"] = "list"
    model: ModelOfPrediction
    layer: str | None
    shape: tuple[int, int] = Field(description="Pictures, features.")
    data: list[list[float]] = Field(description="A row a picture, in the order in which they were sent.")
    timing_ms: LookTiming

    @classmethod
    def of(cls, found: Features, card: ModelCard, timing: LookTiming) -> Self:
        pictures, features = found.rows.shape
        return cls(
            model=ModelOfPrediction.of(card),
            layer=found.layer.name if found.layer else None,
            shape=(pictures, features),
            data=[[rounded(value) for value in row] for row in found.rows.tolist()],
            timing_ms=timing,
        )
