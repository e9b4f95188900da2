"""The Python client of the REST API: light, without torch and without FastAPI."""

from typing import TYPE_CHECKING

from app.client.archives import Pictures
from app.client.client import Client
from app.client.connections import DEFAULT_URL
from app.client.errors import ClientError, JobError, NoServerError, PictureError, ProblemError
from app.client.pictures import MAX_PICTURE_BYTES, PictureSource, picture_bytes, read_all, read_picture
from app.client.types import Job, JobEvent, Label, Layer, Model, Prediction, Ready

if TYPE_CHECKING:
    from app.client.async_client import AsyncClient

__all__ = [
    "DEFAULT_URL",
    "MAX_PICTURE_BYTES",
    "AsyncClient",
    "Client",
    "ClientError",
    "Job",
    "JobError",
    "JobEvent",
    "Label",
    "Layer",
    "Model",
    "NoServerError",
    "PictureError",
    "PictureSource",
    "Pictures",
    "Prediction",
    "ProblemError",
    "Ready",
    "picture_bytes",
    "read_all",
    "read_picture",
]


def __getattr__(name: str) -> object:
    if name != "AsyncClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from app.client.async_client import AsyncClient  # asyncio alone would cost every command 20 ms

    return AsyncClient
