"""What looking inside costs, in classifications: `python -m benchmarks.look [--photos FOLDER]`.

In one process, by what the service uses: whole requests, alternating, medians. Then a running service: how long the
slowest classifications take while four clients ask for occlusion, and without them.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path

from app.process.memory import keep_big_blocks
from app.settings import Settings
from app.vision.inspection.inspection import explain, layers_of, look_at_layers
from app.vision.inspection.requests import ExplanationRequest, FeatureMapRequest
from app.vision.serving.predictor import Predictor
from app.wiring import predictor_for, repository_for
from benchmarks.classify import p99, send
from benchmarks.load import Load
from benchmarks.servers import OURS, ROOT, running

_BARS = {"grid of 16 channels": 2, "Grad-CAM": 4}


async def ratios(predictor: Predictor, photos: list[bytes], rounds: int) -> dict[str, float]:
    """Milliseconds of each kind of request, medians over photos and rounds."""
    classifier = await predictor.load("imagenet")
    limits, last = predictor.limits, layers_of(classifier, None)[-1:]

    def maps(photo: bytes, wanted: FeatureMapRequest) -> Awaitable[object]:
        return predictor.run_steps(
            classifier, lambda forward: look_at_layers(classifier, forward, photo, limits, wanted)
        )

    def explained(photo: bytes, wanted: ExplanationRequest) -> Awaitable[object]:
        return predictor.run_steps(classifier, lambda forward: explain(classifier, forward, photo, limits, wanted))

    kinds: dict[str, Callable[[bytes], Awaitable[object]]] = {
        "classification": lambda photo: predictor.classify(classifier, photo),
        "grid of 16 channels": lambda photo: maps(photo, FeatureMapRequest(last)),
        "grid of all stages": lambda photo: maps(photo, FeatureMapRequest(layers_of(classifier, None))),
        "numbers of 16 channels": lambda photo: maps(photo, FeatureMapRequest(last, form="numbers")),
        "Grad-CAM": lambda photo: explained(photo, ExplanationRequest()),
        "Grad-CAM in numbers": lambda photo: explained(photo, ExplanationRequest(form="numbers")),
        "occlusion": lambda photo: explained(photo, ExplanationRequest("occlusion")),
        "integrated gradients": lambda photo: explained(photo, ExplanationRequest("integrated_gradients")),
    }
    slow = {"occlusion", "integrated gradients"}
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(rounds + 1):
        for photo in photos:
            for kind, ask in kinds.items():
                if kind in slow and (number > 1 or photo is not photos[number]):
                    continue
                began = time.perf_counter()
                await ask(photo)
                if number:  # the first round compiles and fills caches
                    took[kind].append((time.perf_counter() - began) * 1e3)
    return {kind: statistics.median(times) for kind, times in took.items()}


def beside_occlusion(photos: list[str], seconds: float, data_dir: Path, clients: int) -> tuple[float, float, int, int]:
    """p99 in ms of classification without and with four clients of occlusion; what failed; explanations meanwhile."""
    with running(OURS, data_dir) as (_, port, _):
        classify = Load(port, OURS.path, photos, clients, seconds)
        occlusion = replace(classify, path="/v1/explanations?model=imagenet&method=occlusion&format=json", clients=4)
        send(replace(classify, seconds=1))
        alone = send(classify)
        command = [sys.executable, "-m", "benchmarks.load"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as others:
            assert others.stdin
            assert others.stdout
            json.dump(asdict(replace(occlusion, seconds=seconds + 4)), others.stdin)
            others.stdin.close()
            time.sleep(2)
            beside = send(classify)
            explained = json.loads(others.stdout.read())["answers"]
        failed = sum(one.status != 200 for one in alone.answers + beside.answers)
        failed += sum(one["status"] != 200 for one in explained)
        return p99(alone.latencies_ms()), p99(beside.latencies_ms()), failed, len(explained)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=ROOT / "app/web/samples")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15)
    chosen = parser.parse_args()
    photos = sorted(path for path in chosen.photos.iterdir() if path.suffix in {".jpg", ".png", ".webp"})[:5]
    keep_big_blocks()
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(Settings(), data_dir=Path(folder))
        predictor = predictor_for(settings, repository_for(settings))
        took = asyncio.run(ratios(predictor, [photo.read_bytes() for photo in photos], chosen.rounds))
        predictor.close()
        for kind, milliseconds in took.items():
            ratio = milliseconds / took["classification"]
            bar = f" (at most {_BARS[kind]})" if kind in _BARS else ""
            print(f"{kind:24} {milliseconds:8.1f} ms   {ratio:6.2f} × a classification{bar}")
        for clients in (1, 4):
            alone, beside, failed, number = beside_occlusion(
                [str(photo) for photo in photos], chosen.seconds, Path(folder), clients
            )
            print(
                f"p99 of classification with {clients} clients: {alone:.1f} ms, beside 4 clients of occlusion "
                f"{beside:.1f} ms: {beside / alone:.2f} × (at most 3); {number} explanations, {failed} requests failed"
            )


if __name__ == "__main__":
    main()
