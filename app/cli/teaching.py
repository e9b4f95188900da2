"""`inkblot teach` and `export`: a model of one's own pictures, and a bundle to take away."""

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, Literal, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.evaluation import judge, judge_here
from app.cli.files import Overwrite, place_for, refuse_existing
from app.cli.jobs import Detach, done
from app.cli.terminal import (
    AsJson,
    Lang,
    ModelName,
    Server,
    page,
    plain,
    print_json,
    problems_told,
    say,
    spoken,
    tell,
)
from app.cli.words import layout_read, warned, word
from app.client import DEFAULT_URL, Client
from app.client.archives import of_folder, zipped
from app.vision.drawing.numbers import decimal, percent

if TYPE_CHECKING:
    from app.vision.transfer.teaching import TrainedModel

_BAR: Final = 16
_WORST: Final = 5
_ROWS: Final = 40
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_OWN: Final = ("description", "licence", "source")
"""What a person wrote into the card of a model that ships."""


def add_to(app: typer.Typer) -> None:
    for command in (teach, export):
        app.command()(command)


def teach(
    pictures: Annotated[Path, typer.Argument(help="A folder with a folder for each class, or a zip, tar or tar.gz.")],
    name: Annotated[str, typer.Option(help="Of the new model: small letters, digits, - and _.")],
    backbone: Annotated[str, typer.Option(help="What to transfer from.")] = "efficientnet_lite0",
    mode: Annotated[
        Literal["linear_probe", "fine_tune"], typer.Option(help="linear_probe takes seconds, fine_tune minutes.")
    ] = "linear_probe",
    epochs: Annotated[int, typer.Option(help="Of fine_tune.", min=1, max=100)] = 5,
    val_fraction: Annotated[float, typer.Option(help="Share of pictures that judge.", min=0.05, max=0.5)] = 0.2,
    augment: Annotated[bool, typer.Option("--augment", help="Learn from the mirrored pictures, too.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed makes the same head.", min=0)] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Make the next version of a model that is there.")] = False,
    strangers: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of pictures of no class, to measure `unknown`; may be repeated.", metavar="[NAME=]FOLDER"
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="A labels.json with names of the classes for people.")] = None,
    test: Annotated[
        Path | None, typer.Option(help="Pictures to judge the new model by, laid out alike; a report is written.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Teach in this process, without a service, and write the model's folder there.")
    ] = None,
    detach: Detach = False,
    lang: Lang = None,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Teach a pretrained network the classes of your own pictures."""
    if into and not _NAME.fullmatch(name):
        raise typer.BadParameter("A name has small letters, digits, - and _, at most 64 of them.")
    if test:
        _check_test(test, detach=detach)
    if into:
        refuse_existing(into / name, overwrite=replace, option="--replace")
    language = spoken(lang)
    plan = {"mode": mode, "epochs": epochs, "val_fraction": val_fraction, "augment": augment, "seed": seed}
    with problems_told(), _archive(pictures, strangers or [], labels) as archive:
        if into:
            result, taught = _taught_here(archive, into / name, backbone, plan)
        else:
            with Client(server) as client:
                job = client.teach(archive, name=name, backbone=backbone, replace=replace, **plan)
                what = word("teaching", language, name=name)
                ended = done(client, job, what, language, detach=detach, as_json=as_json and not test)
                if ended is None:
                    return
                result = cast("Mapping[str, Any]", ended["result"])
    if not as_json:
        _report(name, result, language)
    elif into and not test:
        print_json(result)
    if test:
        report = place_for(None, f"{name}-report.html", (".html",), overwrite=False)
        with problems_told():
            if into:
                judge_here(name, taught, test, language, report, as_json=as_json)
            else:
                with Client(server) as client:
                    judge(client, name, test, {"lang": language}, report, as_json=as_json)


def _check_test(test: Path, *, detach: bool) -> None:
    if not test.exists():
        raise typer.BadParameter(f"There is no folder or file {test}.")
    if detach:
        raise typer.BadParameter("--test judges what was taught, and so waits for it: leave out --detach.")


def export(
    model: ModelName,
    out: Annotated[Path | None, typer.Option(help="File for the zip; default: named after the model.")] = None,
    overwrite: Overwrite = False,
    here: Annotated[bool, typer.Option("--here", help="Make it in this process, without a service.")] = False,
    lang: Lang = None,
    server: Server = DEFAULT_URL,
) -> None:
    """Save a model as a zip that works without Inkblot: a head, ONNX, and a script that proves both."""
    path = place_for(out, f"{model}.zip", (".zip",), overwrite=overwrite)
    with problems_told():
        if here:
            _export_here(model, path)
        else:
            with Client(server) as client, Console(stderr=True).status(word("bundle", spoken(lang))):
                path.write_bytes(client.export(model))
    say(str(path))


@contextmanager
def _archive(pictures: Path, strangers: Sequence[str], labels: Path | None) -> Iterator[BinaryIO]:
    """One zip of all, in a file that is gone afterwards. An archive that was given is taken as it is."""
    from app.vision.transfer.members import is_archive

    if pictures.is_file():
        if not is_archive(pictures) or strangers or labels:
            raise typer.BadParameter(f"{pictures} is no folder; a zip, tar or tar.gz is taken alone, as it is.")
        with pictures.open("rb") as file:
            yield file
        return
    if not pictures.is_dir():
        raise typer.BadParameter(f"There is no folder {pictures}.")
    groups = [text.rpartition("=")[::2] for text in strangers]
    if missing := [folder for _, folder in groups if not Path(folder).is_dir()]:
        raise typer.BadParameter(f"There is no folder {missing[0]}.")
    if labels and not labels.is_file():
        raise typer.BadParameter(f"There is no file {labels}.")
    files = list(of_folder(pictures))
    for group, folder in groups:
        under = f"_strangers/{group or Path(folder).resolve().name}"
        files += [(f"{under}/{name}", path) for name, path in of_folder(Path(folder))]
    if labels:
        files.append(("labels.json", labels))
    with closing(zipped(files)) as file:
        yield file


def _taught_here(
    archive: BinaryIO, folder: Path, backbone: str, plan: Mapping[str, Any]
) -> "tuple[Mapping[str, Any], TrainedModel]":
    """Written as a model that ships: what a person wrote into its card is kept, its pictures are not."""
    from app.settings import SettingsError
    from app.vision.models.model_folder import CARD, EXAMPLES, write
    from app.vision.networks.weights import WeightsError
    from app.vision.transfer.dataset import DatasetError, NotEnoughImagesError

    try:
        taught = _train(archive, backbone, plan)
    except (DatasetError, NotEnoughImagesError, SettingsError, WeightsError, LookupError) as error:
        tell(str(error))
        raise typer.Exit(1) from None
    card = folder / CARD
    own = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    record = {**taught.record, **{name: own[name] for name in _OWN if name in own}}
    write(folder, record, {name: data for name, data in taught.files.items() if name != EXAMPLES})
    result = {
        "layout": record["training"]["layout"],
        "metrics": record["metrics"],
        "worst": [vars(one) | {"picture": one.name, "thumbnail": None} for one in taught.worst],
        "warnings": [vars(one) for one in taught.warnings],
        "seconds": record["training"]["seconds"],
    }
    return result, taught


def _train(archive: BinaryIO, backbone: str, plan: Mapping[str, Any]) -> "TrainedModel":
    from app.settings import Settings
    from app.vision.ask import run_steps
    from app.vision.transfer.archive import Archive
    from app.vision.transfer.teaching import Plan, teach
    from app.wiring import repository_for, training_jobs_for

    settings = Settings.from_environ(os.environ)
    context = training_jobs_for(settings, repository_for(settings), threads=settings.threads).context(backbone)
    with Archive(archive, settings.dataset_limits) as pictures:
        return run_steps(teach(pictures, Plan(**plan), context))


def _export_here(model: str, path: Path) -> None:
    """Ends with errno's ENOSPC where the disk is full, so that a service that asked for it can tell."""
    from app.jobs.files import is_full
    from app.settings import Settings, SettingsError
    from app.vision.export.bundle import export as write
    from app.vision.models.model_folder import CARD
    from app.vision.models.repository import UnknownModelError
    from app.wiring import repository_for

    try:
        models = repository_for(Settings.from_environ(os.environ))
        classifier = models.load(model)
    except (SettingsError, UnknownModelError) as error:
        tell(str(error))
        raise typer.Exit(1) from None
    card = models.file(model, CARD)
    told = json.loads(card.read_text(encoding="utf-8")) if card and card.is_file() else vars(classifier.card)
    try:
        with path.open("wb") as file:
            write(classifier, told, file)
    except OSError as error:
        tell(f"{path} cannot be written: {error.strerror}.")
        raise typer.Exit(errno.ENOSPC if is_full(error) else 1) from None


def _report(name: str, result: Mapping[str, Any], language: str) -> None:
    metrics, console = result["metrics"], page()
    console.print(Text.assemble((name, "bold"), _how_good(metrics, language)), soft_wrap=True)
    told = [layout_read(result["layout"], language), _baseline(metrics, language)]
    error = {when: percent(share, language) for when, share in metrics["calibration_error"].items()}
    told.append(word("calibrated", language, **error))
    for line in told:
        console.print(plain(f"  {line}"), soft_wrap=True)
    console.print(_classes(metrics["per_class"], language))
    for one in result["worst"][:_WORST]:
        score = percent(one["score"], language)
        line = word("taken_for", language, picture=one["picture"], label=one["predicted"], score=score)
        console.print(plain(f"  {line}"), soft_wrap=True)
    for group, found in metrics["unknown"]["strangers"].items():
        shares = {"found": percent(found["found"], language), "auroc": decimal(found["auroc"], 3, language)}
        console.print(plain(f"  {word('strangers', language, group=group, **shares)}"), soft_wrap=True)
    for one in result["warnings"]:
        console.print(plain(f"  ! {warned(one, language)}", "yellow"), soft_wrap=True)
    seconds = {name: decimal(result["seconds"][name], 1, language) for name in ("features", "fit")}
    console.print(plain(f"  {word('seconds', language, **seconds)}"), soft_wrap=True)


def _how_good(metrics: Mapping[str, Any], language: str) -> str:
    method = metrics["validation"]["method"]
    low, high = (percent(share, language) for share in metrics["accuracy_interval"])
    by = "by_test_set" if method == "test-set" else "by_others"
    return word(
        "taught",
        language,
        accuracy=percent(metrics["accuracy"], language),
        low=low,
        high=high,
        pictures=metrics["pictures_judged"],
        by=word(by, language, method=word(method, language)),
    )


def _baseline(metrics: Mapping[str, Any], language: str) -> str:
    line = word("baseline", language, baseline=percent(metrics["baseline_accuracy"], language))
    zero_shot = metrics["zero_shot_accuracy"]
    without = "" if zero_shot is None else word("zero_shot", language, share=percent(zero_shot, language))
    return line + without


def _classes(per_class: Sequence[Mapping[str, Any]], language: str) -> Table:
    """The weakest classes, if there are many."""
    table = Table(box=None, pad_edge=False)
    table.add_column(word("class", language), overflow="fold")
    for title in ("pictures", "recognised", "right_when_named"):
        table.add_column(word(title, language), justify="right")
    table.add_column("", no_wrap=True)
    weakest = sorted(per_class, key=lambda one: one["recall"] or 0.0)[:_ROWS]
    for one in weakest if len(per_class) > _ROWS else per_class:
        shares = ["–" if one[share] is None else percent(one[share], language) for share in ("recall", "precision")]
        bar = "━" * round((one["recall"] or 0) * _BAR)
        table.add_row(plain(one["label"]), str(one["pictures"]), *shares, plain(bar, "cyan"))
    return table
