"""A job is slow work with a life of its own: who asked for what, how far it has come, and what it left behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        return self not in {Status.QUEUED, Status.RUNNING}


class DeadlineExceededError(Exception):
    """The time that a job was given is over."""


class WorkerDiedError(Exception):
    """Workers died of a job, again and again."""


class UnknownJobError(LookupError):
    """No job has this id, or it was deleted."""


class JobExpiredError(LookupError):
    """The job was kept its time, and then its files were deleted."""


class TooManyJobsError(RuntimeError):
    """The queue, or this client's share of it, is full. `retry_after_s` says when to come again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueDownError(RuntimeError):
    """The database of the jobs cannot be reached, or does not answer."""


class KeyReusedError(ValueError):
    """An idempotency key came again with another request."""


@dataclass(frozen=True)
class QueueLimits:
    per_client: int = 32
    total: int = 100
    keep: timedelta = timedelta(days=7)
    keep_uploads: timedelta = timedelta(0)


@dataclass(frozen=True)
class Order:
    """What a client asks for. `input` is JSON with every default filled in; `upload` the picture that it is about, or
    the file with an archive of many.

    Orders of one `flavour` (a method, a preset) take about the same time. What is taught belongs to the `owner`, and
    without one to everybody; whose job it is says `client`.
    """

    kind: str
    flavour: str
    client: str
    input: Mapping[str, Any]
    upload: bytes | Path | None = None
    owner: str | None = None
    traceparent: str | None = None
    """The span of the request (W3C Trace Context), which the job's spans join."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job; numbers count from 1 without gaps."""

    number: int
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """Times are UTC. `outcome` is what the worker returned: `result`, `files` (their names) or `error`."""

    id: str
    kind: str
    client: str
    status: Status
    input: Mapping[str, Any]
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] | None = None
    preview: str | None = None
    """The name of the file with the last preview."""
    position: int | None = None
    """1 is the next to run; None unless it is queued."""
    eta_s: float | None = None
    """Seconds until it is done, as far as can be told."""
