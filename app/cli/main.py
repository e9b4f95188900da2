"""The command line, `inkblot serve | classify | look | explain | ideal | fool | teach` and so on.

torch is imported by those commands alone that need it.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app import __version__
from app.cli import catalogue, inspection, jobs, keys, teaching, weights
from app.cli.terminal import AsJson, Lang, Server, language_of, plain, print_json, tell
from app.cli.words import word
from app.client import (
    DEFAULT_URL,
    Client,
    ClientError,
    NoServerError,
    Prediction,
    ProblemError,
    read_all,
    read_picture,
)
from app.vision.drawing.numbers import percent

app = typer.Typer(
    name="inkblot",
    help="See what an image classifier sees.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_BAR: Final = 20
_PAGE: Final = 1000
"""Columns where no terminal says how many there are: a file or a pipe gets long names unbroken."""


def main() -> None:
    # Before torch is loaded: its threads spin while they wait for each other, and beside a busy process on the same
    # cores that made an attack of a second take minutes. Asleep they take half the CPU time even alone.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a display that lacks a letter shows all the others
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"inkblot {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None: ...


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; INKBLOT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; INKBLOT_PORT.", min=0, max=65535)] = None,
) -> None:
    """Serve the API until Ctrl-C or SIGTERM. All settings are INKBLOT_* variables of the environment."""
    from app import main as service
    from app.process.places import CannotServeError
    from app.settings import Settings, SettingsError

    given: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        service.serve(replace(Settings.from_environ(os.environ), **given))
    except (SettingsError, CannotServeError) as error:
        tell(str(error))
        raise typer.Exit(2) from None


@app.command()
def worker(
    child: Annotated[bool, typer.Option("--child", hidden=True, help="End with standard input.")] = False,
) -> None:
    """Do the slow work of services that run with INKBLOT_WORKER=external, until Ctrl-C or SIGTERM."""
    from app.process.places import CannotServeError
    from app.process.worker import work
    from app.settings import Settings, SettingsError
    from app.vision.serving.predictor import DeviceUnavailableError

    try:
        work(Settings.from_environ(os.environ), is_child=child)
    except (SettingsError, CannotServeError, DeviceUnavailableError) as error:
        tell(str(error))
        raise typer.Exit(2) from None


@app.command()
def classify(
    pictures: Annotated[list[str], typer.Argument(help="Files, http(s) addresses, or - for standard input.")],
    model: Annotated[str | None, typer.Option(help="Name of a model; default: the service's.")] = None,
    top_k: Annotated[int, typer.Option(help="How many classes.", min=1, max=1000)] = 5,
    min_score: Annotated[float, typer.Option(help="Leave out less likely classes.", min=0, max=1)] = 0.0,
    lang: Lang = None,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say what is in pictures."""
    language = lang or language_of(os.environ)
    choices = {"model": model, "top_k": top_k, "min_score": min_score, "lang": language}
    with Console(stderr=True).status("Looking …"):  # nothing unless a terminal shows it
        answers = list(_ask(server, pictures, choices))
    if as_json:
        objects = [answer.json() for answer in answers]
        print_json(objects if len(objects) > 1 else objects[0])
    elif any(answer.prediction for answer in answers):
        _print_table(answers, language)
    failed = [answer for answer in answers if answer.error]
    for message in dict.fromkeys(map(_Answer.sentence, failed)):  # a service that is gone is missed once
        tell(message)
    raise typer.Exit(1 if failed else 0)


@dataclass(frozen=True)
class _Answer:
    """A prediction or an error for one picture."""

    source: str
    prediction: Prediction | None = None
    error: ClientError | None = None

    def json(self) -> Mapping[str, Any]:
        if isinstance(self.error, ProblemError):
            return self.error.problem
        if self.error:
            return {"type": "about:blank", "title": "Not sent", "detail": str(self.error)}
        assert self.prediction
        return self.prediction

    def sentence(self) -> str:
        return f"{self.source}: {self.error}" if isinstance(self.error, ProblemError) else str(self.error)


def _ask(server: str, pictures: Sequence[str], choices: Mapping[str, Any]) -> Iterator[_Answer]:
    """One answer for each picture; without a service the rest is not tried."""
    waiting = list(pictures)
    try:
        with Client(server) as client:
            while waiting:
                yield _classify(client, waiting[0], choices)
                waiting.pop(0)
    except NoServerError as error:
        for picture in waiting:
            yield _Answer(picture, error=error)


def _classify(client: Client, source: str, choices: Mapping[str, Any]) -> _Answer:
    try:
        data = read_all(sys.stdin.buffer, "Standard input") if source == "-" else read_picture(source)
        return _Answer(source, client.classify(data, **choices))
    except NoServerError:
        raise
    except ClientError as error:
        return _Answer(source, error=error)


def _print_table(answers: Sequence[_Answer], language: str) -> None:
    console = Console(width=None if sys.stdout.isatty() else _PAGE)
    stroke = "-" if console.options.ascii_only else "━"
    table = Table(box=None, pad_edge=False)
    table.add_column(word("picture", language), overflow="fold")
    table.add_column(word("class", language), overflow="fold")
    table.add_column(word("score", language), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for answer in answers:
        if answer.prediction is None:
            continue
        name = plain(answer.source if "://" in answer.source else Path(answer.source).name, "bold")
        for text, score, style in _lines(answer.prediction, language):
            shown, bar = ("", "") if score is None else (percent(score, language), stroke * round(score * _BAR))
            table.add_row(name, plain(text, style), Text(shown, style), Text(bar, style or "cyan"))
            name = Text()
    console.print(table)


def _lines(prediction: Prediction, language: str) -> Iterator[tuple[str, float | None, str]]:
    """Text, score and style of each line of a picture: that it is unknown comes first, and makes the rest faint."""
    unknown = prediction["unknown"]
    is_unknown = unknown is not None and unknown["is_unknown"]
    if unknown and is_unknown:
        yield word("unknown", language), unknown["score"], "yellow"
    for one in prediction["predictions"]:
        yield one["display"], one["score"], "dim" if is_unknown else ""
    if not prediction["predictions"]:
        yield word("too_unlikely", language), None, "dim"


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check that this machine can serve: settings, models, weights, the device and its speed."""
    from app.cli.doctor import Verdict, examine

    findings = examine(os.environ)
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        colours = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}
        console = Console()
        for finding in findings:
            mark = Text(f"{finding.verdict:>4} ", style=colours[finding.verdict])
            console.print(mark + Text(f"{finding.subject}: ", style="bold") + plain(finding.detail), soft_wrap=True)
    raise typer.Exit(1 if any(finding.verdict is Verdict.FAIL for finding in findings) else 0)


catalogue.add_to(app)
inspection.add_to(app)
jobs.add_to(app)
keys.add_to(app)
teaching.add_to(app)
weights.add_to(app)
