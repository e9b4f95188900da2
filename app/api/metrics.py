"""What Prometheus is told. No label has values without bound: taught models are one, and so are unknown paths."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)  # fmt: skip
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.jobs.files import StorageFullError
from app.jobs.job import QueueDownError

if TYPE_CHECKING:
    from app.api.dependencies import JobDesk
    from app.jobs.workers import WorkerSeen

_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_PICTURES: Final = (1, 2, 4, 8, 16, 32, 64)
_METHODS: Final = {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"}
_TAUGHT: Final = "taught"
_NONE: Final = ""
_OTHER: Final = "other"


class Metrics:
    """Of one service. `shipped` are the models that are told by name."""

    def __init__(self, shipped: Iterable[str]) -> None:
        self._shipped = frozenset(shipped)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "inkblot_requests", "Answers by route and status.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "inkblot_request_seconds",
            "Until the answer began.",
            ("route", "model"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._pictures = Histogram(
            "inkblot_batch_pictures",
            "In one forward pass.",
            ("model",),
            buckets=_PICTURES,
            registry=self._registry,
        )
        self._batch_seconds = Histogram(
            "inkblot_batch_seconds", "Of one forward pass.", ("model",), buckets=_SECONDS, registry=self._registry
        )

    def observe(self, method: str, route: str | None, model: str | None, status: int, seconds: float) -> None:
        """An answer that has begun."""
        route = route or _OTHER
        self._requests.labels(method if method in _METHODS else _OTHER, route, str(status)).inc()
        self._seconds.labels(route, self._folded(model)).observe(seconds)

    def batch(self, model: str, pictures: int, seconds: float) -> None:
        name = self._folded(model)
        self._pictures.labels(name).observe(pictures)
        self._batch_seconds.labels(name).observe(seconds)

    def watch(self, waiting: Callable[[], int], device_bytes: Callable[[], int | None]) -> None:
        """What is looked at when somebody asks."""
        queue = Gauge("inkblot_waiting_pictures", "That no thread has taken yet.", registry=self._registry)
        queue.set_function(waiting)
        if device_bytes() is not None:
            memory = Gauge(
                "inkblot_device_memory_bytes", "That the models of the service hold.", registry=self._registry
            )
            memory.set_function(lambda: device_bytes() or 0)

    def text(self, desk: "JobDesk | None") -> bytes:
        """In Prometheus' text format, with what the database of the jobs knows. Blocks."""
        whole = CollectorRegistry()
        whole.register(_Jobs(desk))
        return generate_latest(self._registry) + generate_latest(whole)

    def _folded(self, model: str | None) -> str:
        if not model:
            return _NONE
        return model if model in self._shipped else _TAUGHT


class _Jobs(Collector):
    """The same from every service that asks the same database: take `max`, not `sum`, over them."""

    def __init__(self, desk: "JobDesk | None") -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        found = self._asked()
        yield GaugeMetricFamily("inkblot_jobs_database_up", "Whether it answers.", value=float(found is not None))
        if found is None:
            return
        (waiting, running, oldest_s), workers = found
        yield GaugeMetricFamily("inkblot_jobs_waiting", "In the queue.", value=waiting)
        yield GaugeMetricFamily("inkblot_jobs_running", "In the hands of workers.", value=running)
        yield GaugeMetricFamily(
            "inkblot_jobs_oldest_seconds", "For which the oldest in the queue waits.", value=oldest_s
        )
        yield from _of_workers(workers)

    def _asked(self) -> "tuple[tuple[int, int, float], Iterable[WorkerSeen]] | None":
        if self._desk is None:
            return None
        try:
            return self._desk.queue.depth(), self._desk.queue.workers()
        except (QueueDownError, StorageFullError):
            return None


def _of_workers(workers: "Iterable[WorkerSeen]") -> Iterator[Metric]:
    age = GaugeMetricFamily("inkblot_worker_seen_seconds", "Since its last sign of life.", labels=("worker",))
    steps = CounterMetricFamily("inkblot_job_steps", "Of all jobs of this worker.", labels=("worker",))
    ended = CounterMetricFamily("inkblot_jobs_ended", "By kind and end.", labels=("worker", "kind", "end"))
    memory = GaugeMetricFamily("inkblot_worker_device_memory_bytes", "That its models hold.", labels=("worker",))
    for one in workers:
        age.add_metric((one.name,), one.age_s)
        steps.add_metric((one.name,), one.steps)
        for what, number in one.ended.items():
            kind, _, end = what.partition("/")
            ended.add_metric((one.name, kind, end), number)
        if one.device_bytes is not None:
            memory.add_metric((one.name,), one.device_bytes)
    yield from (age, steps, ended, memory)
