"""The command line: `inkblot serve | classify | doctor`. torch is imported by those alone that need it."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from app import __version__
from app.client import DEFAULT_URL, Client, ClientError, ProblemError, read_picture

app = typer.Typer(
    name="inkblot",
    help="See what an image classifier sees.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_BAR: Final = 20
Server = Annotated[str, typer.Option(help="Address of the service.", envvar="INKBLOT_URL", metavar="URL")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def main() -> None:
    app()


def _fail(message: str, status: int = 1) -> NoReturn:
    Console(stderr=True).print(escape(message), style="red", soft_wrap=True)
    raise typer.Exit(status)


def _show_version(wanted: bool) -> None:
    if wanted:
        Console().print(f"inkblot {__version__}", highlight=False)
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
    from dataclasses import replace

    from app import main as service
    from app.settings import Settings, SettingsError

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        settings = replace(Settings.from_environ(os.environ), **given)  # type: ignore[arg-type]
        service.serve(settings)
    except (SettingsError, service.CannotServeError) as error:
        _fail(str(error), 2)


@app.command()
def classify(
    pictures: Annotated[list[str], typer.Argument(help="Files, http(s) addresses, or - for standard input.")],
    model: Annotated[str | None, typer.Option(help="Name of a model; default: the service's.")] = None,
    top_k: Annotated[int, typer.Option(help="How many classes.", min=1, max=1000)] = 5,
    min_score: Annotated[float, typer.Option(help="Leave out less likely classes.", min=0, max=1)] = 0.0,
    lang: Annotated[str | None, typer.Option(help="en or tr; default: as LANG says.")] = None,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say what is in pictures."""
    language = lang or ("tr" if os.environ.get("LC_ALL", os.environ.get("LANG", "")).startswith("tr") else "en")
    answers: list[dict[str, Any]] = []
    failed = []
    with Client(server) as client:
        for source in pictures:
            try:
                data = sys.stdin.buffer.read() if source == "-" else read_picture(source)
                answers.append(client.classify(data, model=model, top_k=top_k, min_score=min_score, lang=language))
            except ProblemError as error:
                answers.append(error.problem)
                failed.append(f"{source}: {error}")
            except ClientError as error:
                answers.append({"title": "Not sent", "detail": str(error)})
                failed.append(str(error))
    if as_json:
        sys.stdout.write(json.dumps(answers if len(answers) > 1 else answers[0], ensure_ascii=False, indent=2) + "\n")
    elif len(failed) < len(answers):
        Console().print(_table(pictures, answers))
    for message in failed:
        Console(stderr=True).print(escape(message), style="red", soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


def _table(pictures: list[str], answers: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("picture", overflow="fold")
    table.add_column("class")
    table.add_column("score", justify="right")
    table.add_column("")
    for picture, answer in zip(pictures, answers, strict=True):
        name = Text(picture if "://" in picture else Path(picture).name, style="bold")
        for place, one in enumerate(answer.get("predictions", [])):
            bar = "━" * round(one["score"] * _BAR)
            table.add_row(
                name if place == 0 else "", Text(one["display"]), f"{one['score']:.1%}", Text(bar, style="cyan")
            )
    return table


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check that this machine can serve: settings, models, weights, the device and its speed."""
    from app.doctor import Verdict, examine

    findings = examine(os.environ)
    if as_json:
        sys.stdout.write(json.dumps([vars(finding) for finding in findings], ensure_ascii=False, indent=2) + "\n")
    else:
        colours = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}
        console = Console()
        for finding in findings:
            mark = Text(f"{finding.verdict:>4} ", style=colours[finding.verdict])
            console.print(mark + Text(f"{finding.subject}: ", style="bold") + Text(finding.detail), soft_wrap=True)
    raise typer.Exit(1 if any(finding.verdict is Verdict.FAIL for finding in findings) else 0)
