"""The choices and answers of feature maps and explanations."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from app.api.schemas.classify import (
    ImageOfPrediction,
    Language,
    ModelOfPrediction,
    ScoredLabel,
    Timing,
    Unknown,
    Unknownness,
)
from app.jobs.params import Choices
from app.vision.classifier import ModelCard
from app.vision.drawing.captions import nowhere, place
from app.vision.drawing.colormaps import Colormap
from app.vision.drawing.sheet import Normalize
from app.vision.inspection.explanations import Method
from app.vision.inspection.feature_maps import ChannelNumbers, Channels, ChannelsError, FeatureMaps
from app.vision.inspection.focus import Region
from app.vision.inspection.requests import Explanation, Maps, Upload, Watch


def _channels(text: str) -> str:
    try:
        Channels.parse(text)
    except ChannelsError as error:
        raise PydanticCustomError("channels", "{reason}", {"reason": str(error)}) from None
    return text


Model = Annotated[
    str | None,
    Field(max_length=100, description="Name of a model; the service's default if absent.", examples=["imagenet"]),
]
TargetName = Annotated[
    str | None,
    Field(
        max_length=200,
        description="The class that is asked about: label, display name or index; absent: the likeliest.",
        examples=["tabby"],
    ),
]
LayerName = Annotated[
    str | None,
    Field(max_length=200, description="As GET /v1/models/{name}/layers lists them.", examples=["_blocks.15"]),
]
Lang = Annotated[Language | None, Field(description="Language of words and names; absent: Accept-Language decides.")]
Opacity = Annotated[float, Field(ge=0, le=1, description="How strongly the colours cover the photo.")]
Caption = Annotated[bool, Field(description="A strip under the picture with a title and the colour scale.")]


class FeatureMapChoices(Choices):
    model: Model = None
    layer: LayerName = Field(
        None, description="As GET /v1/models/{name}/layers lists them; absent: the suggested ones, one for each stage."
    )
    channels: Annotated[str, AfterValidator(_channels)] | None = Field(
        None,
        max_length=400,
        description="`top:16` by contribution to the class (the default; of several layers `top:8` each), "
        "`strongest:16` by mean magnitude, `0,5,9` or `0-31` by index; 64 at most.",
        examples=["top:16", "0-31"],
    )
    target: TargetName = None
    normalize: Normalize = Field(
        "channel", description="`channel`: each tile has all the colours; `layer`: brightness compares between tiles."
    )
    colormap: Colormap = "viridis"
    tile: int = Field(112, ge=32, le=256, description="Width of a tile in pixels.")
    overlay: bool = Field(
        False, description="Not a grid, but the first channel (without `layer`: of the last stage) over the photo."
    )
    opacity: Opacity = 0.65
    caption: Caption = False
    format: Literal["png", "webp", "json", "npy"] | None = Field(None, description="Instead of the Accept header.")
    lang: Lang = None


class ExplanationChoices(Choices):
    model: Model = None
    method: Method = "grad_cam"
    target: TargetName = None
    layer: LayerName = Field(
        None, description="For grad_cam; absent: the last one with a spatial output that is suggested."
    )
    view: Literal["overlay", "heat_map"] = Field("overlay", description="Over the photo, or the colours alone.")
    colormap: Colormap = "inferno"
    opacity: Opacity = 0.65
    caption: Caption = False
    format: Literal["png", "webp", "json"] | None = Field(None, description="Instead of the Accept header.")
    lang: Lang = None


class Box(BaseModel):
    """Fractions 0 to 1 of the upright picture."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, region: Region) -> Self:
        parts = (region.x, region.y, region.width, region.height)
        return cls(**dict(zip(cls.model_fields, (round(part, 4) for part in parts), strict=True)))


class Point(BaseModel):
    """Fractions 0 to 1 of the upright picture."""

    x: float
    y: float


class ImageSeen(ImageOfPrediction):
    seen: Box = Field(description="The part of the picture that the network gets to see.")

    @classmethod
    def of(cls, upload: Upload) -> Self:
        return cls(
            sha256=upload.sha256,
            width=upload.width,
            height=upload.height,
            format=upload.format,
            seen=Box.of(upload.seen),
        )


class LookTiming(Timing):
    drawing: float


class ChannelOut(BaseModel):
    channel: int
    mean: float
    max: float
    active_fraction: float = Field(ge=0, le=1, description="Share of the positions above zero.")
    contribution: float = Field(description="Gradient × activation, summed: to first order its part of the logit.")

    @classmethod
    def of(cls, numbers: ChannelNumbers) -> Self:
        return cls(
            channel=numbers.channel,
            mean=rounded(numbers.mean),
            max=rounded(numbers.max),
            active_fraction=rounded(numbers.active_fraction),
            contribution=rounded(numbers.contribution),
        )


class LayerMaps(BaseModel):
    object: Literal["feature_maps"] = "feature_maps"
    model: ModelOfPrediction
    image: ImageSeen
    target: ScoredLabel
    unknown: Unknownness
    layer: str
    index: int = Field(description="Place of the layer in GET /v1/models/{name}/layers, from 0.")
    shape: tuple[int, int, int] = Field(description="Channels, height, width.")
    stage: int
    channels: list[ChannelOut] = Field(description="In the order that was asked for.")
    timing_ms: LookTiming

    @classmethod
    def of(cls, found: Maps, maps: FeatureMaps, card: ModelCard, language: str, timing: LookTiming) -> Self:
        return cls(
            model=ModelOfPrediction.of(card),
            image=ImageSeen.of(found.upload),
            target=ScoredLabel.scored(found.target, language),
            unknown=Unknown.of(found.unknown),
            layer=maps.layer.name,
            index=maps.index,
            shape=maps.layer.shape,
            stage=maps.layer.stage,
            channels=[ChannelOut.of(numbers) for numbers in maps.numbers()],
            timing_ms=timing,
        )


class LayerMapsList(BaseModel):
    object: Literal["list"] = "list"
    data: list[LayerMaps] = Field(description="A layer for each stage, from the first to the last.")


class ExplanationOut(BaseModel):
    object: Literal["explanation"] = "explanation"
    model: ModelOfPrediction
    image: ImageSeen
    method: Method
    layer: str | None = Field(description="Of grad_cam; the other methods look at the pixels.")
    target: ScoredLabel
    unknown: Unknownness
    focus: Box | None = Field(
        description="The box around the hottest part: what hangs together with the hottest point and is half as hot "
        "at least. Null if nothing in the picture speaks for the class."
    )
    hottest: Point | None
    focus_text: str = Field(examples=["upper left"])
    heat_map: list[list[float]] = Field(description="0 to 1, rows from the top; it covers `image.seen`.")
    completeness_error: float | None = Field(
        description="Of integrated_gradients: how far their sum is from the difference of the target's logit between "
        "the picture and the blurred one, as a share of it."
    )
    timing_ms: LookTiming

    @classmethod
    def of(cls, found: Explanation, card: ModelCard, language: str, timing: LookTiming) -> Self:
        focus, error = found.focus, found.evidence.completeness_error
        return cls(
            model=ModelOfPrediction.of(card),
            image=ImageSeen.of(found.upload),
            method=found.method,
            layer=found.layer.name if found.layer else None,
            target=ScoredLabel.scored(found.target, language),
            unknown=Unknown.of(found.unknown),
            focus=Box.of(focus.box) if focus else None,
            hottest=Point(x=round(focus.x, 4), y=round(focus.y, 4)) if focus else None,
            focus_text=place(focus.x, focus.y, language) if focus else nowhere(language),
            heat_map=[[round(value, 4) for value in row] for row in found.evidence.heat_map.tolist()],
            completeness_error=None if error is None else round(error, 5),
            timing_ms=timing,
        )


def timing_of(watch: Watch, total_ms: float) -> LookTiming:
    """What is neither decoding nor computing nor drawing was waiting for a turn."""
    spent = {name: round(watch.ms.get(name, 0.0), 2) for name in ("decode", "inference", "drawing")}
    return LookTiming(**spent, queue=round(max(0.0, total_ms - sum(spent.values())), 2), total=round(total_ms, 2))


def rounded(value: float) -> float:
    """Seven digits, which is what a float32 has."""
    return float(f"{value:.7g}")
