"""What goes over the wire, exactly as /openapi.json promises it: models, labels, predictions."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.params import Choices
from app.vision.classifier import ModelCard
from app.vision.evaluation.stability import MildStability
from app.vision.feature_space import UNKNOWN
from app.vision.labels import Label, Scored
from app.vision.networks.backbones import BackboneCard, find_weights
from app.vision.networks.layers import Layer
from app.vision.serving.forwards import Choice
from app.vision.serving.precision import Agreement, Precision
from app.vision.serving.predictor import Prediction as ClassPrediction

Language = Literal["en", "tr"]
Score = Annotated[float, Field(ge=0, le=1)]


class Problem(BaseModel):
    """RFC 9457. `type` is a page that a person can read."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/problems/unsupported-image"])
    title: str
    status: int
    detail: str
    request_id: str
    suggestions: list[str] | None = Field(None, description="Nearest names, when a name was wrong.")
    errors: list[dict[str, str]] | None = Field(
        None, description="`pointer` and `detail` of each choice that cannot be."
    )


class ClassifyChoices(Choices):
    model: str | None = Field(
        None, max_length=100, description="Name of a model; the service's default if absent.", examples=["imagenet"]
    )
    top_k: int = Field(5, ge=1, le=1000, description="How many classes; more than there are is no error.")
    min_score: Score = Field(0, description="Leave out classes below this probability.")
    lang: Language | None = Field(None, description="Language of `display`; absent: Accept-Language decides.")
    stability: bool = Field(
        False, description="Also whether the answer holds after eight mild changes, for nine times the work."
    )


class LabelChoices(Choices):
    q: str = Field(
        "", max_length=100, description="Part of a label or display name, in any language; accents do not matter."
    )
    lang: Language | None = Field(None, description="Language of `display`; absent: Accept-Language decides.")


class LanguageChoice(Choices):
    lang: Language | None = Field(None, description="Language of the descriptions; absent: Accept-Language decides.")


class LabelOut(BaseModel):
    index: int
    label: str = Field(description="Stable English key.")
    display: str = Field(description="Localised text.")

    @classmethod
    def of(cls, label: Label, language: str) -> Self:
        return cls(index=label.index, label=label.label, display=label.display_in(language))


class ScoredLabel(LabelOut):
    score: Score

    @classmethod
    def scored(cls, found: Scored, language: str) -> Self:
        label = found.label
        display = label.display_in(language)
        return cls(index=label.index, label=label.label, display=display, score=round(found.score, 6))


class ModelOfPrediction(BaseModel):
    name: str
    version: int
    backbone: str
    num_classes: int

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        return cls(name=card.name, version=card.version, backbone=card.backbone, num_classes=card.num_classes)


class ImageOfPrediction(BaseModel):
    sha256: str = Field(description="Of the uploaded bytes.")
    width: int = Field(description="Upright, as EXIF says.")
    height: int
    format: str = Field(examples=["JPEG"])


class Unknown(BaseModel):
    is_unknown: bool = Field(
        description="Whether the score exceeds 0.5. `metrics.unknown` of the card: how often that is right."
    )
    score: Score = Field(description="How surely it belongs to none of the classes.")

    @classmethod
    def of(cls, score: float | None) -> Self | None:
        """None if the model cannot tell."""
        return None if score is None else cls(is_unknown=score > UNKNOWN, score=round(score, 4))


class StabilityOfPrediction(BaseModel):
    agreeing: int = Field(description="How many mildly changed pictures are taken for the same.")
    of: int
    kept: float = Field(description="The share of its score that the answer keeps on average; above 1 if it rises.")
    suspicious: bool = Field(
        description="Whether that is less than half, as after small adversarial changes. It finds most `minimal` and "
        "`pgd` ones, less than half of the `robust` and few `fgsm` ones; docs/benchmarks.md has the rates."
    )

    @classmethod
    def of_mild(cls, found: MildStability) -> Self:
        return cls(agreeing=found.agreeing, of=found.of, kept=round(found.kept, 4), suspicious=found.suspicious)


Unknownness = Annotated[
    Unknown | None,
    Field(description="Whether the picture looks like none of the classes; null if the model cannot tell."),
]


class Timing(BaseModel):
    """Milliseconds."""

    decode: float
    queue: float
    inference: float
    total: float

    def header(self) -> str:
        """As Server-Timing has it."""
        return ", ".join(f"{name};dur={value}" for name, value in self.model_dump().items())


class Prediction(BaseModel):
    object: Literal["prediction"] = "prediction"
    model: ModelOfPrediction
    image: ImageOfPrediction
    predictions: list[ScoredLabel] = Field(description="Likeliest first.")
    unknown: Unknownness
    stability: StabilityOfPrediction | None = Field(None, description="If it was asked for.")
    timing_ms: Timing

    @classmethod
    def of(
        cls,
        found: ClassPrediction,
        choices: ClassifyChoices,
        *,
        language: str,
        total_ms: float,
        mild: MildStability | None = None,
    ) -> Self:
        return cls(
            model=ModelOfPrediction.of(found.card),
            image=ImageOfPrediction(
                sha256=found.sha256, width=found.width, height=found.height, format=found.format
            ),
            predictions=[
                ScoredLabel.scored(one, language) for one in found.top(choices.top_k, choices.min_score)
            ],
            unknown=Unknown.of(found.unknown),
            stability=StabilityOfPrediction.of_mild(mild) if mild else None,
            timing_ms=Timing(
                decode=round(found.decode_ms, 2),
                queue=round(found.queue_ms, 2),
                inference=round(found.inference_ms, 2),
                total=round(total_ms, 2),
            ),
        )  # fmt: skip


class PredictionList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Prediction | Problem] = Field(description="In the order of the files; a bad file is its own problem.")


class AgreementOut(BaseModel):
    """How something quicker answers calibration pictures for this model, against float32."""

    forward: str
    pictures: int
    same_class: Score = Field(description="The share of the pictures that it takes for the same.")
    same_unknown: Score | None = Field(
        description="The share of which it says the same: unknown, or not; null if the model cannot tell."
    )
    difference: float = Field(description="Of the probability that differs most, in the mean of the pictures.")
    near: float = Field(
        description="Where the two likeliest classes are as near as this, float32 takes a second look and answers."
    )
    second_looks: Score = Field(description="The share of the pictures where that was so.")
    speed: float = Field(description="How many times as quick it is, with the second looks.")
    holds: bool = Field(
        description="Whether it may serve: same_class and same_unknown are at least 0.99, difference at most 0.02, "
        "speed above 1."
    )

    @classmethod
    def of(cls, found: Agreement) -> Self:
        return cls(
            forward=found.forward,
            pictures=found.pictures,
            same_class=found.same_class,
            same_unknown=found.same_unknown,
            difference=round(found.difference, 5),
            near=found.near,
            second_looks=found.second_looks,
            speed=round(found.speed, 2),
            holds=found.holds,
        )


class PrecisionOut(BaseModel):
    asked: Precision = Field(description="What INKBLOT_PRECISION says.")
    forward: str = Field(description="What answers: the engine, device and precision that were chosen.")
    agreements: list[AgreementOut] = Field(description="What else was tried with `fast`, or serves, and the evidence.")

    @classmethod
    def of(cls, asked: Precision, choice: Choice) -> Self:
        agreements = [AgreementOut.of(one) for one in choice.agreements]
        return cls(asked=asked, forward=choice.forward.name, agreements=agreements)


class ModelOut(BaseModel):
    object: Literal["model"] = "model"
    name: str
    version: int
    backbone: str
    num_classes: int
    description: str
    licence: str | None
    source: str | None
    metrics: dict[str, Any] = Field(
        description="How good it is: accuracy with its 95 % interval, baseline, confusion, calibration error, and "
        "`unknown` with its threshold and how often it is right."
    )
    training: dict[str, Any] | None = Field(
        description="How it was taught: mode, seed, counts of the pictures by class, seconds, versions of the "
        "libraries, created_at; null for an original head."
    )
    precision: PrecisionOut | None = Field(description="What answers for it; null until it was asked for once.")
    is_default: bool
    is_trained: bool = Field(description="Whether it was taught here and can be deleted; the others ship with Inkblot.")
    links: dict[str, str]

    @classmethod
    def of(cls, card: ModelCard, language: str, *, precision: PrecisionOut | None, is_default: bool) -> Self:
        path = f"/v1/models/{card.name}"
        return cls(
            name=card.name,
            version=card.version,
            backbone=card.backbone,
            num_classes=card.num_classes,
            description=card.description.get(language) or card.description.get("en", ""),
            licence=card.licence,
            source=card.source,
            metrics=dict(card.metrics),
            training={name: value for name, value in card.training.items() if name != "job"} or None,
            precision=precision,
            is_default=is_default,
            is_trained=card.is_trained,
            links={"self": path, **{name: f"{path}/{name}" for name in ("labels", "layers", "export")}},
        )


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelOut]


class LabelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[LabelOut]


class LayerOut(BaseModel):
    name: str
    shape: tuple[int, int, int] = Field(description="Channels, height, width.")
    stage: int
    suggested: bool

    @classmethod
    def of(cls, layer: Layer) -> Self:
        return cls(name=layer.name, shape=layer.shape, stage=layer.stage, suggested=layer.suggested)


class LayerList(BaseModel):
    object: Literal["list"] = "list"
    data: list[LayerOut]


class BackboneOut(BaseModel):
    name: str
    available: bool = Field(description="Whether its weights are present.")
    input_size: int
    feature_size: int
    weights: list[str] = Field(
        description="The file names that will do: in INKBLOT_WEIGHTS_DIR (see `inkblot weights`), or in a package."
    )
    licence: str
    source: str

    @classmethod
    def of(cls, card: BackboneCard, weights_dir: Path | None) -> Self:
        first = card.weights[0]
        return cls(
            name=card.name,
            available=find_weights(card, weights_dir) is not None,
            input_size=first.preprocessing.crop,
            feature_size=card.feature_size,
            weights=[one.name for one in card.weights],
            licence=first.licence,
            source=first.source,
        )


class BackboneList(BaseModel):
    object: Literal["list"] = "list"
    data: list[BackboneOut]


Part = Literal["database", "worker", "disk"]


class Health(BaseModel):
    status: Literal["ok", "ready"]
    version: str


class Ready(Health):
    model: str
    device: str
    forward: str = Field(description="What answers: the engine, device and precision that the start-up probe chose.")
    precision: PrecisionOut = Field(description="By which evidence it answers so.")
    jobs: Literal["ready", "unavailable"] = Field(
        description="Whether slow work is taken; pictures are classified without it."
    )
    reasons: dict[Part, str] = Field(
        description="What does not work while pictures are classified, by its name, in a sentence; mostly nothing."
    )
    notes: list[str] = Field(description="What a person should look at; mostly nothing.")
