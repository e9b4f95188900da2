"""What can be chosen for each kind of job: the request, the job's `input`, and part of its recipe."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.vision.transfer.class_names import class_name

IDEAL_IMAGE = "ideal_image"
ADVERSARIAL_IMAGE = "adversarial_image"
MODEL = "model"
CORRECTION = "correction"
EVALUATION = "evaluation"


_MORE: Final = 8
"""Choices that do not exist, each of which is told; a body has room for thousands."""


Seed = Annotated[int, Field(ge=0, lt=2**53)]
Deadline = Annotated[float, Field(gt=0, le=24 * 3600)]
Model = Annotated[
    str | None,
    Field(max_length=100, description="Name of a model; the service's default if absent.", examples=["imagenet"]),
]
Index = Annotated[int, Field(ge=0, le=65535)]


class Choices(BaseModel):
    """What a client chooses; a choice that does not exist is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _not_too_many(cls, given: object) -> object:
        if isinstance(given, Mapping) and len(given) > len(cls.model_fields) + _MORE:
            raise ValueError(f"there are {len(given):,} choices, most of which do not exist")
        return given

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """Which pydantic takes for 1."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, bool) and field.annotation is not bool:
            raise ValueError("true and false are no answer here")
        return value


def check_models(model: str | None, models: Sequence[str] | None) -> None:
    """Raises `ValueError` where one `model` is named beside others, or one of the `models` twice."""
    if models and model not in {None, models[0]}:
        raise ValueError("either `model` or `models`, not both")
    if models and len(set(models)) < len(models):
        raise ValueError("`models` names a model twice")


class LabelChoice(Choices):
    label: str = Field(
        max_length=200, description="A class of the model, by label, display name or index.", examples=["zebra"]
    )


class ChannelChoice(Choices):
    layer: str = Field(max_length=200, description="Name of a layer, as GET /v1/models/{name}/layers lists them.")
    channel: Index
    x: Index | None = Field(None, description="Column of a single neuron; absent: the whole channel.")
    y: Index | None = Field(None, description="Row of a single neuron.")


class IdealImageChoices(Choices):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "imagenet", "objective": {"label": "zebra"}, "preset": "clear"}]}
    )

    model: Model = None
    objective: LabelChoice | ChannelChoice
    models: list[Annotated[str, Field(max_length=100)]] | None = Field(
        None,
        min_length=2,
        max_length=6,
        description="Instead of `model`: networks that shall all see it in one picture. The scores are those of the "
        "first; networks that took no part judge it.",
        examples=[["imagenet", "efficientnet_lite1"]],
    )
    preset: Literal["clear", "fine", "quick", "lesson", "raw"] = Field(
        "clear",
        description="`clear`, `fine` (slower) and `quick` look like it; `raw` optimises the pixels alone, and `lesson` "
        "with the variation loss.",
    )
    steps: int | None = Field(None, ge=1, le=2048, description="Default: the preset's.")
    seed: Seed | None = Field(None, description="Default: chosen at random, and shown in the job.")
    size: int = Field(224, ge=64, le=1024, description="Width and height of the picture in pixels.")
    count: int = Field(
        1,
        ge=1,
        le=9,
        description="Facets: so many pictures of the same, drawn at once, that are to differ; and a sheet of them.",
        examples=[4],
    )
    diversity: float = Field(
        1, ge=0, le=10, description="How much the facets are kept from being alike; 0: each for itself."
    )
    deadline_s: Deadline | None = Field(None, description="Seconds after which the job gives up.")

    @model_validator(mode="after")
    def _several_pictures(self) -> Self:
        if self.count > 1 and self.preset in {"lesson", "raw"}:
            raise ValueError("`count` is for the presets clear, fine and quick")
        return self

    @model_validator(mode="after")
    def _several_models(self) -> Self:
        check_models(self.model, self.models)
        if self.models and (isinstance(self.objective, ChannelChoice) or self.preset in {"lesson", "raw"}):
            raise ValueError("`models` is for a class, and for the presets clear, fine and quick")
        return self


class TeachChoices(Choices):
    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="Name of the new model: small letters, digits, - and _.",
        examples=["shapes"],
    )
    backbone: str = Field(
        "efficientnet_lite0", max_length=100, description="What to transfer from: see GET /v1/backbones."
    )
    mode: Literal["linear_probe", "fine_tune"] = Field(
        "linear_probe", description="A new head on the frozen backbone (seconds), or the backbone, too (minutes)."
    )
    epochs: int = Field(5, ge=1, le=100, description="How often fine_tune sees every picture.")
    val_fraction: float = Field(
        0.2, ge=0.05, le=0.5, description="Share of the pictures that judge, in turn, what was learned from the others."
    )
    augment: bool = Field(False, description="Learn from the mirrored pictures, too.")
    seed: Seed | None = Field(None, description="Default: 0. The same seed and pictures make the same head.")
    replace: bool = Field(False, description="Make the next version of a model that was taught here.")
    deadline_s: Deadline | None = Field(None, description="Seconds after which the job gives up.")


class EvaluationChoices(Choices):
    model: Model = None
    compare: str | None = Field(
        None,
        max_length=100,
        description="A second model, which is asked about the same pictures.",
        examples=["imagenet"],
    )
    labels: list[Annotated[str, Field(max_length=4000)]] = Field(
        default=[],
        max_length=1000,
        description="Which classes count as right for a folder: `folder=label[,label…]` (may be repeated), or JSON "
        '`{"folder": ["label", …]}`. Default: the class, or the kind of things, that the folder is called after.',
        examples=[["cat=tabby,tiger cat,Persian cat"]],
    )
    corruptions: bool = Field(
        False, description="Also how accuracy holds under fourteen kinds of change at five strengths, on 100 pictures."
    )
    lang: Literal["en", "tr"] | None = Field(
        None, description="Language of names and of the sheet; absent: Accept-Language decides."
    )
    seed: Seed | None = Field(None, description="Of the noise and of the choice of pictures to change; default: 0.")
    deadline_s: Deadline | None = Field(None, description="Seconds after which the job gives up.")

    @field_validator("labels")
    @classmethod
    def _can_be_read(cls, labels: list[str]) -> list[str]:
        labels_told(labels)
        return labels


def labels_told(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The classes that count as right, by folder. Raises `ValueError`."""
    told: dict[str, tuple[str, ...]] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                found = json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError("`labels` is no JSON") from None
            folders: dict[str, Any] = {
                name: [names] if isinstance(names, str) else names for name, names in found.items()
            }
        else:
            before, _, after = text.partition("=")
            folders = {before.strip(): [name.strip() for name in after.split(",") if name.strip()]}
        for folder, names in folders.items():
            if (
                not folder
                or not isinstance(names, list)
                or not names
                or not all(isinstance(name, str) for name in names)
            ):
                raise ValueError("`labels` is not like folder=label,label")
            told[folder] = (*told.get(folder, ()), *names)
    return told


class Correction(Choices):
    picture: str = Field(
        max_length=500, description="Name of a picture, as `worst` of the result has it.", examples=["red/0.png"]
    )
    label: str | None = Field(
        max_length=100, description="What it shows: a class that there is, or a new one; null leaves the picture out."
    )

    @field_validator("label")
    @classmethod
    def _can_be_shown(cls, label: str | None) -> str | None:
        return None if label is None else class_name(label)


class CorrectionChoices(Choices):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"corrections": [{"picture": "red/0.png", "label": "blue"}]}]}
    )

    corrections: list[Correction] = Field(min_length=1, max_length=1000)
    deadline_s: Deadline | None = Field(None, description="Seconds after which the job gives up.")
