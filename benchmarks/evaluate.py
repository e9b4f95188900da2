"""Judging a model: its rate against the bare network's, and its figures on photos that no head was taught on.

Needs the development photos beside the checkout (or `--data`). Rates are of alternating rounds in one run; the bare
network gets canvases that are decoded already.
"""

import argparse
import os
import statistics
import tempfile
import time
from io import BytesIO
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as every command of ours does

from app.jobs.kinds.evaluation import evaluation, judged_by
from app.jobs.kinds.training import TrainingJobs
from app.settings import Settings
from app.vision.ask import run_steps
from app.vision.evaluation.neighbors import neighbors, remembered
from app.vision.image import Picture
from app.vision.models.model_folder import EXAMPLES
from app.vision.threads import use_threads
from app.vision.transfer.archive import Archive
from app.vision.transfer.teaching import Plan, teach
from app.wiring import repository_for, training_jobs_for
from benchmarks.servers import ROOT
from benchmarks.teach import rate, swept, zipped

ROUNDS = 3
THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--corruptions", action="store_true", help="also how accuracy holds, and what that costs")
    choices = parser.parse_args()
    use_threads(THREADS)
    archive = zipped(choices.data / "cats-dogs/test")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        jobs = training_jobs_for(settings, repository_for(settings), threads=THREADS)
        judged = judged_by(jobs, "cats-vs-dogs")
        preprocessing = judged.classifier.backbone.preprocessing
        with Archive(BytesIO(archive)) as opened:
            canvases = [
                Picture.read(opened.read(entry), jobs.limits, preprocessing=preprocessing).canvas(preprocessing)
                for entry in opened.entries
            ]
        ratios = []
        for _ in range(ROUNDS):
            bare = rate(len(canvases), lambda: swept(judged.forward, canvases, THREADS))
            whole = evaluation(jobs, {"model": "cats-vs-dogs"}, BytesIO(archive), None)
            ratios.append(rate(len(canvases), lambda whole=whole: run_steps(whole)) / bare)  # type: ignore[misc]
            print(f"  bare {bare:.0f} pictures a second, evaluation {ratios[-1]:.0%} of it", flush=True)
        print(f"evaluation of {len(canvases)} pictures: {statistics.median(ratios):.0%} of the bare network's rate")
        near(jobs, choices.data)
        for model in ("cats-vs-dogs", "imagenet"):
            asked = {"model": model, "corruptions": choices.corruptions}
            began = time.perf_counter()
            result = run_steps(evaluation(jobs, asked, BytesIO(archive), None)).result
            print(f"{model}: {result['accuracy']:.1%}, {result['interval_95']}, ECE {result['calibration']['ece']:.3f}")
            for one in result["corruptions"] or ():
                print(f"  {one['name']:14} {one['severity']}  {one['accuracy']:.2f}")
            print(f"  {time.perf_counter() - began:.0f} s", flush=True)


def near(jobs: TrainingJobs, data: Path) -> None:
    """What the pictures that a model learned from are found in, against a classification of the same picture."""
    with Archive(BytesIO(zipped(data / "cats-dogs/train", 100))) as archive:
        taught = run_steps(teach(archive, Plan(), jobs.context("efficientnet_lite0")))
    jobs.models.publish("near", taught.record, taught.files)
    jobs.models.refresh()
    judged, limits = judged_by(jobs, "near"), jobs.limits
    known = remembered(judged.classifier, jobs.models.file("near", EXAMPLES))
    photo = next(iter((data / "cats-dogs/test/cat").iterdir())).read_bytes()
    preprocessing = judged.classifier.backbone.preprocessing

    def classify() -> None:
        canvas = Picture.read(photo, limits, preprocessing=preprocessing).canvas(preprocessing)
        features = judged.forward(canvas[None])
        judged.classifier.head(features).softmax(1)
        judged.classifier.unknown(features)

    ratios = []
    for _ in range(30):
        alone = rate(1, classify)
        ratios.append(
            alone / rate(1, lambda: run_steps(neighbors(judged.classifier, judged.forward, known, photo, limits)))
        )
    print(f"neighbors of {len(known.examples)} pictures: {statistics.median(ratios):.2f} × a classification")


if __name__ == "__main__":
    main()
