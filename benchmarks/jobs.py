"""The jobs of a running service: how quickly they begin and end, what eight at once cost, what classification notices.

All ratios are within one run, against the same service with one job, or with none.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.client import Client, Job
from benchmarks.classify import send
from benchmarks.load import Load, Outcome
from benchmarks.servers import OURS, ROOT, cpu_seconds, running

SAMPLES = ROOT / "app/web/samples"
DOG = SAMPLES / "bernese.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    choices = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(OURS, Path(folder), worker="child") as (pid, port, _):
        url = f"http://127.0.0.1:{port}"
        with Client(url) as client:
            ended(client, client.fool(DOG.read_bytes(), model="imagenet", target="tabby", method="minimal"))  # warm
            idle(pid)
            beginning(client, choices.rounds)
            for name in ("minimal", "ideal"):
                together(url, name, choices.rounds)
            beside(url, port)


def submit(client: Client, name: str, seed: int) -> Job:
    if name == "minimal":
        return client.fool(DOG.read_bytes(), model="imagenet", target="tabby", method="minimal", seed=seed)
    return client.draw(model="imagenet", objective={"label": "zebra"}, seed=seed)


def ended(client: Client, job: Job) -> Job:
    for event in client.follow(job):
        if event["event"] == "end":
            found: Job = event["data"]["job"]
            assert found["status"] in {"succeeded", "canceled"}, found
            return found
    raise AssertionError("no end")


def idle(pid: int) -> None:
    time.sleep(3)
    before = cpu_seconds(pid)
    time.sleep(10)
    print(f"idle: {(cpu_seconds(pid) - before) / 10:.1%} of a core, service and worker together")


def beginning(client: Client, rounds: int) -> None:
    """From the submission to the first step, and from the cancellation to the end of the stream."""
    first, cancel = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        job = client.draw(model="imagenet", objective={"label": "zebra"}, steps=2048)
        events = client.follow(job)
        next(event for event in events if event["event"] == "progress")
        first.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        client.cancel(job["id"])
        next(event for event in events if event["event"] == "end")
        cancel.append((time.perf_counter() - began) * 1e3)
    print(f"submit to first step: {statistics.median(first):.0f} ms; cancel to end: {statistics.median(cancel):.0f} ms")


def together(url: str, name: str, rounds: int) -> None:
    def one(seed: int) -> None:
        with Client(url) as client:
            ended(client, submit(client, name, seed))

    alone, eight = [], []
    for number in range(max(2, rounds // 2)):
        began = time.perf_counter()
        one(number)
        alone.append(time.perf_counter() - began)
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(8)))
        eight.append((time.perf_counter() - began) / 8)
    lone, each = statistics.median(alone), statistics.median(eight)
    print(f"{name}: alone {lone:.2f} s, eight at once {each:.2f} s each: {each / lone:.2f} x", flush=True)


def beside(url: str, port: int) -> None:
    """The latency of classification at 4 clients, without jobs and while eight run."""
    photos = [str(path) for path in sorted(SAMPLES.glob("*.png"))]
    load = Load(port=port, path=OURS.path, photos=photos, clients=4, seconds=8)
    without = send(load)
    with Client(url) as client:
        jobs = [client.draw(model="imagenet", objective={"label": "zebra"}, steps=2048, seed=seed) for seed in range(8)]
        time.sleep(3)
        during = send(load)
        steps = sum((client.job(job["id"])["progress"] or {}).get("step", 0) for job in jobs)
        for job in jobs:
            client.cancel(job["id"])
    before, after = p99(without), p99(during)
    failed = sum(answer.status != 200 for answer in during.answers)
    print(f"classification at 4 clients: p99 {before:.0f} ms, with eight jobs {after:.0f} ms: {after / before:.2f} x")
    print(f"  {failed} of {len(during.answers)} failed; the jobs made {steps} steps meanwhile")


def p99(outcome: Outcome) -> float:
    latencies = outcome.latencies_ms()
    return latencies[int(len(latencies) * 0.99)]


if __name__ == "__main__":
    main()
