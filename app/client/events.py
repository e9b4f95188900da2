"""Reads a text/event-stream: what happens to a job, as it happens."""

from dataclasses import dataclass, field
from json import loads

from app.client.types import JobEvent


@dataclass(frozen=True)
class Block:
    """A comment, which a service sends while nothing happens, is a sign of life: it has None for both."""

    number: int | None = None
    event: JobEvent | None = None


@dataclass
class EventReader:
    """Takes a stream line by line."""

    _fields: dict[str, str] = field(default_factory=dict)

    def take(self, line: str) -> Block | None:
        """The block that ends with this line, if one does."""
        if line.startswith(":"):
            return Block()
        if line:
            name, _, value = line.partition(": ")
            self._fields[name] = value
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        number = int(fields["id"]) if "id" in fields else None
        return Block(number, {"event": fields.get("event", ""), "data": loads(fields["data"])})
