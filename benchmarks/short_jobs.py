"""Many short jobs of many clients, each of which is to succeed: none may end otherwise than its client wants."""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from app.client import Client, Job
from benchmarks.servers import OURS, running

_NEURON: Final = {"layer": "_blocks.0", "channel": 7}
"""Held-out networks are not asked about it, so that a job is as short as can be."""
_AT_ONCE: Final = 3
"""Jobs that a client has waiting or running: all of them together stay within the limits of the queue."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    choices = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(OURS, Path(folder), worker="child") as (_, port, _):
        began = time.perf_counter()
        with ThreadPoolExecutor(choices.clients) as pool:
            shares = [range(number, choices.jobs, choices.clients) for number in range(choices.clients)]
            found = Counter(
                status
                for ends in pool.map(ends_of, [f"http://127.0.0.1:{port}"] * len(shares), shares)
                for status in ends
            )
        seconds = time.perf_counter() - began
        left = list(Path(folder).glob("files/work/*/*"))
    print(f"{choices.jobs} jobs of {choices.clients} clients in {seconds:.0f} s: {dict(found)}; {len(left)} files left")
    if found != {"succeeded": choices.jobs} or left:
        raise SystemExit(1)


def ends_of(url: str, seeds: range) -> list[str]:
    """How one client's jobs end."""
    with Client(url) as client:
        return list(_ends(client, seeds))


def _ends(client: Client, seeds: range) -> Iterator[str]:
    waiting: list[Job] = []
    for seed in seeds:
        waiting.append(client.draw(model="imagenet", objective=_NEURON, preset="raw", steps=1, size=64, seed=seed))
        if len(waiting) == _AT_ONCE:
            yield _end(client, waiting.pop(0))
    yield from (_end(client, job) for job in waiting)


def _end(client: Client, job: Job) -> str:
    return next(str(event["data"]["status"]) for event in client.follow(job) if event["event"] == "end")


if __name__ == "__main__":
    main()
