"""What this process writes to its log: one line an event, with the id of the request that it belongs to."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal

from app.audit import AUDIT

LogFormat = Literal["auto", "json", "text"]

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""Of the request that is being answered; threads that it hands work to inherit it."""


def configure(level: str, log_format: LogFormat) -> None:
    """Let all loggers write to standard error: `auto` is text on a terminal, where a person reads, and JSON elsewhere.

    A container's output goes to a collector, which needs no rules to take JSON apart; `docker run -it` has a terminal.
    """
    handler = logging.StreamHandler()
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    handler.addFilter(_with_request_id)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    log_audit()
    if level == "info":
        logging.getLogger("dbos").setLevel(logging.WARNING)  # it tells of each of its seventy migrations


def log_audit() -> None:
    """To standard error, whatever the level, and as JSON on a terminal, too: it is for whoever keeps it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_with_request_id)
    audit = logging.getLogger(AUDIT)
    audit.setLevel(logging.INFO)
    audit.propagate, audit.handlers = False, [handler]


def _with_request_id(record: logging.LogRecord) -> bool:
    """Where the record is made, which is in the request's context, unless it brings one along."""
    record.request_id = getattr(record, "request_id", REQUEST_ID.get())
    return True


class TextFormatter(logging.Formatter):
    """A line for people, to whose terminal nothing in it can send commands; the id stands at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- as in the base class
        record.message = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in record.message)
        line = super().formatMessage(record)
        request_id = getattr(record, "request_id", "")
        return f"{line} [{request_id}]" if request_id else line


class JsonFormatter(logging.Formatter):
    """A JSON object a line; `fields` of a record are members of it."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", ""):
            told["request_id"] = request_id
        told.update(getattr(record, "fields", {}))
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)
