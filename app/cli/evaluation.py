"""`inkblot evaluate`: how good a model is, on pictures that it never saw."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from rich.console import Console
from rich.table import Table

from app.cli.files import Overwrite, place_for
from app.cli.jobs import Detach, done
from app.cli.terminal import AsJson, Lang, Server, page, plain, problems_told, spoken
from app.cli.words import word
from app.client import DEFAULT_URL, Client
from app.vision.drawing.numbers import percent

_ROWS: Final = 40
_WORST: Final = 5
_SHOWN: Final = 6


def add_to(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of a model.")],
    pictures: Annotated[Path, typer.Argument(help="A folder with a folder for each class, or a zip, tar or tar.gz.")],
    compare: Annotated[str | None, typer.Option(help="A second model, asked about the same pictures.")] = None,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Also how it holds when the pictures are changed; takes minutes.")
    ] = False,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            help="Which classes count as right for a folder; may be repeated.",
            metavar="FOLDER=CLASS[,CLASS]",
        ),
    ] = None,
    lang: Lang = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the report, ending in .html; default: named after the model.")
    ] = None,
    overwrite: Overwrite = False,
    detach: Detach = False,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Find out how good a model is on pictures that it never saw, and write a report of it."""
    if not pictures.exists():
        raise typer.BadParameter(f"There is no folder or file {pictures}.")
    language = spoken(lang)
    path = place_for(out, f"{model}-report.html", (".html",), overwrite=overwrite)
    choices = {"compare": compare, "corruptions": corruptions, "labels": labels or None, "lang": language}
    with problems_told(), Client(server) as client:
        judge(client, model, pictures, choices, path, detach=detach, as_json=as_json)


def judge(
    client: Client,
    model: str,
    pictures: Path,
    choices: Mapping[str, Any],
    path: Path,
    *,
    detach: bool = False,
    as_json: bool = False,
) -> None:
    """Ask for an evaluation, tell what it found, and write its report."""
    job = client.evaluate(pictures, model=model, **choices)
    what = word("judging", choices["lang"], name=model)
    ended = done(client, job, what, choices["lang"], detach=detach, as_json=as_json)
    if ended is None:
        return
    result = cast("Mapping[str, Any]", ended["result"])
    path.write_bytes(client.file(result["files"]["report"]))
    if not as_json:
        report(result, choices["lang"])
        Console().print(plain(str(path), "bold"), soft_wrap=True)


def report(result: Mapping[str, Any], language: str) -> None:
    """The figures, and what to bear in mind, on the terminal."""
    console = page()
    model = result["model"]
    if result["accuracy"] is None:
        console.print(plain(f"{model}: no picture counts"), soft_wrap=True)
        for one in result["listed"]:
            said = f"  {one['name']}: {one['predicted']} ({percent(one['score'], language)})"
            console.print(plain(said), soft_wrap=True)
    else:
        low, high = (percent(end, language) for end in result["interval_95"])
        right = f"{percent(result['accuracy'], language)} right (95 % interval {low} to {high})"
        console.print(plain(f"{model}: {right}, of {result['pictures']} pictures", "bold"), soft_wrap=True)
        for one in result["understood"]:
            console.print(plain(f"  {one['folder']} counts as {_shortened(one['classes'])}"), soft_wrap=True)
        console.print(_classes(result["per_class"], language))
        error = percent(result["calibration"]["ece"], language)
        console.print(f"  its scores are off by {error} on average")
        _tell_of_others(console, result, language)
    for one in result["warnings"]:
        console.print(plain(f"  ! {one['detail']}", "yellow"), soft_wrap=True)


def _tell_of_others(console: Console, result: Mapping[str, Any], language: str) -> None:
    if (unknown := result["unknown"]) and unknown["found"] is not None:
        found = f"{percent(unknown['found'], language)} of {unknown['pictures']} pictures of none of the classes"
        alarms = "" if unknown["false_alarms"] is None else percent(unknown["false_alarms"], language)
        console.print(f"  unknown: found {found}" + (f", false alarms {alarms}" if alarms else ""), soft_wrap=True)
    if other := result["comparison"]:
        name, accuracy = other["model"], percent(other["accuracy"], language)
        alone = f"right alone: {result['model']} {other['only_first']}, {name} {other['only_second']}"
        chance = f"McNemar p = {other['mcnemar_p']:.3g}"
        console.print(plain(f"  {name}: {accuracy} right; {alone}; {chance}"), soft_wrap=True)
    if result["corruptions"]:
        console.print(_changes(result["corruptions"], language))
    for one in result["worst"][:_WORST]:
        said = f"  {one['name']} was taken for {one['display']} ({percent(one['score'], language)})"
        console.print(plain(said), soft_wrap=True)


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _classes(per_class: Sequence[Mapping[str, Any]], language: str) -> Table:
    """The weakest folders, if there are many."""
    table = Table(box=None, pad_edge=False)
    table.add_column("folder", overflow="fold")
    for title in ("pictures", "recognised", "right when\nnamed", "F1"):
        table.add_column(title, justify="right")
    weakest = sorted(per_class, key=lambda one: one["f1"] or 0.0)[:_ROWS]
    for one in weakest if len(per_class) > _ROWS else per_class:
        shares = [one[name] for name in ("recall", "precision", "f1")]
        shown = ["–" if share is None else percent(share, language) for share in shares]
        table.add_row(plain(one["label"]), str(one["n"]), *shown)
    return table


def _changes(corruptions: Sequence[Mapping[str, Any]], language: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("change")
    rows: dict[str, list[str]] = {}
    for one in corruptions:
        rows.setdefault(one["name"], []).append(percent(one["accuracy"], language))
    for severity in range(1, 1 + max(map(len, rows.values()))):
        table.add_column(str(severity), justify="right")
    for name, shares in rows.items():
        table.add_row(name.replace("_", " "), *shares)
    return table
