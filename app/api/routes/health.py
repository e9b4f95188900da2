"""Whether the process lives and whether it can answer; what it keeps of those who use it."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from app import __version__
from app.api.dependencies import JobDesk, Predictor
from app.api.problems import responses
from app.api.schemas.classify import Health, Part, PrecisionOut, Ready
from app.jobs.damage import set_aside
from app.jobs.files import StorageFullError
from app.jobs.job import QueueDownError
from app.settings import Settings

router = APIRouter(tags=["operations"])
_LEAST_BYTES: Final = 256 * 1024 * 1024
_DATABASE: Final = "The database of the jobs cannot be reached."


@router.get("/healthz")
async def healthz() -> Health:
    """The process lives; it may still be loading its model."""
    return Health(status="ok", version=__version__)


@router.get("/readyz", responses=responses("model-unavailable"))
async def readyz(request: Request, predictor: Predictor) -> Ready:
    """The default model is on its device, warm, and answers; `jobs` says whether slow work is taken, too."""
    classifier = await predictor.load()
    choice = predictor.choice_of(classifier)
    assert choice, "it was prepared when it was loaded"
    return Ready(
        status="ready",
        version=__version__,
        model=classifier.card.name,
        device=str(predictor.device),
        forward=choice.forward.name,
        precision=PrecisionOut.of(predictor.precision, choice),
        jobs="ready" if _takes_jobs(request) else "unavailable",
        reasons=await _reasons(request),
        notes=await asyncio.to_thread(_notes, request.state.settings),
    )


metrics_router = APIRouter(include_in_schema=False)


@metrics_router.get("/metrics")
async def get_metrics(request: Request) -> Response:
    """What Prometheus asks for."""
    desk: asyncio.Task[JobDesk] = request.state.jobs
    ready = desk.done() and not desk.cancelled() and desk.exception() is None
    text = await asyncio.to_thread(request.app.state.metrics.text, desk.result() if ready else None)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _notes(settings: Settings) -> list[str]:
    """Names no folder: whoever may ask this need not know where the service keeps its files."""
    aside = set_aside(settings.jobs_sqlite) if settings.jobs_sqlite else ()
    return [f"A damaged database of jobs was set aside. {reason} `inkblot doctor` says where." for _, reason in aside]


async def _reasons(request: Request) -> dict[Part, str]:
    """What does not work, by its name; mostly nothing. The model is not among them: without it there is no answer."""
    found: dict[Part, str] = {}
    settings: Settings = request.state.settings
    if _takes_jobs(request):
        desk: JobDesk = request.state.jobs.result()
        try:
            workers = await desk.ask(desk.queue.workers)
        except (QueueDownError, StorageFullError):
            found["database"] = _DATABASE
        else:
            if not any(one.is_alive for one in workers):
                found["worker"] = (
                    "No worker has given a sign of life in the last half minute: jobs wait until one does."
                )
    else:
        found["database"] = _DATABASE
    if await asyncio.to_thread(_free_bytes, settings.data_dir) < _LEAST_BYTES:
        found["disk"] = "The disk of the service is nearly full: jobs and uploads will be refused."
    return found


def _free_bytes(folder: Path) -> int:
    """Of a folder that is not there yet, or cannot be looked at, nothing is known."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return _LEAST_BYTES


def _takes_jobs(request: Request) -> bool:
    desk: asyncio.Task[JobDesk] = request.state.jobs
    return desk.done() and not desk.cancelled() and desk.exception() is None and not request.state.outage.lasts
