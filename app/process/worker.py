"""The process that does the slow work: a child of the service by default, its own service at scale."""

import logging
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from app import logs
from app.process.cleanup import sweep
from app.process.places import check_places
from app.process.privacy import close_to_others, write_privately
from app.settings import Settings

log = logging.getLogger(__name__)

_NICE: Final = 10
"""On a CPU, classification goes before slow work."""


def work(settings: Settings, *, is_child: bool = False) -> None:
    """Do jobs until SIGTERM or SIGINT (a child also: until its standard input ends, since then its parent is gone).

    Jobs that are not done by then have saved their state, and go on where a worker is started next.
    Raises `CannotServeError` or `DeviceUnavailableError`.
    """
    from app.jobs.database import first_free, migrate, open_engine
    from app.jobs.files import FileStore
    from app.jobs.kinds.images import Tasks
    from app.jobs.outage import Outage
    from app.jobs.worker import Worker
    from app.process.memory import keep_big_blocks
    from app.tracing import Tracing
    from app.vision.serving.predictor import allocated_bytes
    from app.vision.threads import use_threads
    from app.wiring import repository_for, training_jobs_for

    write_privately()
    check_places(settings)
    keep_big_blocks()
    logs.configure(settings.log_level, settings.log_format)
    close_to_others(settings)
    models = repository_for(settings)
    if models.device.type == "cpu" and hasattr(os, "nice"):
        os.nice(_NICE)
    use_threads(settings.worker_threads)
    sweep(settings)
    outage = Outage()
    engine = open_engine(settings.jobs_database, outage)
    migrate(engine, settings.jobs_database)
    tracing = Tracing(os.environ, "worker")
    training_jobs = training_jobs_for(settings, models, threads=settings.worker_threads)
    prepare = training_jobs.forwards.prepare if settings.precision == "fast" else lambda _: None
    with first_free(engine, platform.node() or "worker") as lock:
        worker = Worker(
            engine,
            FileStore(settings.jobs_files, max_bytes=settings.files_max_bytes),
            Tasks(models, limits=settings.image_limits, prepare=prepare),
            training_jobs,
            outage=outage,
            lock=lock,
            device=str(models.device),
            running=settings.jobs_running,
            keep=timedelta(days=settings.jobs_keep_days),
            tracing=tracing,
            device_bytes=partial(allocated_bytes, models.device),
            keep_uploads=timedelta(hours=settings.keep_uploads),
            on_thread=partial(use_threads, settings.worker_threads),
        )
        for signal_ in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_, lambda *_: worker.stop())
        if is_child:
            threading.Thread(target=_when_orphaned, args=(worker.stop,), daemon=True).start()
        log.info("The worker %s does %d jobs at once on %s.", lock.name, settings.jobs_running, models.device)
        worker.run()
    tracing.close()
    logging.shutdown()
    os._exit(0)  # the workflows of jobs that were handed back would wait for ever


def _when_orphaned(stop: Callable[[], None]) -> None:
    sys.stdin.buffer.read()
    stop()
