"""What a service tells of a job: streams of events that a test has written."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, cast

import httpx2

if TYPE_CHECKING:
    from app.client import Job

JOB = cast("Job", {"object": "job", "id": "job_1", "status": "running", "links": {"events": "/v1/jobs/job_1/events"}})
ENDED = JOB | {"status": "succeeded"}


def told(number: int, event: str = "progress", **data: object) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\nid: {number}\n\n"


END = told(9, "end", status="succeeded", job=ENDED)


def stream(*blocks: str) -> httpx2.Response:
    return httpx2.Response(200, text="".join(blocks), headers={"Content-Type": "text/event-stream"})


def broken(*blocks: str) -> httpx2.Response:
    """A stream whose line breaks after these blocks."""

    def pieces() -> Iterator[bytes]:
        yield from (block.encode() for block in blocks)
        raise httpx2.ReadError("broken")

    return httpx2.Response(200, content=pieces(), headers={"Content-Type": "text/event-stream"})


def broken_for_async(*blocks: str) -> httpx2.Response:
    async def pieces() -> AsyncIterator[bytes]:
        for block in blocks:
            yield block.encode()
        raise httpx2.ReadError("broken")

    return httpx2.Response(200, content=pieces(), headers={"Content-Type": "text/event-stream"})
