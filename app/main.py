"""Puts the rings together into an ASGI application."""

import asyncio
import logging
import os
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from app import __version__, logs
from app.api import access, contract, problems
from app.api.bodies import Bodies
from app.api.dependencies import JobDesk
from app.api.doors import Doors, KeyLimits
from app.api.exchange import Exchange, safety_headers
from app.api.origins import Hosts, Origins, cors
from app.api.routes import (
    classify,
    evaluations,
    explanations,
    export,
    feature_maps,
    features,
    health,
    hugging_face,
    jobs,
    models,
    neighbors,
    open_inference,
    pages,
    privacy,
    stability,
    synthesis,
    teach,
)
from app.api.schemas.open_inference import InferIn
from app.api.spans import trace_requests
from app.api.unhandled import Unhandled
from app.api.upload_turns import UploadTurns
from app.jobs.files import StorageDownError, StorageFullError
from app.jobs.outage import Outage
from app.keys import KeyRing
from app.process.address import check_open, probe_address
from app.process.child import Child
from app.process.cleanup import sweep
from app.process.http_server import Connection, HttpServer
from app.process.memory import keep_big_blocks
from app.process.places import CannotServeError, check_places
from app.process.privacy import close_to_others, write_privately
from app.settings import Settings
from app.tracing import Tracing
from app.vision.models.model_folder import BrokenModelError
from app.vision.models.repository import ModelRepository, UnknownModelError
from app.vision.serving.predictor import DeviceUnavailableError, Predictor, allocated_bytes
from app.wiring import job_desk_for, metrics_for, predictor_for, repository_for

if TYPE_CHECKING:
    from app.api.metrics import Metrics

log = logging.getLogger(__name__)

_AGAIN_S: Final = 5.0
_FOLLOW_S: Final = 5.0
"""After that, at the latest, a model that another machine replaced or deleted is so here."""
PICTURE_PATHS: Final = (
    "/v1/classify",
    "/v1/feature-maps",
    "/v1/features",
    "/v1/explanations",
    "/v1/stability",
    "/v1/neighbors",
    "/v1/adversarial-images",
    "/v2/",
    "/hf/",
)
"""Their bodies are pictures, which the routes read themselves; a path that ends with / stands for all below it."""
_DESCRIPTION = """See what an image classifier sees.

The picture is the body, every choice is a query parameter, and every error is a problem of RFC 9457.
`curl --data-binary @dog.jpg http://127.0.0.1:8000/v1/classify`
"""


class State(TypedDict):
    """What the routes find in `request.state`."""

    settings: Settings
    predictor: Predictor
    loading: "asyncio.Task[None]"
    """Done when the default model answers, or cannot."""
    jobs: "asyncio.Task[JobDesk]"
    """Done when the queue of the jobs can be used."""
    outage: Outage
    """Of the database of the jobs."""
    uploads: UploadTurns
    bundles: export.Bundles


def create_app(settings: Settings) -> FastAPI:
    """The service; its default model is loaded in the background once it has started."""
    metrics = metrics_for(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        models = repository_for(settings)
        predictor = predictor_for(settings, models, metrics.batch) if metrics else predictor_for(settings, models)
        if metrics:
            metrics.watch(predictor.waiting, partial(allocated_bytes, predictor.device))
        loading = asyncio.create_task(_load(predictor))
        following = asyncio.create_task(_follow(predictor.repository)) if settings.files_url else None
        outage = Outage()
        jobs = asyncio.create_task(_open_jobs(settings, outage))
        await asyncio.to_thread(sweep, settings)
        describing = asyncio.create_task(_describe(app, asyncio.shield(loading)))
        child = Child(settings, after=asyncio.shield(loading)) if settings.worker == "child" else None
        yield {
            "settings": settings,
            "predictor": predictor,
            "loading": loading,
            "jobs": jobs,
            "outage": outage,
            "uploads": UploadTurns(),
            "bundles": export.Bundles(settings),
        }
        loading.cancel()
        describing.cancel()
        if following:
            following.cancel()
        if child:
            await child.stop()
        await _close_jobs(jobs)
        await asyncio.to_thread(predictor.close)

    app = FastAPI(
        title="Inkblot",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    _surround(app, settings, metrics)
    app.include_router(classify.router, prefix="/v1")
    app.include_router(feature_maps.router, prefix="/v1")
    app.include_router(features.router, prefix="/v1")
    app.include_router(explanations.router, prefix="/v1")
    app.include_router(stability.router, prefix="/v1")
    app.include_router(neighbors.router, prefix="/v1")
    app.include_router(models.router, prefix="/v1")
    app.include_router(teach.router, prefix="/v1")
    app.include_router(evaluations.router, prefix="/v1")
    app.include_router(export.router, prefix="/v1")
    app.include_router(synthesis.router, prefix="/v1")
    app.include_router(jobs.router, prefix="/v1")
    app.include_router(privacy.router, prefix="/v1")
    app.include_router(open_inference.router)
    app.include_router(hugging_face.router)
    app.include_router(health.router)
    contract.describe(app, [InferIn, hugging_face.ClassificationInputs])
    if metrics:
        app.include_router(health.metrics_router)
    pages.install(app)
    problems.install(app)
    access.describe(app)
    return app


def _surround(app: FastAPI, settings: Settings, metrics: "Metrics | None") -> None:
    """With what every request goes through, from within to without."""
    origins = settings.allowed_origins
    app.add_middleware(Unhandled)
    limits = dict.fromkeys(PICTURE_PATHS, settings.max_request_bytes) | dict.fromkeys(
        (teach.PATH, evaluations.PATH), settings.max_archive_bytes
    )
    app.add_middleware(Bodies, streamed=limits, seconds=settings.body_timeout_s)
    if settings.api_keys:  # around what reads a body: nobody without a key sends one
        limits_of_keys = KeyLimits(settings.key_requests, settings.key_upload_bytes)
        app.add_middleware(Doors, keys=KeyRing(settings.api_keys), limits=limits_of_keys)
    if origins:  # around the limit of the body, so that a page is told of a body that is too large
        app.add_middleware(cors, allowed=origins)
    hosts = Hosts(settings.allowed_hosts, listening=settings.host)
    app.add_middleware(Origins, hosts=hosts, allowed=origins)
    headers = safety_headers(embeddable=bool(origins))
    app.add_middleware(Exchange, headers=headers, observe=metrics.observe if metrics else None)
    app.state.metrics = metrics


def _what_passes() -> tuple[type[Exception], ...]:
    """Imported when it is needed: every command and test that imports the application would wait for SQLAlchemy."""
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError, OSError, StorageDownError, StorageFullError


async def _open_jobs(settings: Settings, outage: Outage) -> JobDesk:
    """Tries again until the database can be reached; any other error is a fault that waiting does not mend."""
    while True:
        try:
            desk = await asyncio.to_thread(job_desk_for, settings, outage)
        except _what_passes() as error:  # classification goes on
            outage.failed(error)
            await asyncio.sleep(_AGAIN_S)
        else:
            outage.is_over()
            return desk


async def _close_jobs(opening: "asyncio.Task[JobDesk]") -> None:
    if opening.done() and not opening.cancelled():
        desk = opening.result()
        desk.threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(desk.queue.close)
    opening.cancel()


async def _load(predictor: Predictor) -> None:
    try:
        await predictor.load()
    except Exception:  # whoever asks for it is told so by a problem, and the other models answer
        log.exception("The default model %s cannot be loaded.", predictor.default_model)


async def _describe(app: FastAPI, after: Awaitable[object]) -> None:
    """FastAPI keeps it; the first who asks would hold up all others. Nobody who waits for a model waits for this."""
    await after
    await asyncio.to_thread(app.openapi)


async def _follow(models: ModelRepository) -> None:
    while True:
        try:
            await asyncio.to_thread(models.refresh)
        except Exception:  # the models that are here go on serving
            log.exception("The models of other machines were not looked at.")
        await asyncio.sleep(_FOLLOW_S)


def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM; requests that were accepted are answered first. Raises `CannotServeError`."""
    write_privately()
    _check(settings)
    # uvicorn raises the signal once more when all is answered; then, and before it listens, the process just ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    keep_big_blocks()
    logs.configure(settings.log_level, settings.log_format)
    close_to_others(settings)
    warnings.filterwarnings("ignore", module="PIL")  # odd EXIF in users' files is no business of the log
    app = create_app(settings)
    tracing = Tracing(os.environ, "service")
    if tracing.provider:
        trace_requests(app, tracing.provider)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,  # `Exchange` tells more, and nothing of what was asked
        **trust(settings),
        server_header=False,
        timeout_graceful_shutdown=30,
    )
    server = HttpServer(config, on_exit=_end_streams)
    with suppress(KeyboardInterrupt):  # which uvicorn raises once more when all is answered
        server.run()
    tracing.close()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _end_streams(state: dict[str, Any]) -> None:
    """Those who listen would hold up the end until its last second; they come again when the next process answers."""
    opening: asyncio.Task[JobDesk] = state["jobs"]
    if opening.done() and not opening.cancelled() and not opening.exception():
        opening.result().events.close()


def trust(settings: Settings) -> dict[str, Any]:
    """Whom uvicorn believes who a client is; by itself it would believe all that runs on this machine."""
    proxies = list(settings.trusted_proxies)
    return {"proxy_headers": bool(proxies), "forwarded_allow_ips": proxies}


def _check(settings: Settings) -> None:
    """What would only show later, or as a traceback: a place, a device, model or port that is not there."""
    check_places(settings)
    check_open(settings)
    try:
        repository_for(settings).card(settings.default_model)
    except DeviceUnavailableError as error:
        raise CannotServeError(f"INKBLOT_DEVICE={settings.device}: {error}") from error
    except (UnknownModelError, BrokenModelError) as error:
        raise CannotServeError(f"{error} The default model must be one of those in {settings.models_dir}.") from error
    try:
        probe_address(settings)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise CannotServeError(f"{where} cannot be listened on: {error.strerror}.") from error
