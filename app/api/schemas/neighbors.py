"""The choices and the answer of POST /v1/neighbors."""

from base64 import b64encode
from typing import Literal, Self

from pydantic import BaseModel, Field

from app.api.schemas.classify import ModelOfPrediction, ScoredLabel, Unknown, Unknownness
from app.api.schemas.inspect import ImageSeen, Lang, LookTiming
from app.jobs.params import Choices
from app.vision.classifier import ModelCard
from app.vision.evaluation.neighbors import Neighbor, Neighbors


class NeighborChoices(Choices):
    model: str | None = Field(
        None, max_length=100, description="Name of a model that was taught here.", examples=["shapes"]
    )
    k: int = Field(5, ge=1, le=50, description="How many; more than there are is no error.")
    format: Literal["png", "webp", "json"] | None = Field(None, description="Instead of the Accept header.")
    lang: Lang = None


class NeighborOut(BaseModel):
    label: str
    name: str = Field(description="Of the picture, as it was sent.", examples=["cat/12.jpg"])
    similarity: float = Field(ge=-1, le=1, description="Cosine in the space of the standardised features.")
    thumbnail: str = Field(description="A small JPEG, as a `data:` address.")

    @classmethod
    def of(cls, found: Neighbor) -> Self:
        similarity = max(-1.0, min(1.0, round(found.similarity, 4)))
        thumbnail = f"data:image/jpeg;base64,{b64encode(found.thumbnail).decode()}"
        return cls(label=found.label, name=found.name, similarity=similarity, thumbnail=thumbnail)


class NeighborsOut(BaseModel):
    object: Literal["neighbors"] = "neighbors"
    model: ModelOfPrediction
    image: ImageSeen
    first: ScoredLabel = Field(description="What the picture is taken for.")
    unknown: Unknownness
    data: list[NeighborOut] = Field(description="The most similar first.")
    timing_ms: LookTiming

    @classmethod
    def of(cls, found: Neighbors, card: ModelCard, language: str, timing: LookTiming) -> Self:
        return cls(
            model=ModelOfPrediction.of(card),
            image=ImageSeen.of(found.upload),
            first=ScoredLabel.scored(found.first, language),
            unknown=Unknown.of(found.unknown),
            data=[NeighborOut.of(one) for one in found.nearest],
            timing_ms=timing,
        )
