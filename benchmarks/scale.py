"""How far one service goes: its rate, latency and memory against pictures in flight, and against taught models.

`python -m benchmarks.scale` prints a table for each; what waits in the queue has `python -m benchmarks.waiting_jobs`.
"""

import argparse
import json
import shutil
import statistics
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch
from safetensors.torch import save_file

from app.vision.models.model_folder import OWN_WEIGHTS
from app.vision.networks.backbones import BACKBONES
from app.vision.networks.weights import find_checkpoint
from benchmarks.classify import p99, send
from benchmarks.load import Load
from benchmarks.servers import OURS, ROOT, memory_mb, running

IN_FLIGHT: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MODELS: Final = (1, 10, 100, 500)
NETWORKS: Final = 8
PHOTOS: Final = [str(ROOT / "app/web/samples" / name) for name in ("cat.jpg", "basenji.png", "bernese.png")]
_SECONDS: Final = 5.0
_ROUNDS: Final = 5
_DIRECTLY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> None:
    parts = {"in-flight": in_flight, "models": models, "networks": networks}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=parts, action="append")
    for name in parser.parse_args().only or parts:
        parts[name]()


def in_flight() -> None:
    """Clients that each wait for an answer before they ask again."""
    print(f"{'clients':>8}{'a second':>10}{'p50 ms':>9}{'p99 ms':>9}{'503':>7}{'memory MB':>11}")
    with TemporaryDirectory() as folder, running(OURS, Path(folder)) as (pid, port, _):
        send(Load(port, OURS.path, PHOTOS, 16, 2.0))
        for clients in IN_FLIGHT:
            outcome = send(Load(port, OURS.path, PHOTOS, clients, _SECONDS))
            taken = outcome.latencies_ms()
            refused = sum(answer.status == 503 for answer in outcome.answers) / len(outcome.answers)
            rate = len(taken) / outcome.seconds
            figures = f"{rate:>10.1f}{statistics.median(taken):>9.1f}{p99(taken):>9.1f}{refused:>7.1%}"
            print(f"{clients:>8}{figures}{memory_mb(pid):>11.0f}", flush=True)


def models() -> None:
    """Copies of the model that ships under other names, each asked once, then all over again."""
    heads = ("models", "start s", "list ms", "first ms", "again ms", "16 of them", "MB before", "MB after")
    print("".join(f"{head:>11}" for head in heads))
    photo = (ROOT / "app/web/samples/cat.jpg").read_bytes()
    for number in MODELS:
        with TemporaryDirectory() as folder:
            names = [f"taught-{index:03}" for index in range(number)]
            for name in names:
                shutil.copytree(ROOT / "models/cats-vs-dogs", Path(folder) / "models" / name)
            with running(OURS, Path(folder)) as (pid, port, started):
                url = f"http://127.0.0.1:{port}/v1"
                before = memory_mb(pid)
                listed = statistics.median(taken_ms(f"{url}/models") for _ in range(_ROUNDS))
                first = statistics.median(taken_ms(f"{url}/classify?model={name}", photo) for name in names)
                again = statistics.median(taken_ms(f"{url}/classify?model={name}", photo) for name in names)
                spread = max(1, number // 16)
                rates = [
                    send(Load(port, f"/v1/classify?model={name}", PHOTOS, 16, 2.0)) for name in names[::spread][:3]
                ]
                rate = statistics.median(len(one.latencies_ms()) / one.seconds for one in rates)
                figures = (started, listed, first, again, rate, before, memory_mb(pid))
                print(f"{number:>11}" + "".join(f"{figure:>11.1f}" for figure in figures), flush=True)


def networks() -> None:
    """Fine-tuned models, each with a network of its own, asked one after the other; then all over again."""
    print(f"{'networks':>10}{'first s':>10}{'again ms':>10}{'MB':>10}")
    photo = (ROOT / "app/web/samples/cat.jpg").read_bytes()
    with TemporaryDirectory() as folder:
        found = find_checkpoint("efficientnet_lite0", BACKBONES["efficientnet_lite0"].weights, None)
        assert found, "it comes as a package"
        weights = {name: one.contiguous() for name, one in torch.load(found[0]).items() if not name.startswith("_fc")}
        for index in range(NETWORKS):
            place = Path(folder) / "models" / f"tuned-{index}"
            shutil.copytree(ROOT / "models/cats-vs-dogs", place)
            save_file(weights, place / OWN_WEIGHTS)
        with running(OURS, Path(folder)) as (pid, port, _):
            url = f"http://127.0.0.1:{port}/v1/classify?model=tuned-"
            for index in range(NETWORKS):
                first = taken_ms(f"{url}{index}", photo) / 1e3
                again = statistics.median(taken_ms(f"{url}{one}", photo) for one in range(index + 1))
                print(f"{index + 1:>10}{first:>10.1f}{again:>10.1f}{memory_mb(pid):>10.0f}", flush=True)


def taken_ms(url: str, body: bytes | None = None) -> float:
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"} if body else {})
    began = time.perf_counter()
    with _DIRECTLY.open(request, timeout=60) as answer:
        json.load(answer)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
