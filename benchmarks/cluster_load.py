"""Clients that hand in jobs of every kind and follow them to their ends, and others that classify all the while."""

import io
import random
import threading
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import httpx2
from PIL import Image

_NEURON: Final = {"layer": "_blocks.0", "channel": 7}
_EXPECTED: Final = {429, 503}
"""Come again: the only refusals that a client of a cluster has to know."""
_TIMEOUT_S: Final = 300
"""How quick the answers are is not looked at here, and the machine may be busy."""
_PATIENCE_S: Final = 900
"""For an answer; then whoever asks gives up."""
_LOST_S: Final = 900
"""A job that has not ended by then is called lost."""
_POLL_S: Final = 0.3
_CLASSIFY_S: Final = 0.1
_AFTERWARDS_S: Final = 1.0
"""Between one question and the next when nothing falls any more: the processors are for the jobs that are left."""
AFTERWARDS: Final = "after it"
_ENDS: Final = {"succeeded", "failed", "canceled"}


@dataclass
class Load:
    """`answers` counts (phase, status) of all requests, 0 where the line broke; `ends` what became of the jobs.

    `errors` are those of jobs, and unexpected answers, with all that it takes to find them in the logs.
    """

    phase: str = "quiet"
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    jobs: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _classifying: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _began: float = field(default_factory=time.monotonic)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began
        self._stop.set()
        for thread in self._classifying:
            thread.join()

    def answered(self, status: int) -> None:
        with self._counting:
            self.answers[self.phase, status] += 1

    def ended(self, job: dict[str, Any]) -> None:
        with self._counting:
            self.ends[job["status"]] += 1
        if job["error"]:
            self.tell(f"{job['id']} ({job['kind']}) {job['status']}: {job['error']}")

    def tell(self, trouble: str) -> None:
        self.errors.append(f"{datetime.now(UTC):%H:%M:%S.%f} ({self.phase}) {trouble}")

    def pause(self, seconds: float) -> None:
        time.sleep(_AFTERWARDS_S if self.phase == AFTERWARDS else seconds)

    def unexpected(self) -> dict[tuple[str, int], int]:
        """Answers that are neither good nor an invitation to come again."""
        return {key: number for key, number in self.answers.items() if not (200 <= key[1] < 300 or key[1] in _EXPECTED)}

    def is_well(self, jobs: int) -> bool:
        return self.ends == {"succeeded": jobs} and len(self.jobs) == jobs and not self.unexpected()

    def table(self) -> str:
        lines = [f"{len(self.jobs)} jobs in {self.seconds:.0f} s: {dict(self.ends)}"]
        for phase in dict.fromkeys(phase for phase, _ in self.answers):
            found = {status: number for (one, status), number in sorted(self.answers.items()) if one == phase}
            lines.append(f"{phase:20} " + ", ".join(f"{status}: {number}" for status, number in found.items()))
        return "\n".join([*lines, *self.errors[:10]])


def hand_in(url: str, *, jobs: int, clients: int, seed: int) -> Load:
    """Begins, and returns at once; two more clients classify until all jobs have ended."""
    load = Load()
    for number in range(clients):
        share = range(number, jobs, clients)
        load._threads.append(threading.Thread(target=_client, args=(load, url, share, seed), daemon=True))
    load._classifying.extend(threading.Thread(target=_classify, args=(load, url), daemon=True) for _ in range(2))
    for thread in (*load._threads, *load._classifying):
        thread.start()
    return load


def _client(load: Load, url: str, share: range, seed: int) -> None:
    with httpx2.Client(base_url=url, timeout=_TIMEOUT_S) as http:
        for number in share:
            request = _job(random.Random(f"{seed} {number}"), number)
            request["headers"] = {"Idempotency-Key": uuid4().hex}
            try:
                job = _ask(load, http, request)
                load.jobs.add(job["id"])
                load.ended(_followed(load, http, job))
            except Exception as error:  # of all that could be, none must go unnoticed
                load.tell(f"the client of job {number} gave up: {error!r}")


def _followed(load: Load, http: httpx2.Client, job: dict[str, Any]) -> dict[str, Any]:
    give_up = time.monotonic() + _LOST_S
    while job["status"] not in _ENDS and time.monotonic() < give_up:
        load.pause(_POLL_S)
        job = _ask(load, http, {"method": "GET", "url": f"/v1/jobs/{job['id']}"})
    if job["status"] not in _ENDS:
        load.tell(f"{job['id']} ({job['kind']}) did not end: {job}")
    return job


def _classify(load: Load, url: str) -> None:
    picture = _picture(7)
    with httpx2.Client(base_url=url, timeout=_TIMEOUT_S) as http:
        while not load._stop.is_set():
            _ask(
                load,
                http,
                {"method": "POST", "url": "/v1/classify", "params": {"model": "imagenet"}, "content": picture},
            )
            load.pause(_CLASSIFY_S)


def _ask(load: Load, http: httpx2.Client, request: dict[str, Any]) -> dict[str, Any]:
    """Until there is an answer; every attempt is counted."""
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up:
        what = f"{request['method']} {request['url']}"
        try:
            answer = http.request(**request)
        except httpx2.TransportError as error:
            load.answered(0)
            load.tell(f"{what}: {error!r}")
            time.sleep(0.5)
            continue
        load.answered(answer.status_code)
        if answer.is_success:
            return dict(answer.json())
        if answer.status_code not in _EXPECTED:
            load.tell(f"{what}: {answer.status_code} {answer.text}")
        time.sleep(min(float(answer.headers.get("Retry-After", 0.5)), 2))
    raise TimeoutError(f"{request['method']} {request['url']} was not answered.")


def _job(chance: random.Random, number: int) -> dict[str, Any]:
    """A request for a job: most are ideal images, some adversarial ones, a few lessons."""
    kind = chance.choices(("ideal", "fool", "teach"), (6, 3, 1))[0]
    if kind == "ideal":
        choices = {"model": "imagenet", "objective": _NEURON, "preset": "raw", "size": 64, "seed": number}
        return {"method": "POST", "url": "/v1/ideal-images", "json": choices | {"steps": chance.randint(1, 6)}}
    if kind == "fool":
        params = {"model": "imagenet", "target": "tabby", "method": "fgsm"}
        picture = _picture(chance.randrange(1000))
        return {"method": "POST", "url": "/v1/adversarial-images", "params": params, "content": picture}
    params = {"name": f"lesson-{number}", "backbone": "efficientnet_lite0"}
    return {"method": "POST", "url": "/v1/models", "params": params, "content": _archive(chance)}


def _picture(seed: int) -> bytes:
    """Coloured noise of a few blocks; small, and different for each seed."""
    chance = random.Random(seed)
    small = Image.new("RGB", (8, 8))
    small.putdata([tuple(chance.randrange(256) for _ in range(3)) for _ in range(64)])
    file = io.BytesIO()
    small.resize((160, 160), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def _archive(chance: random.Random) -> bytes:
    """Two classes of six pictures."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for label in ("first", "second"):
            for number in range(6):
                archive.writestr(f"{label}/{number}.png", _picture(chance.randrange(1 << 30)))
    return file.getvalue()
