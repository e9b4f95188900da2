"""Jobs as they go over the wire."""

from datetime import datetime
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, Field

from app.api.problem_types import KINDS, SECRET, slug_of
from app.api.schemas.classify import Problem
from app.jobs.job import Event, Job, Status
from app.jobs.params import Choices

JobStatus = Literal["queued", "running", "succeeded", "failed", "canceled"]


class QueuePlace(BaseModel):
    position: int = Field(description="1 is the next to run.")
    eta_s: float = Field(description="Seconds until the job is done, as the last ones of its kind tell.")


class JobProgress(BaseModel):
    step: int
    steps: int
    score: float | None = None
    loss: float | None = None
    eta_s: float | None = None


class JobOut(BaseModel):
    object: Literal["job"] = "job"
    id: str
    kind: str = Field(examples=["ideal_image"])
    status: JobStatus
    queue: QueuePlace | None = Field(description="While it is queued.")
    progress: JobProgress | None
    preview: str | None = Field(description="The last preview: how far it has come, or had when it was canceled.")
    input: dict[str, Any] = Field(description="Every default filled in, the seed shown.")
    result: dict[str, Any] | None
    error: Problem | None = Field(description="Why it failed.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="Until then its files are kept.")
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> Self:
        path = f"/v1/jobs/{job.id}"
        return cls(
            id=job.id,
            kind=job.kind,
            status=job.status.value,
            queue=QueuePlace(position=job.position, eta_s=job.eta_s or 0.0) if job.position else None,
            progress=JobProgress.model_validate(job.progress) if job.progress else None,
            preview=file_path(job.id, job.preview) if job.preview else None,
            input=dict(job.input),
            result=_with_links(job),
            error=_problem(job),
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            expires_at=job.expires_at,
            links={
                "self": path,
                "events": f"{path}/events",
                "cancel": f"{path}/cancel",
                "page": f"/#/job/{job.id}",
                **_link_of_model(job),
            },
        )


class JobList(BaseModel):
    object: Literal["list"] = "list"
    data: list[JobOut]


class JobChoices(Choices):
    status: JobStatus | None = Field(None, description="Only jobs that are in this state.")
    limit: int = Field(20, ge=1, le=100)

    @property
    def wanted(self) -> Status | None:
        return Status(self.status) if self.status else None


class JobEvent(BaseModel):
    """`queued`, `started`, `progress`, `preview`, `metric`, `log`, and always last `end`."""

    id: int = Field(description="Counts from 1 without gaps; Last-Event-ID resumes after it.")
    event: str
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event, job: str) -> Self:
        data = dict(event.data)
        if event.name == "preview":
            data = {"step": data["step"], "href": f"{file_path(job, data['file'])}?step={data['step']}"}
        return cls(id=event.number, event=event.name, data=data)


class JobEventList(BaseModel):
    object: Literal["list"] = "list"
    data: list[JobEvent]


def file_path(job: str, name: str) -> str:
    return f"/v1/jobs/{job}/files/{quote(name)}"


def _link_of_model(job: Job) -> dict[str, str]:
    """Of the model that a job has taught."""
    name = (job.outcome.get("result") or {}).get("model")
    return {"model": f"/v1/models/{name}"} if name else {}


def _with_links(job: Job) -> dict[str, Any] | None:
    """The result; its files are named by what they are, and told by the paths at which they lie."""
    result = job.outcome.get("result")
    if result is None:
        return None
    files = {role: file_path(job.id, name) for role, name in result.get("files", {}).items()}
    linked = {**result, "files": files}
    for name in ("worst", "facets"):
        if linked.get(name):
            linked[name] = [_linked(job.id, one) for one in result[name]]
    return linked


def _linked(job: str, pictured: dict[str, Any]) -> dict[str, Any]:
    shown = dict(pictured)
    name = shown.pop("file")
    return {**shown, "href": file_path(job, name)}


def _problem(job: Job) -> Problem | None:
    error = job.outcome.get("error")
    if error is None:
        return None
    # Jobs that ended before the kinds were stored have a slug.
    slug = error.get("slug") or slug_of(error["kinds"])
    slug = slug if slug in KINDS else "internal"
    kind = KINDS[slug]
    return Problem(
        type=f"/problems/{slug}",
        title=kind.title,
        status=int(kind.status),
        detail=kind.title if slug in SECRET else error["detail"],
        request_id=job.id,
        suggestions=None,
        errors=None,
    )
