"""`inkblot ideal --lesson cat,dog,zebra`: what the lesson's exercise makes, on one sheet, and the film of it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any, Final

import numpy as np
import typer
from PIL import Image, ImageSequence

from app.cli.jobs import done
from app.cli.words import word
from app.client import Client, ClientError, Job, Label
from app.vision.drawing.gallery import draw_gallery
from app.vision.drawing.numbers import percent

PRESETS: Final = {"raw": "how_raw", "lesson": "how_lesson", "fine": "how_fine"}
"""In what words each is told."""
_STRETCHED: Final = ("raw", "lesson")
"""Whose contrast is low, since nothing asks for more."""
_CUT: Final = (1, 99)
"""Percentiles of the levels that become black and white."""
_TILE: Final = 240
_GAP: Final = 4
_FRAME_MS: Final = 80
_LAST_MS: Final = 2500

Levels = tuple[float, float]


def classes_of(client: Client, model: str, names: Sequence[str], language: str) -> list[Label]:
    """For each name the class that is called so, or the most typical of this kind. Raises `typer.BadParameter`."""
    found = []
    for name in names:
        labels = client.labels(model, search=name, lang=language)
        if not labels:
            raise typer.BadParameter(word("no_class", language, name=name))
        found.append(labels[0])
    return found


def drawn(
    client: Client, model: str, classes: Sequence[Label], choices: Mapping[str, Any], language: str
) -> list[list[Job]]:
    """A row for each preset, with a picture of each class, all of one seed. Ctrl-C and a refusal cancel all."""
    jobs: list[Job] = []
    try:
        for preset in PRESETS:
            jobs.extend(
                client.draw(model=model, objective={"label": one["label"]}, preset=preset, **choices) for one in classes
            )
        names = [f"{preset}, {one['display']}" for preset in PRESETS for one in classes]
        ended = [_ended(client, job, name, language) for job, name in zip(jobs, names, strict=True)]
    except (typer.Exit, ClientError):
        for job in jobs:
            with suppress(ClientError):
                client.cancel(job["id"])
        raise
    return [ended[start : start + len(classes)] for start in range(0, len(ended), len(classes))]


def _ended(client: Client, job: Job, name: str, language: str) -> Job:
    ended = done(client, job, word("drawing", language, name=name), language, detach=False, as_json=False)
    assert ended
    return ended


def sheet_of(client: Client, rows: Sequence[Sequence[Job]], classes: Sequence[Label], language: str) -> Image.Image:
    """Over each other what becomes of the same noise; contrast that was stretched for display is told."""
    shown = []
    for preset, row in zip(PRESETS, rows, strict=True):
        pictures = [Image.open(BytesIO(client.drawn(job))).convert("RGB") for job in row]
        texts = [_lines(preset, job, one["display"], language) for job, one in zip(row, classes, strict=True)]
        shown.append(
            [(_stretched(one, _levels(preset, one)), lines) for one, lines in zip(pictures, texts, strict=True)]
        )
    return draw_gallery(shown, width=_TILE)


def _lines(preset: str, job: Job, name: str, language: str) -> list[str]:
    result = job["result"] or {}
    agreeing, judges = sum(check["agrees"] for check in result["checks"]), len(result["checks"])
    sure = word("reached", language, score=percent(result["png_score"], language))
    lines = [f"{name} · {preset}", word(PRESETS[preset], language), sure]
    lines += [word("judges", language, agreeing=agreeing, judges=judges)] if judges else []
    return [*lines, word("stretched", language)] if preset in _STRETCHED else lines


def film_of(client: Client, rows: Sequence[Sequence[Job]]) -> bytes:
    """All pictures beside each other as they become what the sheet shows, as WebP."""
    films = [[_frames(client, preset, job) for job in row] for preset, row in zip(PRESETS, rows, strict=True)]
    number = max(len(film) for row in films for film in row)
    frames = [_together([[film[min(at, len(film) - 1)] for film in row] for row in films]) for at in range(number)]
    file = BytesIO()
    durations = [_FRAME_MS] * (number - 1) + [_LAST_MS]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], duration=durations, quality=70, method=2)
    return file.getvalue()


def _frames(client: Client, preset: str, job: Job) -> list[Image.Image]:
    files: Mapping[str, str] = (job["result"] or {})["files"]
    with Image.open(BytesIO(client.file(files["animation"]))) as animation:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(animation)]
    levels = _levels(preset, frames[-1])
    return [_stretched(frame, levels) for frame in frames]


def _together(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    step = rows[0][0].width + _GAP
    whole = Image.new("RGB", (len(rows[0]) * step - _GAP, len(rows) * step - _GAP), "white")
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            whole.paste(picture, (across * step, down * step))
    return whole


def _levels(preset: str, picture: Image.Image) -> Levels:
    """Which levels of the final picture are shown as black and white."""
    if preset not in _STRETCHED:
        return 0, 255
    low, high = np.percentile(np.asarray(picture), _CUT)
    return float(low), max(float(high), float(low) + 1)


def _stretched(picture: Image.Image, levels: Levels) -> Image.Image:
    low, high = levels
    return picture.point([min(255, max(0, round((level - low) / (high - low) * 255))) for level in range(256)] * 3)
