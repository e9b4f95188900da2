"""Whether the process lives and whether it can answer; what it keeps of those who use it."""

import asyncio

from fastapi import APIRouter, Request

from app import __version__
from app.api.dependencies import JobDesk, Predictor
from app.api.problems import responses
from app.api.schemas.classify import Health, Ready
from app.jobs.damage import set_aside
from app.settings import Settings

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> Health:
    """The process lives; it may still be loading its model."""
    return Health(status="ok", version=__version__)


@router.get("/readyz", responses=responses("model-unavailable"))
async def readyz(request: Request, predictor: Predictor) -> Ready:
    """The default model is on its device, warm, and answers; `jobs` says whether slow work is taken, too."""
    classifier = await predictor.load()
    return Ready(
        status="ready",
        version=__version__,
        model=classifier.card.name,
        device=str(predictor.device),
        forward=predictor.forward_of(classifier) or "none",
        jobs="ready" if _takes_jobs(request) else "unavailable",
        notes=await asyncio.to_thread(_notes, request.state.settings),
    )


def _notes(settings: Settings) -> list[str]:
    """Names no folder: whoever may ask this need not know where the service keeps its files."""
    aside = set_aside(settings.jobs_sqlite) if settings.jobs_sqlite else ()
    return [f"A damaged database of jobs was set aside. {reason} `inkblot doctor` says where." for _, reason in aside]


def _takes_jobs(request: Request) -> bool:
    desk: asyncio.Task[JobDesk] = request.state.jobs
    return desk.done() and not desk.cancelled() and desk.exception() is None and not request.state.outage.lasts
