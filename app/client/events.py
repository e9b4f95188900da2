"""Reads a text/event-stream: what happens to a job, as it happens."""

from collections.abc import Iterable, Iterator
from json import loads

from app.client.types import JobEvent


def events(lines: Iterable[str]) -> Iterator[tuple[int | None, JobEvent | None]]:
    """The number, where it has one, and the event of each block of a text/event-stream.

    A comment, which a service sends while nothing happens, is no event, but a sign of life: it has None for both.
    """
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line.startswith(":"):
            yield None, None
        elif line:
            fields[name] = value
        elif "data" in fields:
            number = int(fields["id"]) if "id" in fields else None
            yield number, {"event": fields.get("event", ""), "data": loads(fields["data"])}
            fields = {}
        else:
            fields = {}
