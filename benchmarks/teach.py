"""Teaching through a running service: how good the heads are, what the fit costs, and what classification notices.

Needs the development photos beside the checkout (or `--data`). Heads are judged on test folders that teaching never
saw. References are those of plain logistic regression on the same features, as measured with the data. Ratios are
within one run.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as every command of ours does

import torch
from PIL import Image

from app.client import Client, Job
from app.vision.ask import run_steps
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.serving.runtimes import FeatureExtractor, quickest_extractor
from app.vision.statistics import accuracy_interval
from app.vision.threads import use_threads
from app.vision.transfer.archive import Archive
from app.vision.transfer.cross_validation import split
from app.vision.transfer.dataset import DatasetLimits
from app.vision.transfer.teaching import Plan, TransferContext
from app.vision.transfer.training import classes_of, learn
from benchmarks.classify import p99, send
from benchmarks.load import Load
from benchmarks.servers import OURS, ROOT, running

SAMPLES = ROOT / "app/web/samples"
REFERENCES = {"cats-dogs": 0.992, "pets": 0.905, "hymenoptera": 0.948, "flowers": 0.912, "brain-mri": 0.854}
"""Of a plain logistic regression; cats-dogs of 2000 pictures, where teaching has 1000."""


def main() -> None:
    parts: dict[str, Callable[[Path], None]] = {
        "costs": costs,
        "accuracy": accuracy,
        "beside": beside,
        "ideal": ideal,
        "fooled": fooled,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--only", choices=parts, action="append")
    choices = parser.parse_args()
    os.environ.setdefault("INKBLOT_WEIGHTS_DIR", str(choices.data / "weights"))
    for name in choices.only or parts:
        parts[name](choices.data)


@contextmanager
def serving() -> Iterator[tuple[Client, int]]:
    """A service on a port, with its worker, and without anybody's models."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(OURS, Path(folder), worker="child") as (_, port, _),
        Client(f"http://127.0.0.1:{port}") as client,
    ):
        yield client, port


def zipped(folder: Path, each: int | None = None) -> bytes:
    """A folder for each class, with the first `each` pictures."""
    file = BytesIO()
    with ZipFile(file, "w", ZIP_STORED, strict_timestamps=False) as archive:
        for label in sorted(path for path in folder.iterdir() if path.is_dir()):
            for picture in sorted(label.iterdir())[:each]:
                archive.write(picture, f"{label.name}/{picture.name}")
    return file.getvalue()


def test_folder(folder: Path) -> Path:
    return folder / ("test" if (folder / "test").is_dir() else "val")


def costs(data: Path) -> None:
    """Processor time of the fit beside that of looking, and looking against the bare network on the same canvases."""
    threads = 2
    use_threads(threads)
    models = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))
    backbone, original = models.backbone("efficientnet_lite0")
    with tempfile.TemporaryDirectory() as cache:
        forward = quickest_extractor(
            backbone, original, device=torch.device("cpu"), engine="auto", cache_dir=Path(cache), threads=threads
        )
    context = TransferContext(backbone, original, models.original_labels(), forward, threads=threads)
    plan = Plan()
    with Archive(BytesIO(zipped(data / "cats-dogs/train")), DatasetLimits()) as archive:
        entries = archive.entries[::4]
        canvases = [
            Picture.read(archive.read(entry), ImageLimits(), preprocessing=backbone.preprocessing).canvas(
                backbone.preprocessing
            )
            for entry in entries
        ]
        ratios = []
        for _ in range(3):
            bare = rate(len(canvases), lambda: swept(forward, canvases, threads))
            looking = context.extractor(plan).extract(archive, entries, None, len(entries))
            ratios.append(rate(len(entries), partial(run_steps, looking)) / bare)
        print(f"looking at pictures, by {forward.name}: {statistics.median(ratios):.0%} of the bare network's rate")
        examples, _ = run_steps(context.extractor(plan).extract(archive, archive.entries, None, len(archive.entries)))
    classes = classes_of(examples)
    began = cpu_s()
    divided = split(examples, classes, parts=plan.parts, seed=0)
    learned = run_steps(learn(examples, classes, divided, seed=0))
    judged = learned.metrics["pictures_judged"]
    print(
        f"fit of {len(examples)} pictures, {judged} of them judged by others: {cpu_s() - began:.2f} CPU-s", flush=True
    )


def swept(forward: FeatureExtractor, canvases: Sequence[Canvas], threads: int) -> None:
    """The bare network over canvases that are there, by as many threads as look at pictures."""
    step = forward.best_batch
    batches = [np.stack(canvases[start : start + step]) for start in range(0, len(canvases), step)]
    with ThreadPoolExecutor(threads, initializer=lambda: use_threads(1)) as pool:
        list(pool.map(forward, batches))


def rate(number: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return number / (time.perf_counter() - began)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def accuracy(data: Path) -> None:
    """Of heads taught with the defaults, on the test folders; and of twenty pictures of cats and dogs."""
    with serving() as (client, _port):
        shares = []
        for name, reference in REFERENCES.items():
            taught = teach(client, f"{name}-taught", zipped(data / name / "train"))
            shares.append(judged(client, taught, test_folder(data / name), f"reference {reference:.1%}"))
        print(f"mean {statistics.mean(shares):.1%}, reference {statistics.mean(REFERENCES.values()):.1%}")
        twenty = teach(client, "twenty", zipped(data / "cats-dogs/train", each=10))
        judged(client, twenty, data / "cats-dogs/test", "20 pictures in all; reference 96.2%")


def teach(client: Client, name: str, archive: bytes) -> Mapping[str, Any]:
    began = time.perf_counter()
    result = result_of(client, client.teach(BytesIO(archive), name=name))
    return {**result, "wall_s": time.perf_counter() - began}


def judged(client: Client, taught: Mapping[str, Any], folder: Path, note: str) -> float:
    right = strange = number = 0
    for label in sorted(folder.iterdir()):
        for picture in sorted(label.iterdir()):
            found = client.classify(picture.read_bytes(), model=taught["model"], top_k=1)
            right += found["predictions"][0]["label"] == label.name
            strange += bool(found["unknown"] and found["unknown"]["is_unknown"])
            number += 1
    low, high = accuracy_interval(right, number)
    metrics = taught["metrics"]
    print(
        f"{taught['model']}: {right} of {number}, {right / number:.1%} ({low:.1%} to {high:.1%}; {note}); "
        f"the card says {metrics['accuracy']:.1%} of {metrics['pictures_judged']}; "
        f"{strange / number:.1%} taken for unknown; {taught['wall_s']:.1f} s",
        flush=True,
    )
    return right / number


def result_of(client: Client, job: Job) -> dict[str, Any]:
    *_, last = client.follow(job)
    ended: Job = last["data"]["job"]
    assert ended["status"] == "succeeded", ended["error"]
    assert ended["result"]
    return ended["result"]


def longest_silence(client: Client, job: Job) -> float:
    """Seconds between two events of a job that runs."""
    times = [time.perf_counter() for _ in client.follow(job)]
    return max(later - earlier for earlier, later in pairwise(times))


def beside(data: Path) -> None:
    """The latency of classification at 8 clients, without and while a model is taught."""
    photos = [str(path) for path in sorted(SAMPLES.glob("*.png"))]
    archive = zipped(data / "cats-dogs/train")
    with serving() as (client, port):
        load = Load(port=port, path=OURS.path, photos=photos, clients=8, seconds=15)
        teach(client, "warm", zipped(data / "cats-dogs/train", each=5))
        before = send(load)
        jobs = [client.teach(BytesIO(archive), name=f"model-{number}") for number in range(2)]
        during = send(load)
        states = [client.job(job["id"])["status"] for job in jobs]
        for job in jobs:
            result_of(client, job)
        silence = longest_silence(client, client.teach(BytesIO(archive), name="heard"))
    failed = sum(one.status != 200 for one in chain(before.answers, during.answers))
    slow, quick = p99(during.latencies_ms()), p99(before.latencies_ms())
    print(
        f"8 clients: p99 {quick:.0f} ms, while two models of 1000 pictures are taught {slow:.0f} ms: "
        f"{slow / quick:.2f} x; {failed} of {len(before.answers) + len(during.answers)} failed; "
        f"then {', '.join(states)}; the longest silence in the events of one alone {silence:.2f} s",
        flush=True,
    )


CATS, DOGS = range(281, 286), range(151, 269)
"""Among ImageNet's classes."""
ANIMALS = (
    *(("cats-vs-dogs", label, seed) for label in ("cat", "dog") for seed in range(4)),
    *(("pets", label, 0) for label in ("Siamese", "Persian", "Bengal", "Maine_Coon", "Abyssinian", "Russian_Blue")),
    *(("pets", label, 0) for label in ("Sphynx", "Ragdoll", "beagle", "pug", "samoyed", "chihuahua", "boxer")),
    *(("pets", label, 0) for label in ("shiba_inu", "newfoundland", "yorkshire_terrier")),
)


def ideal(_: Path) -> None:
    """Ideal cats and dogs of two trained heads, as other networks' ImageNet heads see the saved PNG."""
    with serving() as (client, _port):
        jobs = [client.draw(model=model, objective={"label": label}, seed=seed) for model, label, seed in ANIMALS]
        seen: dict[tuple[str, str], list[bool]] = {}
        for (model, label, _seed), job in zip(ANIMALS, jobs, strict=True):
            members = CATS if label[0].isupper() or label == "cat" else DOGS
            for check in result_of(client, job)["checks"]:
                seen.setdefault((model, check["model"]), []).append(check["index"] in members)
    for (model, judge), hits in seen.items():
        print(f"ideal cats and dogs of {model}: {judge} sees the animal in {sum(hits)} of {len(hits)}", flush=True)


def fooled(data: Path) -> None:
    """Dogs that are changed until cats-vs-dogs says cat, saved once more as JPEG of quality 75."""
    photos = sorted((data / "cats-dogs/test/dog").iterdir())
    with serving() as (client, _port):
        survived = []
        for photo in photos:
            if client.classify(photo.read_bytes(), model="cats-vs-dogs")["predictions"][0]["label"] != "dog":
                continue
            job = client.fool(photo.read_bytes(), model="cats-vs-dogs", target="cat")
            png = client.file(result_of(client, job)["files"]["adversarial"])
            found = client.classify(jpeg_of(png, 75), model="cats-vs-dogs")["predictions"][0]
            survived.append(found["label"] == "cat")
            if len(survived) == 10:
                break
    print(f"dogs taken for cats by cats-vs-dogs, after JPEG of quality 75: {sum(survived)} of {len(survived)}")


def jpeg_of(png: bytes, quality: int) -> bytes:
    file = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


if __name__ == "__main__":
    main()
