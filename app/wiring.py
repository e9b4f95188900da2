"""Puts what the processes are made of together from the settings: models, predictor, queue, stores, training."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.settings import Settings
from app.vision.models.repository import ModelRepository, SharedModels
from app.vision.serving.predictor import Predictor, pick_device

if TYPE_CHECKING:
    from app.api.dependencies import JobDesk
    from app.api.metrics import Metrics
    from app.jobs.kinds.training import TrainingJobs
    from app.jobs.outage import Outage

_DESK_THREADS: Final = 16


def repository_for(settings: Settings) -> ModelRepository:
    """Find the models that ship, the taught ones and the shared ones; raises `DeviceUnavailableError`."""
    device = pick_device(settings.device)
    return ModelRepository(
        [settings.models_dir],
        weights_dir=settings.weights_folder,
        device=device,
        trained_dir=settings.trained_dir,
        shared=_shared_models(settings.trained_dir, settings.files_url) if settings.files_url else None,
    )


def _shared_models(folder: Path, url: str) -> SharedModels:
    from app.jobs.shared_models.mirror import ModelMirror
    from app.jobs.shared_models.store import ModelStore

    return ModelMirror(folder, ModelStore(url))


def predictor_for(
    settings: Settings, repository: ModelRepository, on_batch: Callable[[str, int, float], None] = lambda *_: None
) -> Predictor:
    return Predictor(
        repository,
        default_model=settings.default_model,
        engine=settings.engine,
        precision=settings.precision,
        cache_dir=settings.data_dir / "cache",
        threads=settings.threads,
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        limits=settings.image_limits,
        on_batch=on_batch,
    )


def job_desk_for(settings: Settings, outage: "Outage | None" = None) -> "JobDesk":
    """Open the queue of the jobs; raises whatever the database or the store of files raises."""
    from app.api.dependencies import JobDesk
    from app.jobs.event_stream import EventStream
    from app.jobs.files import FileStore
    from app.jobs.job import QueueLimits
    from app.jobs.queue import JobQueue

    files = FileStore(settings.jobs_files, max_bytes=settings.files_max_bytes)
    keep = timedelta(days=settings.jobs_keep_days)
    keep_uploads = timedelta(hours=settings.keep_uploads)
    limits = QueueLimits(settings.jobs_per_client, settings.jobs_total, keep, keep_uploads)
    queue = JobQueue(settings.jobs_database, files, limits, outage)
    threads = ThreadPoolExecutor(_DESK_THREADS, thread_name_prefix="jobs")
    return JobDesk(queue, files, EventStream(queue, threads), threads)


def metrics_for(settings: Settings) -> "Metrics | None":
    """None where nobody wants them."""
    if settings.metrics == "no":
        return None
    from app.api.metrics import Metrics

    return Metrics(path.parent.name for path in settings.models_dir.glob("*/model.json"))


def training_jobs_for(settings: Settings, models: ModelRepository, *, threads: int) -> "TrainingJobs":
    from app.jobs.kinds.training import TrainingJobs

    return TrainingJobs(
        models,
        settings.image_limits,
        settings.dataset_limits,
        cache_dir=settings.data_dir / "cache",
        engine=settings.engine,
        precision=settings.precision,
        threads=threads,
    )
