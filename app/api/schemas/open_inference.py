"""What the Open Inference Protocol, version 2, sends and gets (KServe's specification, as Triton speaks it)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.contract import EXAMPLE_PICTURE

Name = Annotated[str, Field(max_length=200)]
Parameters = dict[Annotated[str, Field(max_length=100)], bool | int | float | Annotated[str, Field(max_length=1000)]]


class ServerOut(BaseModel):
    name: str
    version: str
    extensions: list[str]


class HealthOut(BaseModel):
    live: bool | None = None
    ready: bool | None = None


class TensorOfModel(BaseModel):
    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int] = Field(description="-1 is any number.")


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorOfModel]
    outputs: list[TensorOfModel]


class TensorIn(BaseModel):
    name: Name
    datatype: Name
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(max_length=8)]
    parameters: Parameters = Field(default_factory=dict, description="`binary_data_size`, if it lies behind the JSON.")
    data: Any = Field(None, description="Nested or flat; BYTES are base64.")


class OutputIn(BaseModel):
    name: Name
    parameters: Parameters = Field(
        default_factory=dict, description="`binary_data`; `classification`: the best so many."
    )


class InferIn(BaseModel):
    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [EXAMPLE_PICTURE]}]}]
        },
    )

    id: Name | None = None
    parameters: Parameters = Field(default_factory=dict)
    inputs: list[TensorIn] = Field(
        min_length=1,
        max_length=1,
        description="`image`: BYTES, `[n]`, files; or `pixels`: FP32, `[n, 3, H, W]` in 0..1.",
    )
    outputs: list[OutputIn] = Field(default_factory=list, max_length=8)


class TensorOut(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[Any] | None = None


class InferOut(BaseModel):
    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorOut]
