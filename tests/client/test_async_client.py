"""The asynchronous client says and hears what the other one does."""

import asyncio
import inspect
from contextlib import aclosing
from pathlib import Path
from typing import cast

import httpx2
import numpy as np
import pytest

from app.client import (
    AsyncClient,
    Client,
    Job,
    JobError,
    NoServerError,
    PictureError,
    PictureSource,
    ProblemError,
    calls,
)
from tests.support.clock import Clock
from tests.support.http_server import problem
from tests.support.job_streams import END, ENDED, JOB, broken_for_async, stream, told
from tests.support.paths import SAMPLES
from tests.support.pictures import shapes


def answering(*answers: httpx2.Response) -> tuple[AsyncClient, list[httpx2.Request]]:
    """A client of something that gives these answers in turn, and what it was asked."""
    asked: list[httpx2.Request] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        await request.aread()
        return answers[min(len(asked), len(answers)) - 1]

    return AsyncClient(
        http=httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://inkblot")
    ), asked


async def names(client: AsyncClient) -> list[str]:
    return [event["event"] async for event in client.follow(JOB)]


def test_both_clients_have_a_method_for_every_call_with_its_signature() -> None:
    made_here = {name for name, made in vars(calls).items() if getattr(made, "__module__", "") == calls.__name__}
    every = {name for name in made_here if inspect.isfunction(vars(calls)[name]) and not name.startswith("_")}
    every -= {"signed", "events"}
    assert len(every) > 15
    for client in (Client, AsyncClient):
        for name in every:
            (_, *parameters) = inspect.signature(getattr(client, name)).parameters.items()
            assert parameters == [*inspect.signature(getattr(calls, name)).parameters.items()]
            assert getattr(client, name).__doc__ == getattr(calls, name).__doc__


@pytest.mark.slow
def test_a_real_service_answers_many_at_once_as_it_answers_one(server: str) -> None:
    pictures: list[PictureSource] = [SAMPLES / "cat.jpg", SAMPLES / "basenji.png", np.zeros((64, 64, 3), np.uint8)]

    async def ask() -> list[object]:
        async with AsyncClient(server) as client:
            answers = await asyncio.gather(*(client.classify(picture, lang="tr") for picture in pictures))
            assert (await client.ready())["status"] == "ready"
            return [answer["predictions"] for answer in answers]

    with Client(server) as client:
        for many, one in zip(asyncio.run(ask()), pictures, strict=True):
            alone = client.classify(one, lang="tr")["predictions"]
            # The head is one multiplication for all of a batch, and may round its last bit in another way for one.
            assert [{**found, "score": pytest.approx(found["score"], abs=2e-6)} for found in alone] == many


@pytest.mark.slow
def test_a_real_service_teaches_a_folder_and_tells_how_it_goes(server: str, tmp_path: Path) -> None:
    for name, data in shapes().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)

    async def teach() -> tuple[list[str], Job, str]:
        async with AsyncClient(server) as client:
            job = await client.teach(tmp_path, name="taught-async")
            events = [event["event"] async for event in client.follow(job)]
            ended = await client.wait(job)
            seen = await client.classify(tmp_path / "blue/0.png", model="taught-async")
            await client.delete_model("taught-async")
            return events, ended, seen["predictions"][0]["label"]

    events, ended, label = asyncio.run(teach())
    assert (events[0], events[-1]) == ("queued", "end")
    assert ended["status"] == "succeeded"
    assert label == "blue"


def test_a_file_is_sent_from_its_beginning_with_each_attempt(clock: Clock, tmp_path: Path) -> None:
    archive = tmp_path / "shapes.zip"
    archive.write_bytes(b"a zip" * 500_000)
    client, asked = answering(problem("overloaded", 503, "3"), httpx2.Response(202, json={"object": "job"}))
    asyncio.run(client.teach(archive, name="shapes"))
    assert [request.content for request in asked] == [archive.read_bytes()] * 2
    assert clock.pauses == [3]


def test_problems_missing_files_and_missing_services_are_the_same_errors(nobody: str) -> None:
    client, asked = answering(problem("unknown-model", 404, detail="No."))
    with pytest.raises(ProblemError, match=r"^No\.$"):
        asyncio.run(client.classify(b"picture"))
    with pytest.raises(PictureError, match="cannot be read"):
        asyncio.run(client.classify(Path("nowhere.jpg")))
    assert len(asked) == 1

    async def ask() -> None:
        async with AsyncClient(nobody) as away:
            await away.models()

    with pytest.raises(NoServerError, match=f"No Inkblot answers at {nobody}"):
        asyncio.run(ask())
    with pytest.raises(NoServerError, match="is no address"):
        AsyncClient("ftp://here")


@pytest.mark.parametrize("cut", [stream, broken_for_async])
def test_a_line_that_ends_too_soon_is_taken_up_where_it_ended(cut, clock: Clock) -> None:
    client, asked = answering(cut(told(1, "started"), told(2), "event: prog"), stream(told(3), END))
    assert asyncio.run(names(client)) == ["started", "progress", "progress", "end"]
    assert [request.headers["Last-Event-ID"] for request in asked] == ["0", "2"]
    assert clock.pauses == [0.1]


def test_a_listener_who_leaves_closes_the_line(clock: Clock) -> None:
    client, _ = answering(answer := stream(told(1), told(2)))

    async def leave() -> None:
        async with aclosing(client.follow(JOB)) as events:
            await anext(events)

    asyncio.run(leave())
    assert answer.is_closed
    assert clock.pauses == []


def test_waits_for_a_job_and_tells_why_there_is_no_result() -> None:
    async def wait(*answers: httpx2.Response) -> Job:
        client, _ = answering(*answers)
        return await client.wait(JOB)

    assert asyncio.run(wait(stream(END))) == ENDED
    failed = cast("Job", {**ENDED, "status": "failed", "error": {"title": "Too few", "detail": "Too few pictures"}})
    with pytest.raises(JobError, match=r"^Too few pictures\.$") as caught:
        asyncio.run(wait(stream(told(1, "end", status="failed", job=failed))))
    assert (caught.value.status, caught.value.problem) == ("failed", failed["error"])
