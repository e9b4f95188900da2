"""What the client says and hears, without sending anything: generators whose steps a `Client` or an `AsyncClient` does.

So both ask again, wait, and take up a broken line in the very same way.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx2

from app.client import calls
from app.client.answers import Answer, is_problem, refuse, retry_after
from app.client.calls import Call
from app.client.connections import origin
from app.client.errors import JobError, NoServerError, reason_of
from app.client.events import EventReader
from app.client.patience import Patience
from app.client.types import Job, JobEvent

Result = TypeVar("Result")


@dataclass(frozen=True)
class Send:
    """Done with a `Response`, an open one if it is a `stream` that was not refused; or with a `NoServerError`."""

    call: Call[Any]
    stream: bool = False


@dataclass(frozen=True)
class Read:
    """Done with the next line of the open stream, None at its end; or with an `httpx2.RequestError`."""


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Tell:
    """To whoever listens."""

    event: JobEvent


@dataclass(frozen=True)
class End:
    """There is no next step."""

    value: Any = None


Step = Send | Read | Pause | Tell
Conversation = Generator[Step, Any, Result]


def advance(conversation: Conversation[Any], done: object = None) -> Step | End:
    """The next step, once the last one is done: what came of it, or the exception that it ended with."""
    try:
        return conversation.throw(done) if isinstance(done, Exception) else conversation.send(done)
    except StopIteration as end:
        return End(end.value)


def ended_well(event: JobEvent) -> Job:
    """The job of an `end`. Raises `JobError` if it has no result."""
    job: Job | None = event["data"].get("job")
    if job is None or job["status"] != "succeeded":
        raise JobError(event["data"]["status"], job["error"] if job else None)
    return cast("Job", Answer(job))


def asking(call: Call[Result]) -> Conversation[Result]:
    """The answer to one call. A 503 that says when to come again is asked again, for a minute at most."""
    patience = Patience()
    while True:
        answer: httpx2.Response = yield Send(call)
        seconds = retry_after(answer)
        pause = None if seconds is None else patience.pause(seconds)
        if pause is None:
            return call.read(answer)
        yield Pause(pause)


def following(job: Job) -> Conversation[None]:
    """What happens to a job until its `end`; a broken line is taken up where it broke."""
    last, patience = 0, Patience()
    while True:
        answer = yield from _listening(job, last, patience)
        if answer.status_code == httpx2.codes.NO_CONTENT:
            yield Tell((yield from _end(job)))
            return
        broke, reader = "it ended too soon", EventReader()
        try:
            while (line := (yield Read())) is not None:
                if (block := reader.take(line)) is None:
                    continue
                patience.renew()
                last = block.number or last
                if block.event is not None:
                    yield Tell(block.event)
                    if block.event["event"] == "end":
                        return
        except httpx2.RequestError as error:
            broke = reason_of(error)
        pause = patience.pause()
        if pause is None:
            raise NoServerError(f"The line to {origin(answer.request.url)} breaks again and again: {broke}.")
        yield Pause(pause)


def _listening(job: Job, last: int, patience: Patience) -> Conversation[httpx2.Response]:
    """An open stream of the events after the `last` one, or a 204; asked for as long as there is hope."""
    while True:
        seconds = 0
        try:
            answer: httpx2.Response = yield Send(calls.events(job, last), stream=True)
        except NoServerError:
            pause = patience.pause()
            if pause is None:
                raise
        else:
            if answer.is_success:
                return answer
            seconds = retry_after(answer) or 0
            # A server's error that is no problem comes from a proxy, while the service behind it is restarted.
            hope = retry_after(answer) is not None or (answer.is_server_error and not is_problem(answer))
            pause = patience.pause(seconds) if hope else None
            if pause is None:
                refuse(answer)
        yield Pause(pause)


def _end(job: Job) -> Conversation[JobEvent]:
    """The last event as the service tells it, for a line on which it has nothing more to say."""
    ended = yield from asking(calls.job(job["id"]))
    return {"event": "end", "data": {"status": ended["status"], "job": ended}}
