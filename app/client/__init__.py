"""The Python client of the REST API: light, without torch and without FastAPI."""

from app.client.client import (
    DEFAULT_URL,
    MAX_PICTURE_BYTES,
    Client,
    ClientError,
    Job,
    JobEvent,
    Label,
    Model,
    NoServerError,
    PictureError,
    Prediction,
    ProblemError,
    Ready,
    read_all,
    read_picture,
)

__all__ = [
    "DEFAULT_URL",
    "MAX_PICTURE_BYTES",
    "Client",
    "ClientError",
    "Job",
    "JobEvent",
    "Label",
    "Model",
    "NoServerError",
    "PictureError",
    "Prediction",
    "ProblemError",
    "Ready",
    "read_all",
    "read_picture",
]
