"""Our server against one as the tutorials write it, and against the bare work (decode and forward) without a server.

Both serve the same network on the same photos, one after the other, in alternating rounds; prints medians and ratios.
"""

import argparse
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load import Answer, Load, Outcome

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    name: str
    command: tuple[str, ...]
    path: str
    multipart: bool


OURS = Server("inkblot", ("-m", "app", "serve", "--port"), "/v1/classify", multipart=False)
TUTORIAL = Server("tutorial", ("-m", "benchmarks.tutorial_server"), "/classify", multipart=True)


@dataclass(frozen=True)
class Round:
    """Seconds, milliseconds, requests a second and megabytes, as the names say."""

    start_s: float
    rate_1: float
    p50_1_ms: float
    rate_16: float
    p50_16_ms: float
    p99_16_ms: float
    cpu_ms: float
    memory_mb: float
    failed: int


@contextmanager
def running(server: Server, data_dir: Path) -> Iterator[tuple[int, int, float]]:
    """Process id, port and seconds to ready; ended with SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = os.environ | {"INKBLOT_DATA_DIR": str(data_dir), "INKBLOT_LOG_LEVEL": "error"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *server.command, str(port)], cwd=ROOT, env=environ)
    try:
        while not _is_ready(port):
            if process.poll() is not None or time.perf_counter() - began > 120:
                raise SystemExit(f"The {server.name} server did not start.")
            time.sleep(0.05)
        yield process.pid, port, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def send(load: Load) -> Outcome:
    """From a process of its own, whose work is not counted as the server's."""
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(command, input=json.dumps(asdict(load)), capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    return Outcome(found["seconds"], [Answer(**one) for one in found["answers"]])


def measure(server: Server, photos: list[str], seconds: float, data_dir: Path) -> Round:
    with running(server, data_dir) as (pid, port, start_s):
        load = Load(port, server.path, photos, clients=16, seconds=1, multipart=server.multipart)
        send(load)  # not counted
        alone = send(Load(port, server.path, photos, 1, seconds, server.multipart))
        before = _cpu_seconds(pid)
        busy = send(Load(port, server.path, photos, 16, seconds, server.multipart))
        cpu = _cpu_seconds(pid) - before
        answers = alone.answers + busy.answers
        latencies = busy.latencies_ms()
        return Round(
            start_s=start_s,
            rate_1=len(alone.latencies_ms()) / alone.seconds,
            p50_1_ms=statistics.median(alone.latencies_ms()),
            rate_16=len(latencies) / busy.seconds,
            p50_16_ms=statistics.median(latencies),
            p99_16_ms=statistics.quantiles(latencies, n=100)[98],
            cpu_ms=cpu * 1e3 / len(busy.answers),
            memory_mb=_memory_mb(pid),
            failed=sum(one.status != 200 for one in answers),
        )


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory_mb(pid: int) -> float:
    """Proportional set size: shared pages count by share."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1]) / 1e3


def bare(photos: list[str], seconds: float, data_dir: Path) -> None:
    """Decode and forward alone, by what the server uses, in as many threads; prints pictures a second."""
    import numpy as np
    import torch

    from app.memory import keep_big_blocks
    from app.settings import Settings
    from app.vision.backbones import load_backbone
    from app.vision.image import ImageLimits, Picture
    from app.vision.inference import quickest_forward

    keep_big_blocks()
    torch.set_num_threads(1)
    threads = Settings().threads
    backbone, head = load_backbone("efficientnet_lite0", None)
    device = torch.device("cpu")
    forward = quickest_forward(
        backbone, head, device=device, engine="auto", cache_dir=data_dir / "cache", threads=threads
    )
    files, limits, counts = [Path(photo).read_bytes() for photo in photos], ImageLimits(), [0] * threads

    def work(number: int) -> None:
        torch.set_num_threads(1)
        while time.perf_counter() < end:
            batch = [Picture.read(files[(counts[number] + i) % len(files)], limits, fit=backbone.fit) for i in range(8)]
            with torch.inference_mode():
                head(forward(np.stack([picture.canvas(backbone.fit) for picture in batch]))).softmax(1)
            counts[number] += len(batch)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    began = time.perf_counter()
    end = began + seconds
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(sum(counts) / (time.perf_counter() - began))


def rate_of_bare_work(photos: list[str], seconds: float, data_dir: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.classify", "--bare", str(data_dir), "--seconds", str(seconds)]
    done = subprocess.run(command, input="\n".join(photos), capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout.split()[-1])


def check_under_pressure(photos: list[str], data_dir: Path) -> None:
    """300 requests at once, and a non-picture among every 8."""
    with running(OURS, data_dir) as (_, port, _):
        flood = send(Load(port, OURS.path, photos, 300, 0))
        refused = [one for one in flood.answers if one.status == 503]
        slowest = max((one.seconds for one in refused), default=0.0)
        print(
            f"300 at once: {sum(one.status == 200 for one in flood.answers)} answered 200, {len(refused)} answered 503 "
            f"({sum(one.retry_after for one in refused)} with Retry-After, the slowest after {slowest * 1e3:.0f} ms), "
            f"{sum(one.status not in {200, 503} for one in flood.answers)} anything else"
        )
        mixed = send(Load(port, OURS.path, photos, 16, 5, poison_every=8))
        bad = [one for one in mixed.answers if one.poison]
        good = [one for one in mixed.answers if not one.poison]
        print(
            f"a non-picture among every 8: {sum(one.status == 200 for one in good)} of {len(good)} good ones answered, "
            f"{sum(one.status == 415 for one in bad)} of {len(bad)} bad ones refused with 415"
        )


def _photos(folder: Path | None, scratch: Path) -> list[str]:
    shared = ROOT.parent / "shared/data/cats-dogs/test"
    folder = folder or (shared if shared.is_dir() else None)
    if folder is not None:
        return [str(path) for path in sorted(folder.rglob("*.jpg"))[::6][:64]]
    from PIL import Image, ImageFilter

    print("No photos here: smoothed noise of 500×375 takes their place.")
    paths = []
    for number in range(16):
        noise = Image.effect_noise((500, 375), 90 + number).filter(ImageFilter.GaussianBlur(2))
        buffer = io.BytesIO()
        Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]).save(buffer, "JPEG", quality=90)
        path = scratch / f"{number}.jpg"
        path.write_bytes(buffer.getvalue())
        paths.append(str(path))
    return paths


def _median(rounds: list[Round]) -> dict[str, float]:
    return {name: statistics.median(getattr(one, name) for one in rounds) for name in asdict(rounds[0])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder of JPEG files; default: the development photos, else noise")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each load")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    choices = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the server that is running, too
    if choices.bare:
        bare(sys.stdin.read().split("\n"), choices.seconds, choices.bare)
        return
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = Path(scratch) / "var"
        photos = _photos(choices.photos, Path(scratch))
        with running(OURS, data_dir) as (_, _, cold_s):
            pass
        rounds: dict[str, list[Round]] = {OURS.name: [], TUTORIAL.name: []}
        limit = []
        for _ in range(choices.rounds):
            for server in (OURS, TUTORIAL):
                rounds[server.name].append(measure(server, photos, choices.seconds, data_dir))
            limit.append(rate_of_bare_work(photos, choices.seconds, data_dir))
        ours, tutorial = _median(rounds[OURS.name]), _median(rounds[TUTORIAL.name])
        print(f"{'':12}{'inkblot':>10}{'tutorial':>10}{'ratio':>8}")
        for name, value in ours.items():
            ratio = f"{value / tutorial[name]:8.2f}" if tutorial[name] else ""
            print(f"{name:12}{value:10.1f}{tutorial[name]:10.1f}{ratio}")
        print(f"first start ever (the network is converted): {cold_s:.1f} s")
        print(f"p99 / p50 at 16 clients: {ours['p99_16_ms'] / ours['p50_16_ms']:.2f}")
        of_bare = statistics.median(one.rate_16 / most for one, most in zip(rounds[OURS.name], limit, strict=True))
        print(f"of the bare work's {statistics.median(limit):.1f} pictures a second: {of_bare:.0%}")
        check_under_pressure(photos, data_dir)
        if choices.json:
            numbers = {"inkblot": ours, "tutorial": tutorial, "bare_rate": statistics.median(limit), "cold_s": cold_s}
            choices.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
