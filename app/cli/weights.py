"""`inkblot weights`: which networks have their weights here, and the publisher's files of the others."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.cli.terminal import AsJson, Lang, page, plain, print_json, say, spoken, tell
from app.cli.words import word
from app.vision.drawing.numbers import decimal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.client.downloads import Watch
    from app.settings import Settings

app = typer.Typer(invoke_without_command=True)


def add_to(parent: typer.Typer) -> None:
    parent.add_typer(app, name="weights", help="List the networks and their weights, or get those of more of them.")


@app.callback()
def weights(context: typer.Context, lang: Lang = None, as_json: AsJson = False) -> None:
    if context.invoked_subcommand:
        return
    from app.vision.networks.backbones import BACKBONES, find_weights

    folder = _settings().weights_folder
    found = {name: find_weights(card, folder) for name, card in BACKBONES.items()}
    if as_json:
        print_json([{"backbone": name, "file": str(path) if path else None} for name, path in found.items()])
        return
    language = spoken(lang)
    table = Table(box=None, pad_edge=False)
    for title in ("network", "weights", "licence"):
        table.add_column(word(title, language), overflow="fold")
    for name, path in found.items():
        how = _how(path, language) if path else word("missing_weights", language, name=name)
        table.add_row(name, plain(how, "" if path else "yellow"), BACKBONES[name].weights[0].licence)
    page().print(table)
    say(word("looked_for", language, folder=folder))


def _how(path: Path, language: str) -> str:
    return f"{path.name} ({decimal(path.stat().st_size / 1e6, 0, language)} MB)"


@app.command()
def get(
    names: Annotated[list[str], typer.Argument(help="Of networks, as `inkblot weights` lists them.")],
    into: Annotated[Path | None, typer.Option(help="Folder; default: the one where the service looks.")] = None,
    lang: Lang = None,
) -> None:
    """Download weights from their publisher, and check them; a download that broke off goes on.

    A service that looks there uses them at once. INKBLOT_WEIGHTS_URL names a mirror.
    """
    from app.client.downloads import DownloadError, download
    from app.vision.networks.backbones import BACKBONES, UnknownBackboneError, find_weights
    from app.vision.networks.weights import MissingWeightsError, published_file

    settings = _settings()
    folder = into or settings.weights_folder
    if unknown := [UnknownBackboneError(name) for name in names if name not in BACKBONES]:
        tell(f"{unknown[0]} There are {', '.join(BACKBONES)}.")
        raise typer.Exit(1)
    try:
        for name in names:
            if path := find_weights(BACKBONES[name], folder):
                say(word("has_weights", spoken(lang), name=name, path=path))
                continue
            file = published_file(name, BACKBONES[name].weights)
            path = folder / file.name
            with _bar(file.name) as watch:
                download(file.address(settings.weights_url), path, sha256=file.digits, watch=watch)
            say(f"{path} ({file.licence}, {file.source})")
    except (DownloadError, MissingWeightsError) as error:
        tell(str(error))
        raise typer.Exit(1) from None


def _settings() -> "Settings":
    from app.settings import Settings, SettingsError

    try:
        return Settings.from_environ(os.environ)
    except SettingsError as error:
        tell(str(error))
        raise typer.Exit(2) from None


@contextmanager
def _bar(name: str) -> "Iterator[Watch]":
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
