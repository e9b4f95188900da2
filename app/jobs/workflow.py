"""A job and its order as a row of DBOS's workflows has them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from dbos import WorkflowStatus

from app.jobs.job import Job, KeyReusedError, Order, Status, WorkerDiedError

STATUS: Final = {
    "ENQUEUED": Status.QUEUED,
    "DELAYED": Status.QUEUED,
    "PENDING": Status.RUNNING,
    "ERROR": Status.FAILED,
    "CANCELLED": Status.CANCELED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": Status.FAILED,
}


def job_of(row: WorkflowStatus, keep: timedelta) -> Job:
    """Without its place in the queue, its progress and its preview, which other rows tell."""
    assert row.input
    _, kind, input_, *_ = row.input["args"]
    outcome = row.output if isinstance(row.output, Mapping) else {}
    status = STATUS.get(row.status) or Status(str(outcome.get("status", Status.SUCCEEDED)))
    if status is Status.FAILED and not outcome:
        outcome = {
            "error": {
                "kinds": [WorkerDiedError.__name__],
                "detail": "The worker died of this job, again and again.",
            }
        }
    finished = _time(row.completed_at)
    return Job(
        id=row.workflow_id,
        kind=kind,
        client=row.authenticated_user or "",
        status=status,
        input=input_,
        created_at=_time(row.created_at) or datetime.now(UTC),
        started_at=_time(row.dequeued_at),
        finished_at=finished,
        expires_at=finished + keep if finished else None,
        outcome=outcome,
    )


def same(row: WorkflowStatus, digest: str) -> WorkflowStatus:
    """The row, if an order of this digest made it; raises `KeyReusedError`."""
    if (row.attributes or {}).get("digest") != digest:
        raise KeyReusedError("This Idempotency-Key came before, with another request.")
    return row


def uses(row: WorkflowStatus, upload: str) -> bool:
    """Whether that is the name of its upload, which orders of earlier versions did not say."""
    assert row.input
    return upload in row.input["args"][3:]


def id_of(client: str, key: str) -> str:
    """Of the job that an idempotency key of a client stands for."""
    return "job_" + sha256(f"{client}\n{key}".encode()).hexdigest()[:24]


def digest_of(order: Order) -> str:
    """Of all that was asked for, the upload included."""
    digest = sha256(json.dumps([order.kind, order.input], sort_keys=True).encode() + b"\n")
    if isinstance(order.upload, Path):
        with order.upload.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    else:
        digest.update(order.upload or b"")
    return digest.hexdigest()


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1e3, UTC)
