"""What can be chosen for an adversarial image."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from app.jobs.params import Choices, Deadline, Model, Seed, check_models

_NUMBER: Final = r"(?:\d{1,9}(?:\.\d{0,20})?|\.\d{1,20})(?:e-?\d{1,2})?"
_SHARE: Final = re.compile(rf"({_NUMBER})(?:/({_NUMBER}))?", re.ASCII | re.IGNORECASE)


def _listed(value: object) -> object:
    """`"a,b"` as well as `["a", "b"]`, also where a query names a choice several times."""
    told = [value] if isinstance(value, str) else value
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        return value
    return [name.strip() for one in told for name in one.split(",") if name.strip()]


def _share(value: object) -> object:
    """`"8/255"` as well as 0.03137. Not by `Fraction`, which makes a number of 1e20000000 that has as many digits."""
    if not isinstance(value, str):
        return value
    found = _SHARE.fullmatch(value.replace(" ", ""))
    if not found or (found[2] and not float(found[2])):
        raise ValueError("it must be a number or a fraction like 8/255")
    return float(found[1]) / float(found[2] or 1)


class AdversarialImageChoices(Choices):
    model: Model = None
    models: Annotated[list[Annotated[str, Field(max_length=100)]] | None, BeforeValidator(_listed)] = Field(
        None,
        min_length=2,
        max_length=6,
        description="Instead of `model`: networks that shall all be fooled by one picture, each verified after each "
        "way of saving; by commas, or repeated. `target` must be a class of all.",
        examples=[["imagenet", "efficientnet_lite1"]],
    )
    target: str | None = Field(
        None,
        max_length=200,
        description="What it shall be taken for: label, display name or index; absent: anything else than now.",
        examples=["tabby"],
    )
    method: Literal["robust", "minimal", "pgd", "fgsm", "lesson", "patch"] = Field(
        "robust",
        description="`robust` survives what `survive` says, `minimal` changes as little as possible, `patch` makes a "
        "disc to print that fools wherever it is put.",
    )
    patch: Annotated[float | None, BeforeValidator(_share)] = Field(
        None, ge=0.02, le=0.25, description="Share of the picture that the patch covers; default: a tenth."
    )
    place: Literal["anywhere", "center", "top-left", "top-right", "bottom-left", "bottom-right"] | None = Field(
        None,
        description="In which part of the places that its middle can have the patch shall fool; default: anywhere that "
        "the network sees. A large patch has little room.",
    )
    survive: Annotated[list[Literal["file", "messenger", "edit"]], BeforeValidator(_listed)] = Field(
        default=["file"],
        min_length=1,
        max_length=3,
        description="After what it shall still fool: `file` (PNG, JPEG 95, 90 and 75, half the size; always among "
        "them), `messenger` (half the size, then JPEG 70), `edit` (5 % cut off each edge, mirrored, turned by 3°, a "
        "white margin of 8 %); by commas, or repeated. `robust` is optimised for these; all methods are verified "
        "after each of them.",
        examples=[["file", "messenger", "edit"]],
    )
    norm: Literal["linf", "l2"] = Field(
        "linf", description="What epsilon measures; for `minimal` always the L2 norm of all values."
    )
    epsilon: Annotated[float | None, BeforeValidator(_share)] = Field(
        None, gt=0, le=10_000, description="Largest change, as 0.03137 or 8/255; default: the method's."
    )
    steps: int | None = Field(None, ge=1, le=1000, description="Default: the method's.")
    score: float | None = Field(None, gt=0, lt=1, description="Probability to reach; default: to be first.")
    space: Literal["original", "model"] = Field(
        "original", description="Change the picture at its own size, or the small canvas that the network sees."
    )
    seed: Seed | None = Field(None, description="Default: chosen at random, and shown in the job.")
    deadline_s: Deadline | None = Field(None, description="Seconds after which the job gives up.")

    @model_validator(mode="after")
    def _norm_of_method(self) -> Self:
        if self.norm == "l2" and self.method not in {"pgd", "fgsm", "minimal"}:
            raise ValueError(f"norm=l2 is for pgd, fgsm and minimal; {self.method} bounds each value (linf)")
        return self

    @model_validator(mode="after")
    def _patch(self) -> Self:
        if self.method != "patch" and (self.patch is not None or self.place):
            raise ValueError("`patch` and `place` are for method=patch")
        if self.method == "patch" and (self.epsilon is not None or self.score is not None):
            raise ValueError("epsilon and score are not for method=patch, which is bounded by its size")
        if self.method == "patch" and self.space == "model":
            raise ValueError("space=model is not for method=patch")
        return self

    @model_validator(mode="after")
    def _several_models(self) -> Self:
        check_models(self.model, self.models)
        if self.models and self.space == "model":
            raise ValueError("space=model is for one network, whose canvas is changed")
        return self
