"""What is kept, as it goes over the wire."""

from typing import Literal

from pydantic import BaseModel, Field


class KeptOut(BaseModel):
    what: str
    where: str
    how_long: str
    who: str = Field(description="Who can see it.")


class Privacy(BaseModel):
    object: Literal["privacy"] = "privacy"
    lang: Literal["en", "tr"] = Field(description="Of the texts.")
    data: list[KeptOut]
