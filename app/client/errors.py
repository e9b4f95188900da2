"""What can go wrong, as sentences for a person."""

from collections.abc import Mapping
from typing import Any

import httpx2


class ClientError(RuntimeError):
    """What went wrong, as a sentence for a person."""


class PictureError(ClientError):
    """A picture that cannot be read or fetched; nothing was sent."""


class NoServerError(ClientError):
    """Nothing listens at the address, or it is no Inkblot."""


class ProblemError(ClientError):
    """The service's own answer (RFC 9457); `problem` holds all of it."""

    def __init__(self, problem: Mapping[str, Any], retry_after: int | None = None) -> None:
        self.problem = dict(problem)
        self.slug = str(problem["type"]).rpartition("/")[2]
        self.title = str(problem["title"])
        self.detail = str(problem.get("detail") or self.title)
        self.suggestions: tuple[str, ...] = tuple(problem.get("suggestions") or ())
        self.request_id = str(problem.get("request_id", ""))
        self.retry_after = retry_after
        """Seconds after which to ask again; None if that would not help."""
        sentence = self.detail if self.detail.endswith((".", "?", "!")) else f"{self.detail}."
        hint = f" Did you mean {' or '.join(self.suggestions)}?" if self.suggestions else ""
        log = f" The service logged it under {self.request_id}." if self.slug == "internal" else ""
        super().__init__(sentence + hint + log)


class JobError(ClientError):
    """A job that ended without a result: it failed, or was canceled or deleted; `problem` says why, if it failed."""

    def __init__(self, status: str, problem: Mapping[str, Any] | None) -> None:
        self.status = status
        self.problem = dict(problem) if problem else None
        detail = str(problem.get("detail") or problem["title"]) if problem else f"The job was {status}."
        super().__init__(detail if detail.endswith((".", "?", "!")) else f"{detail}.")


def status_of(answer: httpx2.Response) -> str:
    return f"{answer.status_code} {answer.reason_phrase}".rstrip()


def reason_of(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
