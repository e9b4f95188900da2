"""What only an accelerator can show, in under eight minutes: `python -m benchmarks.gpu [--json FILE]`.

Parity with the CPU and the precision that was chosen; classification at 1, 16 and 64 clients; asks in batches; one and
many ideal and adversarial images; fine-tuning; memory after each; whether the same seed makes the same file. A part
that fails is told in the table, and the others go on. Runs where there is torch and no registry: `benchmarks/wheels.py`
collects what is missing there. `--device cpu --quick` tries the script itself.
"""

import argparse
import json
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from app.client import Client, Job
from app.vision.ask import Ask, answer
from app.vision.image import ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.pixels import to_pixels
from app.vision.serving.predictor import pick_device
from app.vision.serving.runtimes import PARITY, TorchFeatureExtractor, quickest_extractor
from app.vision.synthesis.objectives import class_objective
from benchmarks.classify import p99, send
from benchmarks.load import Load
from benchmarks.servers import OURS, ROOT, running

SAMPLES: Final = sorted((ROOT / "app/web/samples").glob("*.[jp][pn]g"))
_ZEBRA: Final = 340
_LIMIT_S: Final = 450
"""No part begins later."""


@dataclass(frozen=True)
class Row:
    what: str
    value: float | str | bool | None
    unit: str = ""


@dataclass(frozen=True)
class Sizes:
    """Of all that is measured."""

    clients: tuple[int, ...]
    batches: tuple[int, ...]
    seconds: float
    jobs: int
    epochs: int
    preset: str


FULL: Final = Sizes((1, 16, 64), (1, 8, 32, 96), 6.0, 32, 4, "clear")
QUICK: Final = Sizes((1, 4), (1, 4), 1.0, 2, 1, "quick")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    parser.add_argument("--quick", action="store_true", help="small sizes: to try the script")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    choices = parser.parse_args()
    device, sizes = pick_device(choices.device), QUICK if choices.quick else FULL
    began = time.perf_counter()
    table: dict[str, list[Row]] = {}
    for name in choices.only:
        if time.perf_counter() - began > _LIMIT_S:
            table[name] = [Row("not run", "the time was over")]
            continue
        started = time.perf_counter()
        rows: list[Row] = []
        try:
            rows.extend(PARTS[name](device, sizes))
        except Exception as error:  # the machine is lent for minutes: the other parts are wanted all the same
            rows += [Row("failed", f"{type(error).__name__}: {error}"), Row("where", traceback.format_exc()[-1500:])]
        rows += [*memory(device), Row("seconds of this part", round(time.perf_counter() - started, 1), "s")]
        table[name] = rows
        show(name, rows)
        written = {name: [asdict(row) for row in rows] for name, rows in table.items()}
        choices.json.write_text(json.dumps(written, indent=1))
    if any(row.what == "failed" for rows in table.values() for row in rows):
        raise SystemExit(1)


def show(name: str, rows: list[Row]) -> None:
    print(f"\n{name}", flush=True)
    for row in rows:
        value = f"{row.value:,.4g}" if isinstance(row.value, float) else row.value
        print(f"  {row.what:52} {value} {row.unit}", flush=True)


def memory(device: torch.device) -> Iterator[Row]:
    """Of the whole device, whoever has it."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        yield Row("memory of the device in use", round((total - free) / 2**20), "MiB")


def machine(device: torch.device, _: Sizes) -> Iterator[Row]:
    yield Row("torch", torch.__version__)
    yield Row("device", torch.cuda.get_device_name(device) if device.type == "cuda" else str(device))
    yield Row("CUDA", torch.version.cuda)
    yield Row("bfloat16", torch.cuda.is_bf16_supported() if device.type == "cuda" else None)


def precision(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """How far each precision is from the CPU's float32, how long it takes, and which one serves."""
    canvases = _canvases(device)
    reference, head = _extractor(torch.device("cpu"), torch.float32)
    wanted = head(reference(canvases)).softmax(1)
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        forward, head = _extractor(device, kind)
        found = head(forward(canvases)).softmax(1).cpu()
        yield Row(f"{kind}: largest difference", (found - wanted).abs().max().item(), f"(at most {PARITY})")
        yield Row(f"{kind}: same class", bool((found.argmax(1) == wanted.argmax(1)).all()))
        for number in sizes.batches:
            batch = np.repeat(canvases, -(-number // len(canvases)), 0)[:number]
            yield Row(
                f"{kind}: batch of {number}", _milliseconds(partial(_forward, forward, batch)) / number, "ms each"
            )
    models = _models(device)
    backbone, original = models.backbone("efficientnet_lite0")
    with tempfile.TemporaryDirectory() as cache:
        chosen = quickest_extractor(
            backbone, original, device=device, engine="auto", cache_dir=Path(cache), threads=torch.get_num_threads()
        )
    yield Row("serves", chosen.name, "the quickest of those within the limit")


def asks(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Forward and backward, as slow work needs them; the ratio is to a batch of one."""
    classifier = _models(device).load("imagenet")
    pixels = to_pixels(_canvases(device), device)
    objective = class_objective(classifier.head.weight, _ZEBRA)
    alone: float | None = None
    for number in sizes.batches:
        batch = [Ask(classifier, pixels[index % len(pixels)][None], objective) for index in range(number)]
        each = _milliseconds(partial(_answered, batch)) / number
        alone = alone or each
        yield Row(f"batch of {number}", each, "ms each")
        yield Row(f"batch of {number}: ratio", each / alone)


def classification(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, _service(device, folder, worker="external") as (port, start_s):
        yield Row("start until ready", start_s, "s")
        with Client(f"http://127.0.0.1:{port}") as client:
            ready = client.ready()
            yield Row("readyz", f"{ready['device']}, {ready['forward']}")
        for clients in sizes.clients:
            found = send(Load(port, OURS.path, [str(path) for path in SAMPLES], clients, sizes.seconds))
            answered = found.latencies_ms()
            yield Row(f"{clients} clients", len(answered) / found.seconds, "requests a second")
            yield Row(f"{clients} clients: p50", statistics.median(answered), "ms")
            yield Row(f"{clients} clients: p99", p99(answered), "ms")
            yield Row(f"{clients} clients: failed", len(found.answers) - len(answered))


def jobs(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """One of each kind, then many at once, through a service and its worker."""
    dog = (ROOT / "app/web/samples/bernese.png").read_bytes()

    def ideal(client: Client, seed: int) -> Job:
        return client.draw(model="imagenet", objective={"label": "zebra"}, preset=sizes.preset, seed=seed)

    def fooled(client: Client, seed: int) -> Job:
        return client.fool(dog, model="imagenet", target="tabby", seed=seed)

    with tempfile.TemporaryDirectory() as folder, _service(device, folder, worker="child") as (port, _):
        url = f"http://127.0.0.1:{port}"
        _together(url, ideal, [0])  # the first one loads the network in the worker
        for name, submit in (("ideal images", ideal), ("robust adversarial images", fooled)):
            alone = _together(url, submit, [1])
            many = _together(url, submit, range(1, sizes.jobs + 1))
            yield Row(f"{name}: one", alone, "s")
            yield Row(f"{name}: {sizes.jobs} at once", many, "s")
            yield Row(f"{name}: share of one each", many / (alone * sizes.jobs))
            yield from memory(device)
        yield from _determinism(url, ideal)


def teaching(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """A linear probe and fine-tuning (in mixed precision on CUDA) on crops of the samples."""
    archive = _lesson()
    with (
        tempfile.TemporaryDirectory() as folder,
        _service(device, folder, worker="child") as (port, _),
        Client(f"http://127.0.0.1:{port}") as client,
    ):
        for mode, choices in (("linear_probe", {}), ("fine_tune", {"epochs": sizes.epochs})):
            began = time.perf_counter()
            job = client.wait(client.teach(archive, name=mode.replace("_", "-"), mode=mode, **choices))
            yield Row(f"{mode}: {sum(map(len, archive.values()))} pictures", time.perf_counter() - began, "s")
            result: dict[str, Any] = job["result"] or {}
            yield Row(f"{mode}: accuracy", result["metrics"]["accuracy"])
            yield from memory(device)


PARTS: Final[dict[str, Callable[[torch.device, Sizes], Iterator[Row]]]] = {
    "machine": machine,
    "precision": precision,
    "asks": asks,
    "classification": classification,
    "jobs": jobs,
    "teaching": teaching,
}


def _determinism(url: str, submit: Callable[[Client, int], Job]) -> Iterator[Row]:
    """The same seed alone twice, and once in company; a recipe promises as good a picture, not the same bytes."""
    with Client(url) as client:

        def finals(seeds: list[int]) -> list[tuple[bytes, float]]:
            done = [client.wait(job) for job in [submit(client, seed) for seed in seeds]]
            return [(client.drawn(job), float((job["result"] or {})["score"])) for job in done]

        (one,), (again,), (company, *_) = finals([5]), finals([5]), finals([5, 6, 7, 8])
    yield Row("the same seed again: same bytes", one[0] == again[0])
    yield Row("the same seed in company: same bytes", one[0] == company[0])
    yield Row("scores of the three", " ".join(f"{each:.4f}" for _, each in (one, again, company)))


@contextmanager
def _service(device: torch.device, folder: str, *, worker: str) -> Iterator[tuple[int, float]]:
    """A running service on the device: its port, and the seconds until it was ready."""
    more = {"INKBLOT_DEVICE": str(device), "INKBLOT_JOBS_RUNNING": "32", "INKBLOT_JOBS_PER_CLIENT": "64"}
    with running(OURS, Path(folder), worker=worker, more=more) as (_, port, seconds):
        yield port, seconds


def _together(url: str, submit: Callable[[Client, int], Job], seeds: Sequence[int]) -> float:
    """Seconds from the first submission to the last end."""

    def one(seed: int) -> None:
        with Client(url) as client:
            client.wait(submit(client, seed))

    began = time.perf_counter()
    with ThreadPoolExecutor(len(seeds)) as pool:
        list(pool.map(one, seeds))
    return time.perf_counter() - began


def _models(device: torch.device) -> ModelRepository:
    return ModelRepository([ROOT / "models"], weights_dir=Path("weights"), device=device)


def _extractor(device: torch.device, kind: torch.dtype) -> tuple[TorchFeatureExtractor, torch.nn.Linear]:
    backbone, head = _models(device).backbone("efficientnet_lite0")
    return TorchFeatureExtractor(backbone, device, kind), head


def _canvases(device: torch.device) -> NDArray[np.uint8]:
    preprocessing = _models(device).backbone("efficientnet_lite0")[0].preprocessing
    pictures = [Picture.read(path.read_bytes(), ImageLimits()) for path in SAMPLES]
    return np.stack([np.asarray(picture.canvas(preprocessing)) for picture in pictures])


def _forward(extract: TorchFeatureExtractor, canvases: NDArray[np.uint8]) -> torch.Tensor:
    return extract(canvases).cpu()  # which waits for the device


def _answered(batch: list[Ask]) -> None:
    for one in answer(batch):
        if isinstance(one, Exception):
            raise one
        one.gradient.cpu()  # which waits for the device


def _milliseconds(work: Callable[[], object]) -> float:
    """Median of five, after one that fills caches and picks kernels."""
    work()
    took = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)


def _lesson() -> dict[str, list[bytes]]:
    """Sixty crops of each sample photo of an animal: cats and dogs."""
    found: dict[str, list[bytes]] = {"cat": [], "dog": []}
    chance = np.random.default_rng(0)
    for path in SAMPLES:
        label = {"cat": "cat", "basenji": "dog", "bernese": "dog", "papillon": "dog"}.get(path.stem)
        if label is None:
            continue
        photo = Image.open(path).convert("RGB")
        side = min(photo.size) * 2 // 3
        for _ in range(60):
            left, top = (int(chance.integers(0, length - side + 1)) for length in photo.size)
            crop = photo.crop((left, top, left + side, top + side)).resize((224, 224))
            file = BytesIO()
            (ImageOps.mirror(crop) if chance.random() < 0.5 else crop).save(file, "JPEG")
            found[label].append(file.getvalue())
    return found


if __name__ == "__main__":
    main()
