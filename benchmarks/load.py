"""Closed-loop HTTP/1.1 clients, hand-written because a client library would take the processor from the server.

`python -m benchmarks.load` reads a `Load` as JSON from standard input and prints the answers as JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

_BOUNDARY = "inkblot-benchmark"


@dataclass(frozen=True)
class Load:
    """`clients` send photos one after the other for `seconds`, or each of them once if `seconds` is 0."""

    port: int
    path: str
    photos: list[str]
    clients: int
    seconds: float
    multipart: bool = False
    poison_every: int = 0
    """Every so many requests hold no picture."""


@dataclass
class Answer:
    status: int
    seconds: float
    poison: bool = False
    retry_after: bool = False


@dataclass
class Outcome:
    seconds: float
    answers: list[Answer] = field(default_factory=list)

    def latencies_ms(self) -> list[float]:
        return sorted(one.seconds * 1e3 for one in self.answers if one.status == 200)


async def run(load: Load, photos: list[bytes]) -> Outcome:
    bodies = [_request(load, photo) for photo in photos]
    poison = _request(load, b"no picture at all, but long enough to look like a body " * 40)
    outcome = Outcome(0)
    sent = 0
    began = time.perf_counter()

    async def client() -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
        while True:
            number = sent
            sent += 1
            bad = load.poison_every > 0 and number % load.poison_every == load.poison_every - 1
            asked = time.perf_counter()
            writer.write(poison if bad else bodies[number % len(bodies)])
            try:
                await writer.drain()
                status, retry_after, closes = await _read(reader)
            except (OSError, asyncio.IncompleteReadError):
                status, retry_after, closes = 0, False, True
            outcome.answers.append(Answer(status, time.perf_counter() - asked, bad, retry_after))
            if time.perf_counter() - began >= load.seconds:
                break
            if closes:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
        writer.close()

    await asyncio.gather(*(client() for _ in range(load.clients)))
    outcome.seconds = time.perf_counter() - began
    return outcome


def _request(load: Load, data: bytes) -> bytes:
    kind = "application/octet-stream"
    if load.multipart:
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
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
