"""Talks to a running Inkblot: what the command line uses, and Python programs can. Light: it imports no torch.

with Client() as client:
    print(client.classify("dog.jpg")["predictions"][0]["display"])
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
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


def _asks(call: Callable[P, Call[Result]]) -> "Callable[Concatenate[Client, P], Result]":
    """A method that makes this call, and says of itself what the call says."""

    @wraps(call)
    def ask(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return self.ask(call(*args, **kwargs))

    return signed(ask, call)


class Client:
    """Connections to the service at `base_url`, by default the one that INKBLOT_URL names; use it in a `with`.

    The `key` is sent with every request, by default the one in INKBLOT_KEY, if there is one.

    Answers are the JSON of the API, as dictionaries. Every method raises `ProblemError` or `NoServerError`. Pictures
    are taken as `PictureSource` says. An `http` that is given stays open.
    """

    def __init__(
        self, base_url: str | None = None, *, key: str | None = None, http: httpx2.Client | None = None
    ) -> None:
        self._own = http is None
        self._http = http or httpx2.Client(**options(base_url, key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._own:
            self._http.close()

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

    def follow(self, job: Job) -> Iterator[JobEvent]:
        """What happens to a job, as it happens, until its `end`; a broken line is taken up where it broke.

        A service that is restarted is waited for: `NoServerError` after a minute without any sign of life.
        """
        conversation = following(job)
        with closing(_Line(self._http)) as line:
            step = advance(conversation)
            while not isinstance(step, End):
                if isinstance(step, Tell):
                    yield step.event
                step = advance(conversation, line.do(step))

    def wait(self, job: Job) -> Job:
        """The job when it has succeeded; a notebook shows a bar meanwhile. Raises `JobError` if it has not."""
        watch = watcher()
        for event in self.follow(job):
            watch(event)
        return ended_well(event)

    def ask(self, call: Call[Result]) -> Result:
        """The answer to one of the `calls`."""
        conversation = asking(call)
        with closing(call), closing(_Line(self._http)) as line:
            step = advance(conversation)
            while not isinstance(step, End):
                step = advance(conversation, line.do(step))
        result: Result = step.value
        return result


class _Line:
    """Does the steps of one conversation."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self._stream: httpx2.Response | None = None
        self._lines: Iterator[str] = iter(())

    def do(self, step: Step) -> object:
        match step:
            case Send(call, stream):
                return self._send(call, stream=stream)
            case Read():
                return self._read()
            case Pause(seconds):
                time.sleep(seconds)
        return None

    def close(self) -> None:
        if self._stream:
            self._stream.close()

    def _send(self, call: Call[Any], *, stream: bool) -> httpx2.Response | Exception:
        self.close()
        content = _from_start(call.file) if call.file else call.content
        request = self._http.build_request(content=content, **call.request())
        try:
            answer = self._http.send(request, stream=stream)
            if not answer.is_success:
                answer.read()  # a refusal is no stream: it is told as a whole
        except httpx2.RequestError as error:
            return not_reached(request, error)
        if stream:
            self._stream, self._lines = answer, answer.iter_lines()
        return answer

    def _read(self) -> str | Exception | None:
        try:
            return next(self._lines, None)
        except httpx2.RequestError as error:
            return error


def _from_start(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(PIECE), b"")
