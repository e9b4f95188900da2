"""What `inkblot doctor` looks at: whether this machine, with these settings, can serve."""

import asyncio
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import Final

import torch
from PIL import Image

from app.client import Client, ClientError
from app.jobs.damage import set_aside
from app.process.address import probe_address
from app.process.places import unusable_places
from app.settings import Settings, SettingsError
from app.vision.models.repository import ModelRepository
from app.vision.networks.backbones import BACKBONES, find_weights
from app.vision.serving.predictor import DeviceUnavailableError, pick_device
from app.wiring import predictor_for, repository_for

_CARDS: Final = "[!.]*/model.json"
_GIB: Final = 1024**3
_MEMORY_GIB: Final = 1.5


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    subject: str
    detail: str


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """All findings, in the order of what depends on what; stops early where nothing can work."""
    try:
        settings = Settings.from_environ(environ)
    except SettingsError as error:
        return [Finding(Verdict.FAIL, "settings", str(error))]
    device = _device(settings)
    return [
        Finding(Verdict.OK, "Python", f"{platform.python_version()} on {platform.platform()}"),
        device,
        *_memory(),
        _port(settings),
        *_places(settings),
        *(_models(settings) if device.verdict is Verdict.OK else ()),
        *_backbones(settings),
    ]


def _device(settings: Settings) -> Finding:
    try:
        device = pick_device(settings.device)
    except DeviceUnavailableError as error:
        return Finding(Verdict.FAIL, "device", f"{settings.device} cannot be used: {error}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{settings.threads} model threads"
    return Finding(Verdict.OK, "device", f"{device} ({name}), torch {torch.__version__}")


def _memory() -> Iterator[Finding]:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
    except (AttributeError, OSError, ValueError):  # Windows, macOS
        return
    enough = whole > _MEMORY_GIB
    advice = "" if enough else f"; a service with one model takes about {_MEMORY_GIB} GiB"
    yield Finding(
        Verdict.OK if enough else Verdict.WARN, "memory", f"{free:.1f} GiB of {whole:.1f} GiB are unused{advice}"
    )


def _port(settings: Settings) -> Finding:
    try:
        probe_address(settings)
    except OSError as error:
        return _who_listens(settings, error)
    return Finding(Verdict.OK, "port", f"{settings.host}:{settings.port} is free")


def _who_listens(settings: Settings, error: OSError) -> Finding:
    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    try:
        with Client(url) as client:
            model = client.ready()["model"]
    except (ClientError, KeyError):
        return Finding(Verdict.FAIL, "port", f"{url} cannot be listened on ({error.strerror}): set INKBLOT_PORT.")
    return Finding(Verdict.WARN, "port", f"an Inkblot answers at {url} already, with {model}")


def _places(settings: Settings) -> Iterator[Finding]:
    unusable = dict(unusable_places(settings))
    yield from (Finding(Verdict.FAIL, subject, sentence) for subject, sentence in unusable.items())
    if "data" not in unusable:
        folder = settings.data_dir.absolute()
        free = shutil.disk_usage(folder).free / _GIB
        verdict = Verdict.OK if free > 1 else Verdict.WARN
        yield Finding(verdict, "data", f"{folder} is writable, {free:.1f} GiB are free")
    for folder, reason in set_aside(settings.jobs_sqlite) if settings.jobs_sqlite else ():
        advice = "Its jobs' files are kept while it lies there: delete it when nothing of it is needed."
        yield Finding(Verdict.WARN, "jobs", f"{folder} is a damaged database of jobs. {reason} {advice}")


def _models(settings: Settings) -> Iterator[Finding]:
    repository = repository_for(settings)
    names = [card.name for card in repository.cards()]
    for folder in sorted(
        path.parent for top in (settings.models_dir, settings.trained_dir) for path in top.glob(_CARDS)
    ):
        try:
            repository.load(folder.name)
        except (LookupError, RuntimeError, ValueError, OSError) as error:
            yield Finding(Verdict.WARN, "model", f"{folder.name} is broken: {error}")
    if settings.default_model not in names:
        known = ", ".join(names) or "none"
        yield Finding(
            Verdict.FAIL,
            "model",
            f"the default model {settings.default_model!r} is not in {settings.models_dir} (there: {known}): "
            "set INKBLOT_DEFAULT_MODEL or INKBLOT_MODELS_DIR.",
        )
        return
    yield Finding(Verdict.OK, "models", ", ".join(names))
    yield asyncio.run(_speed(settings, repository))


async def _speed(settings: Settings, repository: ModelRepository) -> Finding:
    predictor = predictor_for(settings, repository)
    picture = BytesIO()
    Image.effect_mandelbrot((500, 375), (-2, -1.2, 1, 1.2), 64).save(picture, "JPEG")
    try:
        classifier = await predictor.load()
        times = []
        for _ in range(9):
            began = time.perf_counter()
            await predictor.classify(classifier, picture.getvalue())
            times.append((time.perf_counter() - began) * 1e3)
    except (LookupError, RuntimeError, ValueError, OSError) as error:
        return Finding(Verdict.FAIL, "default model", f"{settings.default_model} does not answer: {error}")
    finally:
        await asyncio.to_thread(predictor.close)
    choice = predictor.choice_of(classifier)
    assert choice, "it was prepared when it was loaded"
    middle = sorted(times)[len(times) // 2]
    evidence = "".join(f"; {one}" for one in choice.agreements)
    detail = f"{settings.default_model} by {choice.forward.name}: {middle:.0f} ms a picture{evidence}"
    return Finding(Verdict.OK, "default model", detail)


def _backbones(settings: Settings) -> Iterator[Finding]:
    present = [name for name, card in BACKBONES.items() if find_weights(card, settings.weights_folder)]
    missing = [name for name in BACKBONES if name not in present]
    yield Finding(Verdict.OK, "backbones", f"weights are present for {', '.join(present)}")
    if missing:
        how = f"`inkblot weights get NAME` brings further ones into {settings.weights_folder}: {', '.join(missing)}"
        yield Finding(Verdict.OK, "backbones", how)
