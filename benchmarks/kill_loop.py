"""Rounds of slow work, each cut off by kill -9: what was accepted ends once, as its client wants, and leaves no more.

A round hands in some small ideal images, attacks, lessons and fine-tunings, and kills the service, its worker, or both
at a moment of chance; whatever is dead is started again. What was not answered is handed in again under its key.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from PIL import Image

from app.client import Client, Job, NoServerError, ProblemError, calls
from app.client.calls import Call
from app.jobs.damage import set_aside
from app.jobs.files import PREVIEW
from benchmarks.servers import ROOT, free_port, is_ready, tree

_SAMPLE: Final = ROOT / "app/web/samples/bernese.png"
_VICTIMS: Final = ("service", "worker", "both")
_CANCELED: Final = 0.15
"""Share of the jobs that their client cancels."""
_PATIENCE_S: Final = 240.0
_LONG_AGO_S: Final = 2 * 3600.0
"""Files of an unknown job, and drafts, are left alone for an hour: they may belong to somebody who is at it."""
_IN_CACHE: Final = ("tmp", ".draft-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=8, help="after which somebody is killed at the latest")
    parser.add_argument("--seed", type=int, default=0)
    choices = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no service is left behind
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder) / "data", Path(folder) / "log.txt")
        try:
            loop = Loop(site, random.Random(choices.seed))
            print("round  victim   after  accepted  asked again", flush=True)
            for number in range(1, choices.rounds + 1):
                loop.round(number, choices.seconds)
            wrong = loop.account()
        finally:
            site.end()
        if wrong:
            print("\n".join(site.log.read_text().splitlines()[-100:]), file=sys.stderr)
            raise SystemExit(1)


class Site:
    """One data folder and one address, on which a service with its worker is started again and again."""

    def __init__(self, data: Path, log: Path) -> None:
        self.data, self.log = data, log
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._service: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """If it is not there; returns when it takes jobs."""
        if self._service is None or self._service.poll() is not None:
            ours = {"HOST": "127.0.0.1", "DATA_DIR": str(self.data), "LOG_LEVEL": "warning", "LOG_FORMAT": "text"}
            with self.log.open("ab") as log:
                self._service = subprocess.Popen(
                    [sys.executable, "-m", "app", "serve", "--port", str(self._port)],
                    cwd=ROOT,
                    env=os.environ | {f"INKBLOT_{name}": value for name, value in ours.items()},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        give_up = time.monotonic() + _PATIENCE_S
        while not is_ready(self._port):
            if self._service.poll() is not None or time.monotonic() > give_up:
                raise SystemExit(f"The service did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def kill(self, victim: str) -> str:
        """Whom it hit: there is no worker while it is being started again."""
        assert self._service
        if victim == "both":
            os.killpg(self._service.pid, signal.SIGKILL)
        elif victim == "worker" and (workers := tree(self._service.pid)[1:]):
            os.kill(workers[0], signal.SIGKILL)
            return victim
        else:
            self._service.kill()
            victim = "service"
        self._service.wait()
        return victim

    def end(self) -> None:
        if self._service and self._service.poll() is None:
            self._service.terminate()
            self._service.wait(60)
        if self._service:  # a worker that a dead service has left behind
            with suppress(ProcessLookupError):
                os.killpg(self._service.pid, signal.SIGKILL)


@dataclass
class Order:
    """What a client wants, from when it first asks for it."""

    work: str
    call: Callable[[], Call[Job]]
    cancels: bool
    job: Job | None = None
    may_end: set[str] = field(default_factory=lambda: {"succeeded"})

    def submit(self, client: Client) -> None:
        self.job = client.ask(self.call())
        if self.cancels:
            self.may_end.add("canceled")  # also if the answer does not come
            if client.cancel(self.job["id"])["status"] == "canceled":
                self.may_end = {"canceled"}


class Loop:
    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site, self._chance = site, chance
        self._orders: list[Order] = []
        self._unanswered: list[Order] = []

    def round(self, number: int, seconds: float) -> None:
        self._site.start()
        again = self._unanswered
        new = [self._order(f"{number}-{place}") for place in range(self._chance.randint(2, 4))]
        victim, after = self._chance.choice(_VICTIMS), self._chance.uniform(0, seconds)
        self._orders += new
        self._unanswered = []
        handing_in = threading.Thread(target=self._hand_in, args=(again + new,))
        handing_in.start()
        time.sleep(after)
        hit = self._site.kill(victim)
        handing_in.join()
        accepted = sum(order.job is not None for order in self._orders)
        print(f"{number:5}  {hit:7}  {after:5.1f}  {accepted:8}  {len(again):11}", flush=True)

    def _order(self, name: str) -> Order:
        chance = self._chance
        work = chance.choice(("ideal image", "attack", "lesson", "fine-tuning"))
        seed, steps = chance.randrange(1000), chance.choice((5, 40, 200))
        ask: Callable[[], Call[Job]]
        match work:
            case "ideal image":
                wanted = {"objective": {"label": "zebra"}, "preset": "quick", "size": 96}
                ask = partial(calls.draw, model="imagenet", steps=steps, seed=seed, **wanted)
            case "attack":
                method = chance.choice(("robust", "minimal", "pgd"))
                wanted = {"model": "imagenet", "target": "tabby", "method": method}
                ask = partial(calls.fool, _SAMPLE, steps=steps, seed=seed, **wanted)
            case _:
                mode, pictures = ("linear_probe" if work == "lesson" else "fine_tune"), archive(chance)
                epochs = chance.randint(1, 4)
                ask = partial(calls.teach, pictures, name=f"taught-{name}", mode=mode, epochs=epochs, seed=seed)
        keyed = {"Idempotency-Key": name}
        return Order(work, lambda: replace(ask(), headers=keyed), cancels=chance.random() < _CANCELED)

    def _hand_in(self, orders: list[Order]) -> None:
        with Client(self._site.url) as client:
            for order in orders:
                try:
                    order.submit(client)
                except (NoServerError, ProblemError):  # killed meanwhile, or not yet back
                    if order.job is None:
                        self._unanswered.append(order)

    def account(self) -> bool:
        """Whether anything is not as it should be, once all has ended; prints what there is."""
        self._site.start()
        self._hand_in(self._unanswered)
        found = Counter[str]()
        for order in self._orders:
            end = self._end(order)
            found["lost"] += end == "lost"
            found["failed"] += end == "failed"
            found["not as wanted"] += end not in order.may_end
            found[end] += end not in {"lost", "failed"}
            if end not in order.may_end:
                print(f"{order.work} {order.job and order.job['id']} is {end}, and may be {order.may_end}", flush=True)
        twice = self._listed_twice()
        self._site.end()
        orphans = self._orphans()
        print(f"{len(self._orders)} jobs: {dict(Counter(order.work for order in self._orders))}")
        for name in ("succeeded", "canceled", "lost", "failed", "not as wanted"):
            print(f"  {found[name]:3} {name}")
        print(f"  {len(twice):3} accepted twice, {len(orphans)} orphans", *orphans, flush=True)
        return bool(found["not as wanted"] or twice or orphans)

    def _end(self, order: Order) -> str:
        if order.job is None:
            return "lost"
        with Client(self._site.url) as client:
            try:
                for event in client.follow(order.job):
                    if event["event"] == "end":
                        order.job = event["data"]["job"] or order.job
                        if event["data"]["status"] == "failed":
                            print(order.job["error"], flush=True)
                        return str(event["data"]["status"])
            except ProblemError:
                return "lost"
        return "lost"

    def _listed_twice(self) -> list[str]:
        """Jobs that nobody asked for, or asked for once and has twice; of the last hundred."""
        with Client(self._site.url) as client:
            listed = [job["id"] for job in client.jobs(limit=100)]
        ours = {order.job["id"] for order in self._orders if order.job}
        return [identity for identity, times in Counter(listed).items() if times > 1 or identity not in ours]

    def _orphans(self) -> list[str]:
        """What still lies in the folder an hour later, when processes have been started there once more."""
        for path in self._site.data.rglob("*"):
            if not path.name.startswith("jobs.sqlite"):
                then = time.time() - _LONG_AGO_S
                os.utime(path, (then, then), follow_symlinks=False)
        self._site.start()
        give_up = time.monotonic() + 60
        while (found := list(orphans(self._site.data, self._orders))) and time.monotonic() < give_up:
            time.sleep(0.5)
        return found


def orphans(data: Path, orders: list[Order]) -> Iterator[str]:
    """Files in the data folder that belong to no job and no model, or to a job that does not need them any more."""
    jobs = {order.job["id"]: order.job for order in orders if order.job}
    models = {str(job["input"]["name"]) for job in jobs.values() if job["kind"] == "model" and job["result"]}
    for path in data.rglob("*"):
        if path.is_dir():
            continue
        parts = path.relative_to(data).parts
        match parts:
            case ("files", "jobs", identity, name) if identity in jobs:
                belongs = name in {PREVIEW, *names(jobs[identity])}
            case ("models", name, *_):
                belongs = name in models and not any(part.startswith(".") for part in parts)
            case ("cache", *rest):
                belongs = not any(part.startswith(_IN_CACHE) for part in rest)
            case (name,):
                belongs = name.startswith("jobs.sqlite")
            case _:
                belongs = False
        if not belongs:
            yield "/".join(parts)
    yield from (path.name for path, _ in set_aside(data / "jobs.sqlite"))


def names(job: Job) -> set[str]:
    """Of all files that the result links to."""
    return set(re.findall(f'/v1/jobs/{job["id"]}/files/([^"?]+)', json.dumps(job["result"])))


def archive(chance: random.Random) -> bytes:
    """A zip with a few red and a few blue pictures."""
    file = BytesIO()
    with ZipFile(file, "w") as zipped:
        for label, channel in (("red", 0), ("blue", 2)):
            for number in range(6):
                colour = [chance.randrange(90) for _ in range(3)]
                colour[channel] += 150
                picture = BytesIO()
                Image.new("RGB", (64, 64), tuple(colour)).save(picture, "PNG")
                zipped.writestr(f"{label}/{number}.png", picture.getvalue())
    return file.getvalue()


if __name__ == "__main__":
    main()
