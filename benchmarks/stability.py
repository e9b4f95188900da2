"""How long asking again after all changes takes, and which attacks `suspicious` finds, by photos nobody chose it by.

Needs the development photos beside the checkout (or `--data`); the attacks take a quarter of an hour.
"""

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as every command of ours does

import numpy as np

from app.jobs.kinds.evaluation import judged_by
from app.settings import Settings
from app.vision.ask import run, run_steps
from app.vision.evaluation.looking import Judged
from app.vision.evaluation.stability import StabilityRequest, mild_stability, stability
from app.vision.image import ImageLimits, Picture
from app.vision.statistics import accuracy_interval
from app.vision.synthesis.adversarial_images import adversarial_image
from app.vision.synthesis.attacks import Method
from app.vision.threads import use_threads
from app.wiring import repository_for, training_jobs_for
from benchmarks.servers import ROOT

METHODS: tuple[Method, ...] = ("minimal", "pgd", "fgsm", "robust")
LIMITS = ImageLimits()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--each", type=int, default=100, help="attacks of each method")
    choices = parser.parse_args()
    use_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        judged = judged_by(training_jobs_for(settings, repository_for(settings), threads=2), "imagenet")
        speed(judged)
        pets = choices.data / "cats-dogs"
        tell("photos by which it was chosen", judged, read(chosen_by(choices.data)))
        tell("other photos", judged, read(sorted((pets / kind).iterdir())[:100] for kind in ("test/cat", "test/dog")))
        for method in METHODS:
            tell(f"{method} attacks", judged, attacked(judged, choices.data, method, choices.each))


def speed(judged: Judged) -> None:
    """Against the bare network on as many canvases, in batches."""
    data = (ROOT / "app/web/samples/bernese.png").read_bytes()
    preprocessing = judged.classifier.backbone.preprocessing
    canvas = Picture.read(data, LIMITS, preprocessing=preprocessing).canvas(preprocessing)
    batch = np.stack([canvas] * judged.forward.best_batch)
    for form in (None, "PNG"):
        ratios = []
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(-(-71 // len(batch))):
                judged.forward(batch)
            bare = time.perf_counter() - began
            began = time.perf_counter()
            wanted = StabilityRequest(form=form)
            run_steps(stability(judged.classifier, judged.forward, data, LIMITS, wanted))
            ratios.append((time.perf_counter() - began) / bare)
        print(f"stability, {form or 'numbers'}: {sorted(ratios)[2]:.2f} × 71 forwards in batches", flush=True)


def chosen_by(data: Path) -> Iterator[list[Path]]:
    yield sorted((data / "imagenet-val/nips2017_dev").glob("*.webp"))[50:]
    for kind in ("cat", "dog"):
        yield sorted((data / "cats-dogs/train" / kind).iterdir())[:30]


def read(paths: Iterator[list[Path]]) -> Iterator[bytes]:
    return (path.read_bytes() for path in chain.from_iterable(paths))


def attacked(judged: Judged, data: Path, method: Method, each: int) -> Iterator[bytes]:
    """The saved pictures of attacks that were successful: half with a target, where the method can reach one."""
    with (data / "imagenet-val/nips2017_dev/labels.csv").open(encoding="utf-8") as file:
        nips = [data / "imagenet-val/nips2017_dev" / row["file"] for row in csv.DictReader(file)]
    pets = [sorted((data / "cats-dogs/test" / kind).iterdir())[-25:] for kind in ("cat", "dog")]
    photos = list(chain.from_iterable(zip(sorted(nips)[:50], chain(*pets), strict=True)))
    labels = judged.classifier.labels
    for number, photo in enumerate(photos[:each]):
        aim = labels.find("tabby" if "dog" in photo.name else "golden retriever").index
        target = aim if number % 4 >= 2 and method != "fgsm" else None
        found = run(adversarial_image(judged.classifier, photo.read_bytes(), method=method, target=target, seed=number))
        if found.success:
            yield found.adversarial


def tell(what: str, judged: Judged, pictures: Iterator[bytes]) -> None:
    found = [run_steps(mild_stability(judged.classifier, judged.forward, data, LIMITS)).suspicious for data in pictures]
    low, high = accuracy_interval(sum(found), len(found))
    print(f"{what}: {sum(found)} of {len(found)} suspicious ({low:.1%} to {high:.1%})", flush=True)


if __name__ == "__main__":
    main()
