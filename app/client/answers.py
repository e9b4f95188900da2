"""Reads the answers of the service: dictionaries, lists and files that show themselves in a notebook."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NoReturn, TypeGuard

import httpx2

from app.client import notebook
from app.client.connections import origin
from app.client.errors import NoServerError, ProblemError, status_of


class Answer(dict[str, Any]):
    """The JSON of an answer."""

    def _repr_html_(self) -> str:
        return notebook.html_of(self)


class Answers(list[Any]):
    """The `data` of an answer that is a list."""

    def _repr_html_(self) -> str:
        return notebook.table_of(self)


class File(bytes):
    """What came is a file, a picture in most cases."""

    def _repr_png_(self) -> bytes | None:
        return bytes(self) if self.startswith(b"\x89PNG") else None

    def _repr_jpeg_(self) -> bytes | None:
        return bytes(self) if self.startswith(b"\xff\xd8\xff") else None

    def _repr_html_(self) -> str | None:
        if self[:4] != b"RIFF" or self[8:12] != b"WEBP":  # Jupyter has no way of its own to show a WebP
            return None
        return f'<img src="data:image/webp;base64,{b64encode(self).decode("ascii")}">'


def read_object(answer: httpx2.Response) -> Any:  # noqa: ANN401 -- the call says what it is
    return _read(answer, "object")


def read_list(answer: httpx2.Response) -> Any:  # noqa: ANN401 -- the call says what it is
    return Answers(Answer(one) for one in _read(answer, "object")["data"])


def read_status(answer: httpx2.Response) -> Any:  # noqa: ANN401 -- the call says what it is
    return _read(answer, "status")


def read_file(answer: httpx2.Response) -> File:
    if not answer.is_success:
        refuse(answer)
    return File(answer.content)


def read_nothing(answer: httpx2.Response) -> None:
    if not answer.is_success:
        refuse(answer)


def refuse(answer: httpx2.Response) -> NoReturn:
    """Raises the service's own word, or that this is no Inkblot."""
    problem = _json(answer)
    if answer.is_error and _is_problem(problem):
        raise ProblemError(problem, retry_after(answer))
    raise NoServerError(f"What answers at {origin(answer.request.url)} is no Inkblot: it said {status_of(answer)}.")


def is_problem(answer: httpx2.Response) -> bool:
    return _is_problem(_json(answer))


def retry_after(answer: httpx2.Response) -> int | None:
    """Seconds after which a busy service wants to be asked again."""
    seconds = answer.headers.get("Retry-After", "")
    unavailable = answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE
    return int(seconds) if unavailable and seconds.isascii() and seconds.isdigit() else None


def _read(answer: httpx2.Response, expected: str) -> Answer:
    """The JSON, which has the member `expected`."""
    body = _json(answer)
    if body is None or not answer.is_success or expected not in body:
        refuse(answer)
    return Answer(body)


def _json(answer: httpx2.Response) -> Mapping[str, Any] | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _is_problem(body: Mapping[str, Any] | None) -> TypeGuard[Mapping[str, Any]]:
    return body is not None and {"type", "title"} <= body.keys()
