"""What the OpenAPI document says beyond what FastAPI finds: the bodies that routes read themselves."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

_REF: Final = "#/components/schemas/{model}"
EXAMPLE_PICTURE: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4kWKEFTEMLQkAVkZXgUFSAJcAAAAASUVORK5CYII="
)
"""A PNG of 8×8 pixels, in base64."""


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """A reference to the schema of a JSON body; `describe` puts the schema where it points to."""
    return {"schema": {"$ref": _REF.format(model=model.__name__)}}


def describe(app: FastAPI, bodies: Sequence[type[BaseModel]]) -> None:
    """Let the document have the schemas of these bodies, too."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _, found = models_json_schema([(body, "validation") for body in bodies], ref_template=_REF)
        for name, schema in found["$defs"].items():
            document["components"]["schemas"].setdefault(name, schema)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's own documentation extends it
