"""The choices and the answer of POST /v1/stability."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from app.api.schemas.classify import ModelOfPrediction, Score, ScoredLabel, Unknown, Unknownness
from app.api.schemas.inspect import ImageSeen, Lang, LookTiming, Model, TargetName
from app.jobs.params import Choices
from app.vision.classifier import ModelCard
from app.vision.evaluation.changes import CHANGES, Change
from app.vision.evaluation.stability import ChangeAnswers, ChangedAnswer, Stability


class StabilityChoices(Choices):
    model: Model = None
    target: TargetName = None
    changes: list[Change] = Field(
        default=[*CHANGES], min_length=1, max_length=len(CHANGES), description="Which kinds; may be repeated."
    )
    format: Literal["png", "webp", "json"] | None = Field(None, description="Instead of the Accept header.")
    lang: Lang = None


class ChangedOut(BaseModel):
    severity: int = Field(ge=1, le=5, description="1 is mild.")
    first: ScoredLabel = Field(description="What the changed picture is taken for.")
    target_score: Score
    holds: bool = Field(description="Whether the first class is that of the unchanged picture.")

    @classmethod
    def of(cls, answer: ChangedAnswer, language: str) -> Self:
        return cls(
            severity=answer.severity,
            first=ScoredLabel.scored(answer.first, language),
            target_score=round(answer.score, 6),
            holds=answer.holds,
        )


class ChangeOut(BaseModel):
    name: Change
    flips_at: int | None = Field(description="The mildest strength at which the answer does not hold.")
    severities: list[ChangedOut]

    @classmethod
    def of(cls, found: ChangeAnswers, language: str) -> Self:
        answers = [ChangedOut.of(one, language) for one in found.answers]
        return cls(name=found.change, flips_at=found.flips_at, severities=answers)


class StabilityOut(BaseModel):
    object: Literal["stability"] = "stability"
    model: ModelOfPrediction
    image: ImageSeen
    first: ScoredLabel = Field(description="The answer to the unchanged picture.")
    target: ScoredLabel = Field(description="The class whose score is followed.")
    unknown: Unknownness
    stable_share: Score = Field(description="Of all changed pictures, those whose answer holds.")
    changes: list[ChangeOut]
    timing_ms: LookTiming

    @classmethod
    def of(cls, found: Stability, card: ModelCard, language: str, timing: LookTiming) -> Self:
        return cls(
            model=ModelOfPrediction.of(card),
            image=ImageSeen.of(found.upload),
            first=ScoredLabel.scored(found.first, language),
            target=ScoredLabel.scored(found.target, language),
            unknown=Unknown.of(found.unknown),
            stable_share=round(found.stable_share, 4),
            changes=[ChangeOut.of(one, language) for one in found.changes],
            timing_ms=timing,
        )
