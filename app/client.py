"""Talks to a running Inkblot: what the command line uses, and Python programs can. Light: it imports no torch."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx2

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_MAX_DOWNLOAD: Final = 64 * 1024 * 1024
_PATIENCE_S: Final = 60.0
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


class ClientError(RuntimeError):
    """What went wrong, as a sentence for a person."""


class NoServerError(ClientError):
    """Nothing listens at the address, or it is no Inkblot."""


class ProblemError(ClientError):
    """The service's own answer (RFC 9457); `problem` holds all of it."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        suggestions = " or ".join(problem.get("suggestions") or ())
        hint = f" Did you mean {suggestions}?" if suggestions else ""
        super().__init__(f"{problem.get('detail') or problem.get('title')}{hint}")


class Client:
    """One connection to the service at `url`; use it in a `with`. Answers are the JSON of API.md, as dictionaries."""

    def __init__(self, url: str = DEFAULT_URL, *, http: httpx2.Client | None = None) -> None:
        self._url = url
        nearby = httpx2.URL(url).host in _LOOPBACK  # a proxy of the environment would not find it
        self._http = http or httpx2.Client(base_url=url, timeout=httpx2.Timeout(60, connect=5), trust_env=not nearby)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def classify(
        self,
        picture: bytes,
        *,
        model: str | None = None,
        top_k: int = 5,
        min_score: float = 0.0,
        lang: str | None = None,
    ) -> dict[str, Any]:
        """Predictions for the bytes of a picture file. Raises `ProblemError` or `NoServerError`."""
        choices = {"model": model, "top_k": top_k, "min_score": min_score, "lang": lang}
        params = {name: value for name, value in choices.items() if value is not None}
        return self._ask("POST", "/v1/classify", params=params, content=picture)

    def models(self) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self._ask("GET", "/v1/models")["data"]
        return data

    def ready(self) -> dict[str, Any]:
        """Which model answers, where and by what; waits while it is being loaded."""
        return self._ask("GET", "/readyz")

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401 -- as httpx2
        """A 503 that says when to come again is asked again, for a minute at most."""
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                answer = self._http.request(method, path, **request)
            except httpx2.TransportError as error:
                raise NoServerError(
                    f"No Inkblot answers at {self._url} ({error or type(error).__name__}). "
                    "Start one with `inkblot serve`, or name another with --server."
                ) from error
            wait = answer.headers.get("Retry-After", "")
            if answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE or not wait.isdecimal():
                break
            if time.monotonic() + int(wait) > give_up:
                break
            time.sleep(int(wait))
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise NoServerError(f"What answers at {self._url} is no Inkblot.")
        if answer.is_success:
            return body
        raise ProblemError(body)


def read_picture(source: str) -> bytes:
    """The bytes of a file or of an http(s) address, fetched here and never by the service. Raises `ClientError`."""
    if source.startswith(("http://", "https://")):
        return _download(source)
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ClientError(f"{source} cannot be read: {error.strerror}.") from error


def _download(url: str) -> bytes:
    body = bytearray()
    try:
        with httpx2.stream("GET", url, follow_redirects=True, timeout=30) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _MAX_DOWNLOAD:
                    raise ClientError(f"{url} is larger than {_MAX_DOWNLOAD // 1024**2} MiB.")
    except httpx2.HTTPError as error:
        raise ClientError(f"{url} cannot be fetched: {error or type(error).__name__}.") from error
    return bytes(body)
