"""`inkblot evaluate`: how good a model is, on pictures that it never saw."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from rich.console import Console
from rich.table import Table

from app.cli.files import Overwrite, place_for
from app.cli.jobs import Detach, done
from app.cli.terminal import AsJson, Lang, Server, page, plain, print_json, problems_told, say, spoken, tell
from app.cli.words import word
from app.client import DEFAULT_URL, Client
from app.client.archives import of_folder, zipped
from app.vision.drawing.numbers import percent
from app.vision.evaluation.page_words import CHANGE_NAMES

if TYPE_CHECKING:
    from app.vision.transfer.teaching import TrainedModel

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
        say(str(path), "bold")


def judge_here(
    model: str, taught: "TrainedModel", pictures: Path, language: str, path: Path, *, as_json: bool = False
) -> None:
    """The same in this process, without a service, for what was taught just now."""
    from app.jobs.kinds.evaluation import evaluation
    from app.settings import Settings, SettingsError
    from app.vision.ask import run_steps
    from app.vision.evaluation.folders import AmbiguousFolderError
    from app.vision.models.model_folder import write
    from app.vision.transfer.dataset import DatasetError, NotEnoughImagesError
    from app.wiring import repository_for, training_jobs_for

    try:
        with TemporaryDirectory() as folder:  # with the pictures that it learned from, which are to be recognised
            write(Path(folder) / model, taught.record, taught.files)
            settings = replace(Settings.from_environ(os.environ), models_dir=Path(folder))
            jobs = training_jobs_for(settings, repository_for(settings), threads=settings.threads)
            file = pictures.open("rb") if pictures.is_file() else zipped(of_folder(pictures))
            found = run_steps(evaluation(jobs, {"model": model, "lang": language}, file, None))
    except (AmbiguousFolderError, DatasetError, NotEnoughImagesError, SettingsError, LookupError) as error:
        tell(str(error))
        raise typer.Exit(1) from None
    path.write_bytes(found.files[found.result["files"]["report"]])
    if as_json:
        print_json(found.result)
    else:
        report(found.result, language)
        say(str(path), "bold")


def report(result: Mapping[str, Any], language: str) -> None:
    """The figures, and what to bear in mind, on the terminal."""
    console, model = page(), result["model"]
    if result["accuracy"] is None:
        console.print(plain(word("no_truth", language, model=model)), soft_wrap=True)
        for one in result["listed"]:
            said = f"  {one['name']}: {one['predicted']} ({percent(one['score'], language)})"
            console.print(plain(said), soft_wrap=True)
    else:
        low, high = (percent(end, language) for end in result["interval_95"])
        shares = {"accuracy": percent(result["accuracy"], language), "low": low, "high": high}
        found = word("evaluated", language, model=model, pictures=result["pictures"], **shares)
        console.print(plain(found, "bold"), soft_wrap=True)
        for one in result["understood"]:
            classes = _shortened(one["classes"], language)
            counted = word("counts_as", language, folder=one["folder"], classes=classes)
            console.print(plain(f"  {counted}"), soft_wrap=True)
        console.print(_classes(result["per_class"], language))
        off = word("off_by", language, error=percent(result["calibration"]["ece"], language))
        console.print(plain(f"  {off}"), soft_wrap=True)
        _tell_of_others(console, result, language)
    for one in result["warnings"]:
        console.print(plain(f"  ! {one['detail']}", "yellow"), soft_wrap=True)


def _tell_of_others(console: Console, result: Mapping[str, Any], language: str) -> None:
    if (unknown := result["unknown"]) and unknown["found"] is not None:
        found = percent(unknown["found"], language)
        said = [word("unknown_found", language, found=found, pictures=unknown["pictures"])]
        if unknown["false_alarms"] is not None:
            said.append(word("false_alarms", language, share=percent(unknown["false_alarms"], language)))
        console.print(plain(f"  {', '.join(said)}"), soft_wrap=True)
    if other := result["comparison"]:
        told = {name: other[name] for name in ("model", "only_first", "only_second")}
        accuracy, chance = percent(other["accuracy"], language), f"{other['mcnemar_p']:.3g}"
        if language == "tr":
            chance = chance.replace(".", ",")
        said_of = word("rival", language, first=result["model"], accuracy=accuracy, p=chance, **told)
        console.print(plain(f"  {said_of}"), soft_wrap=True)
    if result["corruptions"]:
        console.print(_changes(result["corruptions"], language))
    for one in result["worst"][:_WORST]:
        score = percent(one["score"], language)
        mistaken = word("taken_for", language, picture=one["name"], label=one["display"], score=score)
        console.print(plain(f"  {mistaken}"), soft_wrap=True)


def _shortened(names: Sequence[str], language: str) -> str:
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return word("and_more", language, names=shown, number=more) if more > 0 else shown


def _classes(per_class: Sequence[Mapping[str, Any]], language: str) -> Table:
    """The weakest folders, if there are many."""
    table = Table(box=None, pad_edge=False)
    table.add_column(word("folder", language), overflow="fold")
    for title in ("pictures", "recognised", "right_when_named"):
        table.add_column(word(title, language), justify="right")
    table.add_column("F1", justify="right")
    weakest = sorted(per_class, key=lambda one: one["f1"] or 0.0)[:_ROWS]
    for one in weakest if len(per_class) > _ROWS else per_class:
        shares = [one[name] for name in ("recall", "precision", "f1")]
        shown = ["–" if share is None else percent(share, language) for share in shares]
        table.add_row(plain(one["label"]), str(one["n"]), *shown)
    return table


def _changes(corruptions: Sequence[Mapping[str, Any]], language: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(word("kind_of_change", language))
    rows: dict[str, list[str]] = {}
    for one in corruptions:
        rows.setdefault(one["name"], []).append(percent(one["accuracy"], language))
    for severity in range(1, 1 + max(map(len, rows.values()))):
        table.add_column(str(severity), justify="right")
    for name, shares in rows.items():
        table.add_row(CHANGE_NAMES[name][language == "tr"], *shares)
    return table
