"""What DBOS tells the log, without what is no news."""

import logging
from typing import Final

from dbos import error as errors

from app.jobs.outage import Outage

_NO_NEWS: Final = ("is no longer owned", "OperationalError", "Notification listener error")


def quieten(outage: Outage) -> None:
    """While the outage lasts it tells the log in its own way, once a minute; all else is told in ours."""
    theirs = logging.getLogger("dbos")
    for handler in tuple(theirs.handlers):
        theirs.removeHandler(handler)
    theirs.propagate = True
    theirs.setLevel(max(logging.WARNING, logging.getLogger().level))
    theirs.addFilter(_is_news)
    theirs.addFilter(lambda _: not outage.lasts)


def _is_news(record: logging.LogRecord) -> bool:
    """Not that a job was canceled or deleted while it ran, which DBOS takes for an error of ours.

    Nor that the database went away, which each of its threads tells by itself, with the whole query.
    """
    error = record.exc_info[1] if record.exc_info else None
    unwanted = (errors.DBOSAwaitedWorkflowCancelledError, errors.DBOSNonExistentWorkflowError)
    return not isinstance(error, unwanted) and not any(part in record.getMessage() for part in _NO_NEWS)
