"""The same client for programs that wait for many things at once.

async with AsyncClient() as client:
    cat, dog = await asyncio.gather(client.classify("cat.jpg"), client.classify("dog.jpg"))
"""

from asyncio import sleep, to_thread
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, closing
from functools import wraps
from types import TracebackType
from typing import Any, BinaryIO, Concatenate, ParamSpec, Self, TypeVar

import httpx2

from app.client import calls
from app.client.calls import PIECE, Call, signed
from app.client.connections import not_reached, options
from app.client.conversation import End, Pause, Read, Send, Step, Tell, advance, asking, ended_well, following
from app.client.notebook import watcher
from app.client.types import Job, JobEvent

P = ParamSpec("P")
Result = TypeVar("Result")
Awaited = Coroutine[Any, Any, Result]


def _asks(call: Callable[P, Call[Result]]) -> "Callable[Concatenate[AsyncClient, P], Awaited[Result]]":
    """A method that makes this call, and says of itself what the call says. Files are read in a thread."""

    @wraps(call)
    async def ask(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return await self.ask(await to_thread(call, *args, **kwargs))

    return signed(ask, call)


class AsyncClient:
    """What `Client` is, with methods to await; use it in an `async with`. `follow` is for an `async for`."""

    def __init__(
        self, base_url: str | None = None, *, key: str | None = None, http: httpx2.AsyncClient | None = None
    ) -> None:
        self._own = http is None
        self._http = http or httpx2.AsyncClient(**options(base_url, key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._own:
            await self._http.aclose()

    classify = _asks(calls.classify)
    look = _asks(calls.look)
    look_drawn = _asks(calls.look_drawn)
    explain = _asks(calls.explain)
    explain_drawn = _asks(calls.explain_drawn)
    stability = _asks(calls.stability)
    stability_drawn = _asks(calls.stability_drawn)
    neighbors = _asks(calls.neighbors)
    neighbors_drawn = _asks(calls.neighbors_drawn)
    models = _asks(calls.models)
    model = _asks(calls.model)
    labels = _asks(calls.labels)
    layers = _asks(calls.layers)
    draw = _asks(calls.draw)
    fool = _asks(calls.fool)
    teach = _asks(calls.teach)
    evaluate = _asks(calls.evaluate)
    correct = _asks(calls.correct)
    export = _asks(calls.export)
    delete_model = _asks(calls.delete_model)
    jobs = _asks(calls.jobs)
    job = _asks(calls.job)
    cancel = _asks(calls.cancel)
    delete_job = _asks(calls.delete_job)
    file = _asks(calls.file)
    drawn = _asks(calls.drawn)
    ready = _asks(calls.ready)

    async def follow(self, job: Job) -> AsyncGenerator[JobEvent, None]:
        """As `Client.follow`."""
        conversation = following(job)
        async with aclosing(_Line(self._http)) as line:
            step = advance(conversation)
            while not isinstance(step, End):
                if isinstance(step, Tell):
                    yield step.event
                step = advance(conversation, await line.do(step))

    async def wait(self, job: Job) -> Job:
        """As `Client.wait`."""
        watch = watcher()
        async for event in self.follow(job):
            watch(event)
        return ended_well(event)

    async def ask(self, call: Call[Result]) -> Result:
        """The answer to one of the `calls`."""
        conversation = asking(call)
        with closing(call):
            async with aclosing(_Line(self._http)) as line:
                step = advance(conversation)
                while not isinstance(step, End):
                    step = advance(conversation, await line.do(step))
        result: Result = step.value
        return result


class _Line:
    """Does the steps of one conversation."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._stream: httpx2.Response | None = None
        self._lines: AsyncIterator[str]

    async def do(self, step: Step) -> object:
        match step:
            case Send(call, stream):
                return await self._send(call, stream=stream)
            case Read():
                return await self._read()
            case Pause(seconds):
                await sleep(seconds)
        return None

    async def aclose(self) -> None:
        if self._stream:
            await self._stream.aclose()

    async def _send(self, call: Call[Any], *, stream: bool) -> httpx2.Response | Exception:
        await self.aclose()
        content = _from_start(call.file) if call.file else call.content
        request = self._http.build_request(content=content, **call.request())
        try:
            answer = await self._http.send(request, stream=stream)
            if not answer.is_success:
                await answer.aread()  # a refusal is no stream: it is told as a whole
        except httpx2.RequestError as error:
            return not_reached(request, error)
        if stream:
            self._stream, self._lines = answer, answer.aiter_lines()
        return answer

    async def _read(self) -> str | Exception | None:
        try:
            return await anext(self._lines, None)
        except httpx2.RequestError as error:
            return error


async def _from_start(file: BinaryIO) -> AsyncIterator[bytes]:
    await to_thread(file.seek, 0)
    while piece := await to_thread(file.read, PIECE):
        yield piece
