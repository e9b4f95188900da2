"""The Python client of the REST API: light, without torch and without FastAPI."""

from app.client.client import DEFAULT_URL, Client
from app.client.errors import ClientError, NoServerError, PictureError, ProblemError
from app.client.pictures import MAX_PICTURE_BYTES, read_all, read_picture
from app.client.types import Job, JobEvent, Label, Model, Prediction, Ready

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
