"""Our server against one as the tutorials write it, and against the bare work (decode and forward) without a server.

Both serve the same network on the same photos, one after the other, in alternating rounds; prints medians and ratios.
"""

import argparse
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.load import Answer, Load, Outcome
from benchmarks.servers import OURS, ROOT, TUTORIAL, Server, busy_seconds, cpu_seconds, memory_mb, running

_PATIENCE_S = 60.0
_NOISE = 0.1
"""Share of the cores used by others beyond which the numbers are not to be believed."""


@dataclass(frozen=True)
class Round:
    """Seconds, milliseconds, requests a second and megabytes, as the names say; `load` is the clients' own share."""

    start_s: float
    rate_1: float
    p50_1_ms: float
    p99_1_ms: float
    cpu_1_ms: float
    rate_16: float
    p50_16_ms: float
    p99_16_ms: float
    cpu_ms: float
    load_cpu_ms: float
    memory_mb: float
    failed: int
    others: float
    """Share of the machine's cores that neither the server nor its clients used, but somebody else."""


def send(load: Load) -> Outcome:
    """From a process of its own, whose work is not counted as the server's."""
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(command, input=json.dumps(asdict(load)), capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    return Outcome(found["seconds"], [Answer(**one) for one in found["answers"]], found["cpu_s"])


@dataclass(frozen=True)
class Measured:
    outcome: Outcome
    cpu_s: float
    others: float

    @property
    def cpu_ms(self) -> float:
        return self.cpu_s * 1e3 / len(self.outcome.answers)


def measure(server: Server, photos: list[str], seconds: float, data_dir: Path) -> Round:
    with running(server, data_dir) as (pid, port, start_s):
        load = Load(
            port, server.path, photos, clients=16, seconds=1, multipart=server.multipart, field=server.form_field
        )
        _wait_for_an_answer(replace(load, clients=1, seconds=0), server.name)
        send(load)  # not counted
        alone = _watched(pid, replace(load, clients=1, seconds=seconds))
        busy = _watched(pid, replace(load, seconds=seconds))
        quick, slow = alone.outcome.latencies_ms(), busy.outcome.latencies_ms()
        if min(len(quick), len(slow)) < 2:
            raise SystemExit(f"The {server.name} server answered next to nothing.")
        answers = alone.outcome.answers + busy.outcome.answers
        return Round(
            start_s=start_s,
            rate_1=len(quick) / alone.outcome.seconds,
            p50_1_ms=statistics.median(quick),
            p99_1_ms=p99(quick),
            cpu_1_ms=alone.cpu_ms,
            rate_16=len(slow) / busy.outcome.seconds,
            p50_16_ms=statistics.median(slow),
            p99_16_ms=p99(slow),
            cpu_ms=busy.cpu_ms,
            load_cpu_ms=busy.outcome.cpu_s * 1e3 / len(busy.outcome.answers),
            memory_mb=memory_mb(pid),
            failed=sum(one.status != 200 for one in answers),
            others=max(alone.others, busy.others),
        )


def _wait_for_an_answer(load: Load, name: str) -> None:
    """Some servers say that they are ready before their model is."""
    began = time.perf_counter()
    while not any(one.status == 200 for one in send(load).answers):
        if time.perf_counter() - began > _PATIENCE_S:
            raise SystemExit(f"The {name} server does not answer.")


def _watched(pid: int, load: Load) -> Measured:
    cpu, foreign = cpu_seconds(pid), _Foreign(pid)
    outcome = send(load)
    return Measured(outcome, cpu_seconds(pid) - cpu, foreign.share())


class _Foreign:
    """What the machine does since then for neither the server, if there is one, nor the processes that we await."""

    def __init__(self, server: int | None = None) -> None:
        self._server, self._began = server, time.perf_counter()
        self._before = self._seconds()

    def share(self) -> float:
        """Of all cores; 0 where the system does not tell."""
        spent = (self._seconds() - self._before) / (time.perf_counter() - self._began)
        return max(0.0, spent / (os.cpu_count() or 1))

    def _seconds(self) -> float:
        if (busy := busy_seconds()) is None:
            return 0.0
        times = os.times()
        return busy - times.children_user - times.children_system - (cpu_seconds(self._server) if self._server else 0)


def p99(latencies: list[float]) -> float:
    return statistics.quantiles(latencies, n=100, method="inclusive")[98]


def bare(photos: list[str], seconds: float, data_dir: Path) -> None:
    """Decode and forward alone, by what the server uses, in as many threads; prints pictures a second."""
    import numpy as np
    import torch

    from app.process.memory import keep_big_blocks
    from app.settings import Settings
    from app.vision.image import ImageLimits, Picture
    from app.vision.networks.backbones import load_backbone
    from app.vision.serving.runtimes import quickest_extractor

    keep_big_blocks()
    torch.set_num_threads(1)
    threads = Settings().threads
    backbone, head = load_backbone("efficientnet_lite0", None)
    device = torch.device("cpu")
    forward = quickest_extractor(
        backbone, head, device=device, engine="auto", cache_dir=data_dir / "cache", threads=threads
    )
    files, limits, counts = [Path(photo).read_bytes() for photo in photos], ImageLimits(), [0] * threads

    def work(number: int) -> None:
        torch.set_num_threads(1)
        while time.perf_counter() < end:
            batch = [
                Picture.read(files[(counts[number] + i) % len(files)], limits, preprocessing=backbone.preprocessing)
                for i in range(8)
            ]
            with torch.inference_mode():
                head(forward(np.stack([picture.canvas(backbone.preprocessing) for picture in batch]))).softmax(1)
            counts[number] += len(batch)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    began = time.perf_counter()
    end = began + seconds
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(sum(counts) / (time.perf_counter() - began))


def rate_of_bare_work(photos: list[str], seconds: float, data_dir: Path) -> tuple[float, float]:
    """Pictures a second, and the share of the cores that others had meanwhile."""
    command = [sys.executable, "-m", "benchmarks.classify", "--bare", str(data_dir), "--seconds", str(seconds)]
    foreign = _Foreign()
    done = subprocess.run(command, input="\n".join(photos), capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout.split()[-1]), foreign.share()


def check_under_pressure(photos: list[str], data_dir: Path) -> dict[str, float]:
    """300 requests at once, and a non-picture among every 8."""
    with running(OURS, data_dir) as (_, port, _):
        flood = send(Load(port, OURS.path, photos, 300, 0)).answers
        mixed = send(Load(port, OURS.path, photos, 16, 5, poison_every=8)).answers
    refused = [one for one in flood if one.status == 503]
    bad = [one for one in mixed if one.poison]
    good = [one for one in mixed if not one.poison]
    found = {
        "flood_200": sum(one.status == 200 for one in flood),
        "flood_503": len(refused),
        "flood_503_with_retry_after": sum(one.retry_after for one in refused),
        "flood_slowest_503_ms": max((one.seconds for one in refused), default=0.0) * 1e3,
        "flood_else": sum(one.status not in {200, 503} for one in flood),
        "mixed_good": len(good),
        "mixed_good_200": sum(one.status == 200 for one in good),
        "mixed_bad": len(bad),
        "mixed_bad_415": sum(one.status == 415 for one in bad),
    }
    print(
        f"300 at once: {found['flood_200']} answered 200, {found['flood_503']} answered 503 "
        f"({found['flood_503_with_retry_after']} with Retry-After, the slowest after "
        f"{found['flood_slowest_503_ms']:.0f} ms), {found['flood_else']} anything else"
    )
    print(
        f"a non-picture among every 8: {found['mixed_good_200']} of {found['mixed_good']} good ones answered, "
        f"{found['mixed_bad_415']} of {found['mixed_bad']} bad ones refused with 415"
    )
    return found


def photos_in(folder: Path | None, scratch: Path) -> list[str]:
    shared = ROOT.parent / "shared/data/cats-dogs/test"
    folder = folder or (shared if shared.is_dir() else None)
    if folder is not None:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
        if not found:
            raise SystemExit(f"There are no JPEG files in {folder}.")
        return [str(path) for path in found[:: max(1, len(found) // 64)][:64]]
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
    parser.add_argument("--rounds", type=int, default=3, help="of both servers and the bare work; medians are printed")
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
        photos = photos_in(choices.photos, Path(scratch))
        with running(TUTORIAL, data_dir):
            pass  # not counted: the libraries are read from the disk
        with running(OURS, data_dir) as (_, _, cold_s):
            pass
        rounds: dict[str, list[Round]] = {OURS.name: [], TUTORIAL.name: []}
        limit, noises = [], []
        for _ in range(choices.rounds):
            for server in (OURS, TUTORIAL):
                rounds[server.name].append(measure(server, photos, choices.seconds, data_dir))
            most, noise = rate_of_bare_work(photos, choices.seconds, data_dir)
            limit.append(most)
            noises.append(noise)
        ours, tutorial = _median(rounds[OURS.name]), _median(rounds[TUTORIAL.name])
        print(f"{'':12}{'inkblot':>10}{'tutorial':>10}{'ratio':>8}")
        for name, value in ours.items():
            ratio = f"{value / tutorial[name]:8.2f}" if tutorial[name] else ""
            print(f"{name:12}{value:10.2f}{tutorial[name]:10.2f}{ratio}")
        print(f"first start ever (the network is converted): {cold_s:.1f} s")
        print(f"p99 / p50 at 16 clients: {ours['p99_16_ms'] / ours['p50_16_ms']:.2f}")
        of_bare = statistics.median(one.rate_16 / most for one, most in zip(rounds[OURS.name], limit, strict=True))
        print(f"of the bare work's {statistics.median(limit):.1f} pictures a second: {of_bare:.0%}")
        noises += [one.others for some in rounds.values() for one in some]
        if max(noises) > _NOISE:
            print(f"NOT QUIET: something else used {max(noises):.0%} of the machine's cores meanwhile. Repeat it.")
        checks = check_under_pressure(photos, data_dir)
        if choices.json:
            numbers = {
                "inkblot": ours,
                "tutorial": tutorial,
                "bare_rate": statistics.median(limit),
                "of_bare": of_bare,
                "cold_s": cold_s,
                "noise": max(noises),
                "checks": checks,
            }
            choices.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
