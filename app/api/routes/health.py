"""Whether the process lives, whether it can answer, and pages that explain it to people."""

from fastapi import APIRouter

from app import __version__
from app.api.dependencies import Predictor
from app.api.problems import responses
from app.api.schemas.classify import Health, Ready

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> Health:
    """The process lives; it may still be loading its model."""
    return Health(status="ok", version=__version__)


@router.get("/readyz", responses=responses("model-unavailable"))
async def readyz(predictor: Predictor) -> Ready:
    """The default model is on its device, warm, and answers."""
    classifier = await predictor.load()
    return Ready(
        status="ready",
        version=__version__,
        model=classifier.card.name,
        device=str(predictor.device),
        forward=predictor.forward_of(classifier) or "none",
    )
