"""What is done with jobs, whatever their kind: look, wait, follow, cancel, delete, fetch files."""

import asyncio
import json
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator
from hashlib import sha256
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from app.api.accept import accepted
from app.api.dependencies import Caller, Jobs, Owner, accepts_json, audited, key_of, preferred_wait
from app.api.disconnection import while_connected
from app.api.errors import UnknownFileError
from app.api.problems import responses
from app.api.schemas.jobs import JobChoices, JobEvent, JobEventList, JobList, JobOut
from app.jobs.event_stream import StreamClosedError
from app.jobs.job import Event, Job, JobExpiredError, UnknownJobError


async def _own_job(request: Request, jobs: Jobs, owner: Owner, caller: Caller) -> None:
    """Raises `UnknownJobError` for somebody else's; every path below has it."""
    if owner is not None and (identity := request.path_params.get("job_id")):
        await jobs.ask(jobs.queue.check_client, identity, caller)


router = APIRouter(prefix="/jobs", tags=["jobs"], dependencies=[Depends(_own_job)])

_PING_S: Final = 15.0
_LOOK_S: Final = 1.0
_FILE_NAME: Final = r"^[a-z0-9][a-z0-9_-]*(\.[a-z0-9]+)?$"
_STREAM: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
JobId = Annotated[str, Path(max_length=64, examples=["job_8a9c12ce9d5e2611a64bdbea"])]
Tag = Annotated[str | None, Header(max_length=1000)]


@router.get("", dependencies=[Depends(accepts_json)], responses=responses("not-acceptable", "worker-down"))
async def list_jobs(
    request: Request, jobs: Jobs, caller: Caller, owner: Owner, choices: Annotated[JobChoices, Query()]
) -> JobList:
    """Your jobs, newest first; an admin's key lists everybody's."""
    is_admin = owner is None and key_of(request) is not None
    found = await jobs.ask(jobs.queue.list, None if is_admin else caller, limit=choices.limit, status=choices.wanted)
    return JobList(data=[JobOut.of(job) for job in found])


@router.get(
    "/{job_id}",
    dependencies=[Depends(accepts_json)],
    response_model=JobOut,
    responses=responses("unknown-job", "gone", "not-acceptable", "worker-down")
    | {304: {"description": "As in If-None-Match"}},
)
async def get_job(job_id: JobId, request: Request, jobs: Jobs, if_none_match: Tag = None) -> Response:
    """A job as it is now; with `Prefer: wait=N` when it has ended (or has changed, if If-None-Match is given)."""
    wait = preferred_wait(request)
    job = await jobs.ask(jobs.queue.get, job_id)
    if wait and not job.status.is_final:
        job = await while_connected(request, asyncio.create_task(_wait(jobs, job, wait, unlike=if_none_match)))
    return job_response(job, waited=wait, if_none_match=if_none_match)


@router.delete("/{job_id}", status_code=204, responses=responses("unknown-job", "gone", "worker-down", "storage-full"))
async def delete_job(job_id: JobId, request: Request, jobs: Jobs) -> None:
    """Cancel a job if need be, and forget it and its files."""
    await jobs.ask(jobs.queue.delete, job_id)
    audited(request, "delete-job", job=job_id)


@router.post(
    "/{job_id}/cancel",
    dependencies=[Depends(accepts_json)],
    responses=responses("unknown-job", "gone", "worker-down", "storage-full"),
)
async def cancel_job(job_id: JobId, jobs: Jobs) -> JobOut:
    """Stop a job at its next step; its last preview is kept. A job that has ended stays as it is."""
    return JobOut.of(await jobs.ask(jobs.queue.cancel, job_id))


@router.get(
    "/{job_id}/events",
    response_model=JobEventList,
    responses=responses("unknown-job", "gone", "not-acceptable", "worker-down")
    | {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def get_events(
    job_id: JobId,
    request: Request,
    jobs: Jobs,
    last_event_id: Annotated[int, Header(ge=0, lt=2**53, description="Only events after this one.")] = 0,
) -> Response:
    """What happens to a job, as it happens (text/event-stream); with `Accept: application/json` what has happened."""
    job = await jobs.ask(jobs.queue.get, job_id)
    if accepted(request.headers.get("accept", ""), ("text/event-stream", "application/json")) == "application/json":
        listed = await _all_events(jobs, job)
        body = JobEventList(data=[event for event in listed if event.id > last_event_id])
        return Response(body.model_dump_json(), media_type="application/json")
    if job.status.is_final and last_event_id and last_event_id >= (await _all_events(jobs, job))[-1].id:
        return Response(status_code=204)  # tells an EventSource that it need not come again
    return StreamingResponse(_stream(jobs, job, last_event_id), 200, _STREAM, "text/event-stream")


@router.get(
    "/{job_id}/files/{name}",
    response_class=Response,
    responses=responses("unknown-job", "unknown-file", "gone", "worker-down", "storage-down")
    | {200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def get_file(
    job_id: JobId,
    name: Annotated[str, Path(pattern=_FILE_NAME, max_length=64, examples=["final.png"])],
    jobs: Jobs,
    if_none_match: Tag = None,
) -> Response:
    """A file that a job left behind: PNG, animated WebP, `recipe.json`."""
    await jobs.ask(jobs.queue.get, job_id)
    data = await jobs.ask(jobs.files.get, job_id, name)
    if data is None:
        raise UnknownFileError(f"The job {job_id} has no file {name!r}.")
    tag = _tag(data)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Content-Disposition": f'inline; filename="{name}"'}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=mimetypes.guess_type(name)[0] or "application/octet-stream")


def job_response(job: Job, *, waited: float = 0, if_none_match: str | None = None, accepted: bool = False) -> Response:
    """A job with its ETag; 304 if that is what the client has; 202 if it was `accepted` and is not done."""
    body = JobOut.of(job).model_dump_json().encode()
    headers = {"ETag": _tag(body), "Cache-Control": "private, no-cache", "Vary": "Accept, Prefer"}
    if waited:
        headers["Preference-Applied"] = f"wait={waited:g}"
    if not job.status.is_final:
        headers["Retry-After"] = str(max(1, min(60, round((job.eta_s or 1.0) / 2))))
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    status = 200
    if accepted:
        headers["Location"] = f"/v1/jobs/{job.id}"
        status = 200 if job.status.is_final else 202
    return Response(body, status, headers, "application/json")


async def wait_for_end(request: Request, jobs: Jobs, job: Job, seconds: float) -> Job:
    return await while_connected(request, asyncio.create_task(_wait(jobs, job, seconds, unlike=None)))


async def _wait(jobs: Jobs, job: Job, seconds: float, *, unlike: str | None) -> Job:
    """The job when it has ended or its ETag differs from the given one, its seconds are over, or the service ends."""
    try:
        async with asyncio.timeout(seconds):
            async for _ in jobs.events.follow(job.id, 0, idle_s=_LOOK_S):
                if unlike is not None:
                    job = await jobs.ask(jobs.queue.get, job.id)
                    if _tag(JobOut.of(job).model_dump_json().encode()) != unlike:
                        return job
    except (TimeoutError, StreamClosedError):
        pass
    return await jobs.ask(jobs.queue.get, job.id)


def _tag(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:20]}"'


async def _all_events(jobs: Jobs, job: Job) -> list[JobEvent]:
    """All that has happened; a job that has ended has an `end` as the last event, and it alone is not kept."""
    found = await jobs.ask(jobs.queue.events, {job.id: 0})
    _, events = found.get(job.id, (True, ()))
    listed = [JobEvent.of(event, job.id) for event in events]
    if job.status.is_final:
        data = {"status": job.status.value, "job": JobOut.of(job).model_dump(mode="json")}
        listed.append(JobEvent(id=len(events) + 1, event="end", data=data))
    return listed


async def _stream(jobs: Jobs, job: Job, after: int) -> AsyncIterator[bytes]:
    silent_s = 0.0
    events: AsyncGenerator[Event | None] = jobs.events.follow(job.id, after, idle_s=_LOOK_S)
    place, begun = None, False
    try:
        while True:
            if not begun and job.position != place:
                place = job.position
                if place:
                    yield _sse(JobEvent(id=0, event="queued", data={"position": place, "eta_s": job.eta_s}))
            event = await anext(events)
            if event:
                silent_s, begun = 0.0, True
                yield _sse(JobEvent.of(event, job.id))
                continue
            silent_s += _LOOK_S
            if silent_s >= _PING_S:
                silent_s = 0.0
                yield format_sse_event(comment="ping")
            if not begun:
                job = await jobs.ask(jobs.queue.get, job.id)
    except (StopAsyncIteration, UnknownJobError):  # it has ended, or was deleted while somebody listened
        yield _sse(await _end(jobs, job))
    except StreamClosedError:
        yield format_sse_event(comment="the service ends; come again")
    finally:
        await events.aclose()


async def _end(jobs: Jobs, job: Job) -> JobEvent:
    """The last event of a job that has ended; of one that was deleted, or is not kept any longer, that it is gone."""
    try:
        job = await jobs.ask(jobs.queue.get, job.id)
    except (UnknownJobError, JobExpiredError):
        return JobEvent(id=0, event="end", data={"status": "deleted", "job": None})
    return (await _all_events(jobs, job))[-1]


def _sse(event: JobEvent) -> bytes:
    identity = str(event.id) if event.id else None
    return format_sse_event(data_str=json.dumps(event.data), event=event.event, id=identity)
