"""`inkblot models`, `labels`, `layers` and `rm`: what there is, and what is no longer wanted."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.cli.terminal import PAGE, AsJson, Lang, ModelName, Server, plain, print_json, problems_told, spoken
from app.cli.words import word
from app.client import DEFAULT_URL, Client
from app.vision.drawing.numbers import percent


def add_to(app: typer.Typer) -> None:
    for command in (models, labels, layers, rm):
        app.command()(command)


def models(lang: Lang = None, server: Server = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List the models that can be asked; the one with a star answers where none is named."""
    language = spoken(lang)
    with problems_told(), Client(server) as client:
        found = client.models(lang=language)
    if as_json:
        print_json(found)
        return
    rows = []
    for model in found:
        accuracy = model["metrics"].get("accuracy")
        shown = percent(accuracy, language) if isinstance(accuracy, float) else ""
        star = "*" if model["is_default"] else ""
        rows.append((star, model["name"], str(model["num_classes"]), shown, model["backbone"], model["description"]))
    _print(("", "model", "classes", "right", "backbone", "what_it_is"), rows, language)


def labels(
    model: ModelName,
    search: Annotated[str, typer.Argument(help="Part of a name, or a kind: cat finds all cats.")] = "",
    lang: Lang = None,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List the classes of a model, or those that are called so or are kinds of it."""
    language = spoken(lang)
    with problems_told(), Client(server) as client:
        found = client.labels(model, search=search or None, lang=language)
    if as_json:
        print_json(found)
        return
    rows = [(str(one["index"]), one["label"], one["display"]) for one in found]
    _print(("index", "label", "name"), rows, language)


def layers(model: ModelName, lang: Lang = None, server: Server = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List the layers of a model; those with a star show most."""
    with problems_told(), Client(server) as client:
        found = client.layers(model)
    if as_json:
        print_json(found)
        return
    shapes = [" × ".join(map(str, one["shape"])) for one in found]
    rows = [
        ("*" if one["suggested"] else "", one["name"], shape, str(one["stage"] + 1))
        for one, shape in zip(found, shapes, strict=True)
    ]
    _print(("", "layer", "shape", "stage"), rows, spoken(lang))


def rm(
    names: Annotated[list[str], typer.Argument(help="Jobs (job_…) and models that were taught.")],
    server: Server = DEFAULT_URL,
) -> None:
    """Delete jobs with their files, or models that were taught; models that ship stay."""
    with problems_told(), Client(server) as client:
        for name in names:
            if name.startswith("job_"):
                client.delete_job(name)
            else:
                client.delete_model(name)


def _print(titles: Sequence[str], rows: Iterable[Sequence[str]], language: str) -> None:
    """Names and descriptions are never broken, so that they can be copied, and cut by other programs."""
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(word(title, language) if title else "", no_wrap=True)
    for row in rows:
        table.add_row(*map(plain, row))
    Console(width=PAGE).print(table, soft_wrap=True)
