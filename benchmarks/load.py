"""Closed-loop HTTP/1.1 clients, hand-written because a client library would take the processor from the server.

`python -m benchmarks.load` reads a `Load` as JSON from standard input and prints the answers as JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_BOUNDARY = "inkblot-benchmark"
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Load:
    """`clients` send photos one after the other for `seconds`, and until there were `requests` of them; each sends one
    at least.
    """

    port: int
    path: str
    photos: list[str]
    clients: int
    seconds: float
    multipart: bool = False
    poison_every: int = 0
    """Every so many requests hold no picture."""
    requests: int = 0
    field: str = "file"
    """Of the form that holds the photo."""


@dataclass
class Answer:
    """`status` is 0 where none came."""

    status: int
    seconds: float
    poison: bool = False
    retry_after: bool = False


@dataclass
class Outcome:
    seconds: float
    answers: list[Answer] = field(default_factory=list)
    cpu_s: float = 0.0
    """Processor time that the clients took from the server on the same machine."""

    def latencies_ms(self) -> list[float]:
        return sorted(one.seconds * 1e3 for one in self.answers if one.status == 200)


async def run(load: Load, photos: list[bytes]) -> Outcome:
    bodies = [request(load, photo) for photo in photos]
    poison = request(load, b"no picture at all, but long enough to look like a body " * 40)
    outcome = Outcome(0)
    sent = 0
    opened = await asyncio.gather(*(_connect(load) for _ in range(load.clients)))
    began, cpu = time.perf_counter(), time.process_time()

    async def client(connection: _Connection | None) -> None:
        nonlocal sent
        while True:
            number = sent
            sent += 1
            bad = load.poison_every > 0 and number % load.poison_every == load.poison_every - 1
            asked = time.perf_counter()
            status, retry_after, closes = await _ask(connection, poison if bad else bodies[number % len(bodies)])
            outcome.answers.append(Answer(status, time.perf_counter() - asked, bad, retry_after))
            done = time.perf_counter() - began >= load.seconds and sent >= load.requests
            if connection is not None and (closes or done):
                connection[1].close()
            if done:
                return
            if closes:
                await asyncio.sleep(0.01 if status == 0 else 0)  # a server that is gone is not asked in a busy loop
                connection = await _connect(load)

    await asyncio.gather(*(client(connection) for connection in opened))
    outcome.seconds, outcome.cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return outcome


async def _connect(load: Load) -> _Connection | None:
    try:
        return await asyncio.open_connection("127.0.0.1", load.port)
    except OSError:
        return None


async def _ask(connection: _Connection | None, request: bytes) -> tuple[int, bool, bool]:
    """Status, whether there was a Retry-After, and whether the connection is of no more use."""
    if connection is None:
        return 0, False, True
    reader, writer = connection
    writer.write(request)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await writer.drain()
            return await _read(reader)
    except (OSError, asyncio.IncompleteReadError):  # TimeoutError is an OSError
        return 0, False, True


def request(load: Load, data: bytes) -> bytes:
    kind = "application/octet-stream"
    if load.multipart:
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{load.field}"; filename="a.jpg"\r\n'
        head += "Content-Type: image/jpeg\r\n\r\n"
        data = head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()
    start = (
        f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return start.encode() + data


async def _read(reader: asyncio.StreamReader) -> tuple[int, bool, bool]:
    """Status, whether there was a Retry-After, and whether the server closes the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12]), b"\r\nretry-after:" in head, b"\r\nconnection: close" in head


def main() -> None:
    load = Load(**json.load(sys.stdin))
    photos = [Path(photo).read_bytes() for photo in load.photos]
    json.dump(asdict(asyncio.run(run(load, photos))), sys.stdout)


if __name__ == "__main__":
    main()
