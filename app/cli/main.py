"""The command line, `inkblot serve | classify | look | explain | ideal | fool | teach` and so on.

torch is imported by those commands alone that need it.
"""

import os
import sys
from contextlib import suppress
from dataclasses import replace
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from app import __version__
from app.cli import (
    catalogue,
    classification,
    evaluation,
    ideal_images,
    inspection,
    jobs,
    keys,
    stability,
    synthesis,
    teaching,
    weights,
)
from app.cli.terminal import AsJson, Lang, Server, plain, print_json, say, spoken, tell
from app.cli.words import word
from app.client import DEFAULT_URL, Client, ClientError

app = typer.Typer(
    name="inkblot",
    help="See what an image classifier sees.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    from app.process.collection import nothing_collected

    with nothing_collected():
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
    from app.process.collection import nothing_collected

    with nothing_collected():
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
def version(server: Server = DEFAULT_URL, lang: Lang = None) -> None:
    """Show the version of this command, and what the service at hand is, if there is one."""
    sys.stdout.write(f"inkblot {__version__}\n")
    with suppress(ClientError), Client(server) as client:
        ready = client.ready()
        say(word("service", spoken(lang), url=server, **ready))


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


classification.add_to(app)
catalogue.add_to(app)
inspection.add_to(app)
stability.add_to(app)
evaluation.add_to(app)
ideal_images.add_to(app)
synthesis.add_to(app)
jobs.add_to(app)
keys.add_to(app)
teaching.add_to(app)
weights.add_to(app)
