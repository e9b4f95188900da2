"""Talks to a running Inkblot: what the command line uses, and Python programs can. Light: it imports no torch.

with Client() as client:
    print(client.classify(Path("dog.jpg"))["predictions"][0]["display"])
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NoReturn, Self, TypeGuard, cast
from urllib.parse import quote

import httpx2

from app.client.errors import NoServerError, ProblemError, reason_of, status_of
from app.client.events import events
from app.client.types import Job, JobEvent, Label, Model, Prediction, Ready

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_ATTEMPTS: Final = 60
_PATIENCE_S: Final = 60.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_EXPORT_S: Final = 180.0
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}


class Client:
    """Connections to the service at `base_url`; use it in a `with`. Answers are the JSON of the API, as dictionaries.

    Every method raises `ProblemError` or `NoServerError`. An `http` that is given stays open.
    """

    def __init__(self, base_url: str = DEFAULT_URL, *, http: httpx2.Client | None = None) -> None:
        self._url, self._own = base_url, http is None
        self._http = http or _connections(base_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._own:
            self._http.close()

    def classify(
        self,
        picture: Path | bytes,
        *,
        model: str | None = None,
        top_k: int = 5,
        min_score: float = 0.0,
        lang: str | None = None,
    ) -> Prediction:
        """What is in a picture file, or in its bytes. Raises `OSError`, too, if the file cannot be read."""
        data = picture.read_bytes() if isinstance(picture, Path) else picture
        choices = {"model": model, "top_k": top_k, "min_score": min_score, "lang": lang}
        return cast("Prediction", self._ask("POST", "/v1/classify", choices=choices, content=data))

    def look(self, picture: bytes, **choices: object) -> dict[str, Any]:
        """A layer's channels in numbers: `layer`, `channels`, `target` … as POST /v1/feature-maps takes.

        Without a `layer` the stages' as a list, in `data`.
        """
        return self._ask("POST", "/v1/feature-maps", choices={**choices, "format": "json"}, content=picture)

    def explain(self, picture: bytes, **choices: object) -> dict[str, Any]:
        """What a class's score rests on, in numbers: `method`, `target` … as POST /v1/explanations takes."""
        return self._ask("POST", "/v1/explanations", choices={**choices, "format": "json"}, content=picture)

    def look_drawn(self, picture: bytes, *, form: str = "png", **choices: object) -> bytes:
        """What `look` tells as a grid of tiles, `form` being png or webp; or exactly, as an array (npy)."""
        return self._bytes("/v1/feature-maps", "POST", choices={**choices, "format": form}, content=picture)

    def explain_drawn(self, picture: bytes, *, form: str = "png", **choices: object) -> bytes:
        """What `explain` tells as a heat map over the picture, `form` being png or webp."""
        return self._bytes("/v1/explanations", "POST", choices={**choices, "format": form}, content=picture)

    def models(self, *, lang: str | None = None) -> list[Model]:
        """The cards of all models."""
        return cast("list[Model]", self._ask("GET", "/v1/models", choices={"lang": lang})["data"])

    def labels(self, model: str, *, search: str | None = None, lang: str | None = None) -> list[Label]:
        """The classes of a model; those whose name contains `search`, in any language, if it is given."""
        choices = {"q": search, "lang": lang}
        path = f"/v1/models/{quote(model, safe='')}/labels"
        return cast("list[Label]", self._ask("GET", path, choices=choices)["data"])

    def draw(self, **choices: object) -> Job:
        """Ask for an ideal image: `objective={"label": "zebra"}`, `preset`, `size` … as POST /v1/ideal-images takes."""
        body = {name: value for name, value in choices.items() if value is not None}
        return cast("Job", self._ask("POST", "/v1/ideal-images", json=body))

    def fool(self, picture: bytes, **choices: object) -> Job:
        """Ask for an adversarial image: `target`, `method` … as POST /v1/adversarial-images takes."""
        return cast("Job", self._ask("POST", "/v1/adversarial-images", choices=choices, content=picture))

    def teach(self, archive: BinaryIO, **choices: object) -> Job:
        """Ask for a new model, taught on a zip with a folder a class: `name`, `backbone` … as POST /v1/models takes."""
        return cast("Job", self._ask("POST", "/v1/models", choices=choices, content=archive))

    def correct(self, model: str, corrections: Mapping[str, str | None]) -> Job:
        """Ask for the model's next version, with other labels for some pictures; None leaves one out."""
        body = {"corrections": [{"picture": name, "label": label} for name, label in corrections.items()]}
        return cast("Job", self._ask("POST", f"/v1/models/{quote(model, safe='')}/corrections", json=body))

    def export(self, model: str) -> bytes:
        """A zip with all that it takes to use a model without Inkblot."""
        return self._bytes(f"/v1/models/{quote(model, safe='')}/export", timeout=_EXPORT_S)

    def delete_model(self, name: str) -> None:
        """Forget a model that was taught there."""
        self._bytes(f"/v1/models/{quote(name, safe='')}", "DELETE")

    def jobs(self, *, limit: int = 20) -> list[Job]:
        """Your jobs, newest first."""
        return cast("list[Job]", self._ask("GET", "/v1/jobs", choices={"limit": limit})["data"])

    def job(self, identity: str) -> Job:
        return cast("Job", self._ask("GET", f"/v1/jobs/{quote(identity, safe='')}"))

    def cancel(self, identity: str) -> Job:
        return cast("Job", self._ask("POST", f"/v1/jobs/{quote(identity, safe='')}/cancel"))

    def follow(self, job: Job) -> Iterator[JobEvent]:
        """What happens to a job, as it happens, until its `end`; a broken line is taken up where it broke.

        A service that is restarted is waited for: `NoServerError` after a minute without any sign of life.
        """
        last, patience = 0, _Patience()
        while True:
            answer = self._listen(job, last, patience)
            try:
                if answer.status_code == httpx2.codes.NO_CONTENT:
                    yield self._end(job)
                    return
                for number, event in events(answer.iter_lines()):
                    patience.renew()
                    last = number or last
                    if event is not None:
                        yield event
                        if event["event"] == "end":
                            return
            except httpx2.RequestError as error:
                broke = reason_of(error)
            else:
                broke = "it ended too soon"
            finally:
                answer.close()
            if not patience.wait():
                raise NoServerError(f"The line to {self._url} breaks again and again: {broke}.")

    def file(self, path: str) -> bytes:
        """A file of a job, by the path that its result names."""
        return self._bytes(path)

    def ready(self) -> Ready:
        """Which model answers, where and by what; waits while it is being loaded."""
        return cast("Ready", self._ask("GET", "/readyz", expected="status"))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        expected: str = "object",
        choices: Mapping[str, object] | None = None,
        content: bytes | BinaryIO | None = None,
        json: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """The answer's JSON, which has the member `expected`."""
        answer = self._patiently(
            lambda: self._http.build_request(
                method, path, params=_params(choices), content=_from_start(content), json=json
            )
        )
        body = _json(answer)
        if body is not None and answer.is_success and expected in body:
            return body
        return self._refuse(answer, body)

    def _bytes(
        self,
        path: str,
        method: str = "GET",
        *,
        choices: Mapping[str, object] | None = None,
        content: bytes | None = None,
        timeout: float = _PATIENCE_S,
    ) -> bytes:
        answer = self._patiently(
            lambda: self._http.build_request(method, path, params=_params(choices), content=content, timeout=timeout)
        )
        if not answer.is_success:
            self._refuse(answer, _json(answer))
        return answer.content

    def _refuse(self, answer: httpx2.Response, body: dict[str, Any] | None) -> NoReturn:
        if answer.is_error and _is_problem(body):
            raise ProblemError(body, _retry_after(answer))
        raise NoServerError(f"What answers at {self._url} is no Inkblot: it said {status_of(answer)}.")

    def _patiently(self, request: Callable[[], httpx2.Request]) -> httpx2.Response:
        """A 503 that says when to come again is asked again, by a new request, for a minute at most."""
        give_up = time.monotonic() + _PATIENCE_S
        for attempt in range(1, _ATTEMPTS + 1):
            answer = self._once(request())
            wait = _retry_after(answer)
            if wait is None or attempt == _ATTEMPTS or time.monotonic() + wait > give_up:
                break
            time.sleep(wait)
        return answer

    def _listen(self, job: Job, last: int, patience: "_Patience") -> httpx2.Response:
        """An open stream of the events after the `last` one, or a 204; asked for as long as there is hope."""
        while True:
            request = self._http.build_request(
                "GET", job["links"]["events"], headers={"Last-Event-ID": str(last)}, timeout=_PATIENCE_S
            )
            try:
                answer = self._once(request, stream=True)
            except NoServerError:
                if patience.wait():
                    continue
                raise
            if answer.is_success:
                return answer
            body, seconds = _json(answer), _retry_after(answer)
            # A server's error that is no problem comes from a proxy, while the service behind it is restarted.
            hope = seconds is not None or (answer.is_server_error and not _is_problem(body))
            if not hope or not patience.wait(seconds or 0):
                self._refuse(answer, body)

    def _end(self, job: Job) -> JobEvent:
        """The last event as the service tells it, for a line on which it has nothing more to say."""
        ended = self.job(job["id"])
        return {"event": "end", "data": {"status": ended["status"], "job": ended}}

    def _once(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        try:
            answer = self._http.send(request, stream=stream)
            if not answer.is_success:
                answer.read()  # a refusal is no stream: it is told as a whole
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise NoServerError(
                f"No Inkblot answers at {self._url}. "
                "Start one with `inkblot serve` or `make serve`, or name another with --server."
            ) from error
        except httpx2.RequestError as error:
            raise NoServerError(f"{self._url} did not answer: {reason_of(error)}.") from error
        return answer


class _Patience:
    """Pauses that grow, for a minute from the first of them; a sign of life starts both anew."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._pause = _FIRST_PAUSE_S
        self._give_up: float | None = None

    def wait(self, at_least: float = 0) -> bool:
        """Sleeps, and says whether to try again; False, at once, if the minute would be over by then."""
        now = time.monotonic()
        if self._give_up is None:
            self._give_up = now + _PATIENCE_S
        pause = max(self._pause, at_least)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
        if now + pause > self._give_up:
            return False
        time.sleep(pause)
        return True


def _params(choices: Mapping[str, object] | None) -> dict[str, str]:
    """As a query has them: `true`, not `True`, and nothing that was not chosen."""
    given = {name: value for name, value in (choices or {}).items() if value is not None}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _connections(base_url: str) -> httpx2.Client:
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise NoServerError(f"{base_url!r} is no address of a service; one looks like {DEFAULT_URL}.")
    return httpx2.Client(
        base_url=url,
        timeout=httpx2.Timeout(_PATIENCE_S, connect=5),
        trust_env=url.host not in _LOOPBACK,  # a proxy would look for the service on its own machine
    )


def _from_start(content: bytes | BinaryIO | None) -> bytes | Iterator[bytes] | None:
    """A file is sent in pieces, so that it never is in memory as a whole."""
    if content is None or isinstance(content, bytes):
        return content
    content.seek(0)
    return iter(lambda: content.read(1 << 20), b"")


def _json(answer: httpx2.Response) -> dict[str, Any] | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _is_problem(body: dict[str, Any] | None) -> TypeGuard[dict[str, Any]]:
    return body is not None and {"type", "title"} <= body.keys()


def _retry_after(answer: httpx2.Response) -> int | None:
    seconds = answer.headers.get("Retry-After", "")
    unavailable = answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE
    return int(seconds) if unavailable and seconds.isascii() and seconds.isdigit() else None
