"""How a job that failed is recorded."""

import logging
from typing import Any

from app.jobs.files import StorageFullError, is_full

log = logging.getLogger(__name__)


def failure(identity: str, error: Exception) -> dict[str, Any]:
    """The job's record, by the kinds of the error, which the API translates; a bug is logged with its traceback."""
    told = StorageFullError("The disk of the worker has no room left.") if is_full(error) else error
    kinds = kinds_of(told)
    level = logging.WARNING if kinds else logging.ERROR
    log.log(level, "The job %s failed: %s", identity, error, exc_info=None if kinds else error)
    return {"status": "failed", "error": {"kinds": kinds, "detail": str(told)}}


def kinds_of(error: Exception) -> list[str]:
    """The names of our own classes of an error, the most special first; none for a bug. The API translates them."""
    return [kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith("app.")]
