"""The worker: takes jobs from the queue, runs them all on one engine, and tells how they go.

A worker that dies leaves its jobs marked as its own; others put them back into the queue (see `succession`), and they
go on from their last checkpoint.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from dbos import DBOS
from torch import Tensor

from app.jobs import dbos_log
from app.jobs.checkpoint import packed, unpacked
from app.jobs.database import Alive, reaching
from app.jobs.engine import CanceledError, Engine, EngineStoppedError, Run, cancel_unwanted, run_alone
from app.jobs.failure import failure
from app.jobs.files import PREVIEW, UPLOAD, FileStore, StorageDownError, StorageFullError
from app.jobs.job import DeadlineExceededError, QueueDownError, Status
from app.jobs.kinds.evaluation import evaluation
from app.jobs.kinds.images import JobResult, Tasks, preview_file
from app.jobs.kinds.training import TrainingJobs
from app.jobs.outage import Outage
from app.jobs.params import CORRECTION, EVALUATION, MODEL
from app.jobs.patience import Patience, hand_on
from app.jobs.queue import QUEUE, VERSION
from app.jobs.remains import Remains
from app.jobs.succession import Succession
from app.jobs.tables import SERIALIZER, STREAM, WORKFLOW, Tables
from app.jobs.workers import Account
from app.jobs.writer import Writer
from app.tracing import Tracing
from app.vision.ask import Algorithm, Progress, Steps

log = logging.getLogger(__name__)

_POLL_S: Final = 0.1
_IDLE_S: Final = 0.5
_REAP_S: Final = 2.0
_SWEEP_S: Final = 600.0
_LAST_S: Final = 30.0
"""For the states of all jobs, when the worker ends; a store that hangs would take a minute for each."""
_RECOVERIES: Final = 20
"""A job that so many workers died of is given up; being handed back counts, too."""
_CHECKPOINT: Final = "checkpoint"

Publish = Callable[[str, Mapping[str, Any]], None]
News = asyncio.Queue[tuple[str, Mapping[str, Any]] | None]


class Worker:
    """Runs until `stop`; one a process, since DBOS is."""

    def __init__(
        self,
        engine: sa.Engine,
        files: FileStore,
        tasks: Tasks,
        training_jobs: TrainingJobs,
        *,
        outage: Outage,
        lock: Alive,
        device: str,
        running: int,
        keep: timedelta,
        keep_uploads: timedelta,
        tracing: Tracing,
        device_bytes: Callable[[], int | None],
        on_thread: Callable[[], Any] = lambda: None,
    ) -> None:
        """`lock` is held (see `database.first_free`), and its name is the worker's. Ended jobs are kept for `keep`."""
        self._database, self._files, self._device = engine, files, device
        self._outage = outage
        self._tasks, self._training_jobs = tasks, training_jobs
        self._name, self._at_once = lock.name, running
        self._succession = Succession(engine, lock)
        self._tracing = tracing
        self._account = Account(engine, lock.name, device, device_bytes)
        self._keep = keep
        self._tables = Tables(engine)
        self._remains = Remains(engine, files, keep_uploads)
        self._on_thread = on_thread
        self._engine = Engine(on_thread, training_jobs.forwards.features)
        self._ours: dict[str, Run[JobResult]] = {}
        self._alone: set[threading.Thread] = set()
        self._writer = Writer()
        self._stop = threading.Event()
        self._with_store = Patience(StorageDownError, Outage("The store of the jobs' files"), self._stop.is_set)
        self._with_database = Patience(QueueDownError, outage, self._stop.is_set)

    def run(self) -> None:
        """Take jobs until `stop` is called from another thread or a signal handler."""
        self._launch()
        looked = swept = -float("inf")
        while not self._stop.wait(_POLL_S if self._ours else _IDLE_S):
            now = time.monotonic()
            try:
                with reaching():
                    cancel_unwanted(self._ours, self._tables.states)
                    if now - looked > _REAP_S:
                        self._account.tell()
                        if not self._succession.look():
                            log.error("The name %s is another worker's since the database was away.", self._name)
                            self.stop()
                        looked = now
                    if now - swept > _SWEEP_S:
                        swept = now
                        self._remains.sweep(self._keep)
                if self._outage.lasts:
                    self._outage.is_over()
            except (QueueDownError, StorageFullError) as error:  # what runs goes on meanwhile
                self._outage.failed(error.__cause__ or error)
                self._stop.wait(_IDLE_S)  # not longer: others would take this worker for gone once it is back
        self._engine.stop()
        for thread in tuple(self._alone):
            thread.join()
        # All states are written then; a job that ends just now may write more.
        try:
            self._writer.afterwards(lambda: None).result(_LAST_S)
        except TimeoutError:
            log.warning("The store of the jobs' files does not answer: jobs go on from older states.")
        self._account.leave()

    def stop(self) -> None:
        """Let every job save its state and leave; they stay marked as running, for whoever comes next."""
        self._stop.set()

    def _launch(self) -> None:
        @DBOS.step(name="run")
        async def step(identity: str, kind: str, choices: dict[str, Any], upload: str | None) -> dict[str, Any]:
            order = await self._order_of(identity)
            span = self._tracing.span(f"job {kind}", order.get("traceparent"), job=identity)
            with span, self._account.counted(identity, kind) as result:
                result.update(await self._perform(identity, kind, choices, upload, order.get("owner")))
            return result

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=_RECOVERIES)
        async def workflow(
            identity: str, kind: str, choices: dict[str, Any], upload: str | None = UPLOAD
        ) -> dict[str, Any]:
            record: dict[str, Any] | None = None
            with self._succession.having(identity):
                try:
                    record = await step(identity, kind, choices, upload)
                    return record
                finally:  # not sooner: a job that is begun once more before its record is kept needs its upload
                    await asyncio.wrap_future(self._writer.afterwards(partial(self._tidy, identity, record)))

        DBOS(
            config={
                "name": "inkblot",
                "system_database_url": self._database.url.render_as_string(hide_password=False),
                "system_database_engine": self._database,
                "executor_id": self._name,
                "application_version": VERSION,
                "serializer": SERIALIZER,
                "log_level": "WARNING",
            }
        )
        dbos_log.quieten(self._outage)
        DBOS.launch()
        DBOS.register_queue(
            QUEUE, worker_concurrency=self._at_once, polling_interval_sec=_POLL_S, on_conflict="always_update"
        )

    async def _order_of(self, identity: str) -> Mapping[str, Any]:
        """What it said beside its input; the database may go away as soon as it has given the job to this worker."""
        try:
            return await self._with_database.until_done(reaching()(self._tables.attributes_of), identity)
        except EngineStoppedError:
            return await hand_on()

    async def _perform(
        self, identity: str, kind: str, choices: Mapping[str, Any], upload: str | None, owner: str | None
    ) -> dict[str, Any]:
        news: News = asyncio.Queue()
        record: dict[str, Any]
        loop = asyncio.get_running_loop()
        telling = asyncio.create_task(self._tell(identity, news))

        def publish(name: str, data: Mapping[str, Any]) -> None:
            loop.call_soon_threadsafe(news.put_nowait, (name, data))

        try:
            with self._tracing.span("begin"):
                run = await self._with_store.until_done(self._begin, identity, kind, choices, upload, owner, publish)
            with self._tracing.span("run"):
                outcome = await asyncio.wrap_future(run.result)
            with self._tracing.span("files", files=len(outcome.files)):
                for name, data in outcome.files.items():
                    await self._with_store.until_done(self._files.put, identity, name, data)
            record = {"status": Status.SUCCEEDED.value, "result": outcome.result, "work_s": round(run.seconds, 3)}
        except EngineStoppedError:
            return await hand_on()
        except CanceledError:
            record = {"status": "canceled"}
        except DeadlineExceededError:
            record = failure(identity, DeadlineExceededError("The time that was given with deadline_s is over."))
        except Exception as error:  # a failed job must not stop the next one
            record = failure(identity, error)
        finally:
            self._ours.pop(identity, None)
        news.put_nowait(None)
        await telling
        return record

    def _begin(
        self,
        identity: str,
        kind: str,
        choices: Mapping[str, Any],
        upload: str | None,
        owner: str | None,
        publish: Publish,
    ) -> Run[JobResult]:
        """Into the engine; slow where a model must be loaded first."""
        self._on_thread()  # what serves a model may be chosen here, by how quick it is
        self._training_jobs.models.refresh()
        saved = self._files.kept(identity, _CHECKPOINT)
        resume = unpacked(saved) if saved else None
        runs_alone = kind in {MODEL, CORRECTION, EVALUATION}
        pixels = 0
        algorithm: Algorithm[JobResult] | Steps[JobResult]
        if kind == MODEL:
            archive = self._files.open_kept(identity, upload or UPLOAD)
            algorithm = self._training_jobs.teach(identity, choices, archive, resume, owner=owner)
        elif kind == EVALUATION:
            archive = self._files.open_kept(identity, upload or UPLOAD)
            algorithm = evaluation(self._training_jobs, choices, archive, resume)
        elif kind == CORRECTION:
            algorithm = self._training_jobs.correct(identity, choices)
        else:
            picture = self._files.kept(identity, upload) if upload else None
            pixels = self._tasks.pixels_held(choices, picture)
            algorithm = self._tasks.start(kind, choices, picture, resume)

        def on_progress(progress: Progress, eta_s: float) -> None:
            self._account.step(identity, progress.step)
            told = {"step": progress.step, "steps": progress.steps, "score": progress.score, "loss": progress.loss}
            publish("progress", told | {"eta_s": round(eta_s, 2)})

        def on_preview(step: int, pixels: Tensor) -> None:
            self._writer.write(
                "preview", identity, partial(self._show, identity, step, pixels.detach().clone(), publish)
            )

        def on_state(state: Mapping[str, Tensor]) -> None:
            self._writer.write(_CHECKPOINT, identity, partial(self._files.keep, identity, _CHECKPOINT, packed(state)))

        run = Run(
            algorithm,
            on_progress=on_progress,
            on_preview=on_preview,
            on_metric=lambda metric: publish("metric", metric),
            on_state=on_state,
            deadline_s=choices.get("deadline_s"),
            pixels=pixels,
        )
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        publish("started", {"device": self._device, "resumed": saved is not None, "at": now})
        self._ours[identity] = run
        if runs_alone:
            self._start_alone(run)
        else:
            self._engine.submit(run)
        return run

    def _start_alone(self, run: Run[JobResult]) -> None:
        """In a thread of its own: work in steps runs the network by itself."""

        def attend() -> None:
            self._alone.add(threading.current_thread())
            self._on_thread()
            run_alone(run, self._stop.is_set)
            self._alone.discard(threading.current_thread())

        threading.Thread(target=attend, name="training", daemon=True).start()

    def _show(self, identity: str, step: int, pixels: Tensor, publish: Publish) -> None:
        self._files.put(identity, PREVIEW, preview_file(pixels))
        publish("preview", {"step": step, "file": PREVIEW})

    async def _tell(self, identity: str, news: News) -> None:
        while one := await news.get():
            name, data = one
            try:
                await DBOS.write_stream_async(STREAM, {"name": name, "data": dict(data)})
            except Exception:  # the job was canceled or deleted meanwhile: nobody listens
                log.debug("An event of %s was not written.", identity, exc_info=True)

    def _tidy(self, identity: str, record: Mapping[str, Any] | None) -> None:
        """`record` is what the job ended with, once that is kept; None if it ended otherwise, or goes on elsewhere."""
        try:
            self._remains.tidy(identity, record)
        except Exception:  # the job has its end; the next sweep deletes what is left
            log.warning("Files that the job %s needed are still there.", identity, exc_info=True)
