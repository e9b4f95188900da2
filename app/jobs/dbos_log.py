"""What DBOS tells the log, without what is no news."""

import logging

from dbos import error as errors

from app.jobs.outage import Outage


def quieten(outage: Outage) -> None:
    """While the outage lasts it tells the log in its own way, once a minute."""
    logging.getLogger("dbos").addFilter(_is_news)
    logging.getLogger("dbos").addFilter(lambda _: not outage.lasts)


def _is_news(record: logging.LogRecord) -> bool:
    """Not that a job was canceled or deleted while it ran, which DBOS takes for an error of ours."""
    error = record.exc_info[1] if record.exc_info else None
    unwanted = (errors.DBOSAwaitedWorkflowCancelledError, errors.DBOSNonExistentWorkflowError)
    return not isinstance(error, unwanted) and "is no longer owned" not in record.getMessage()
