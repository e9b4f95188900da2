"""What all commands share: options, and how they speak on a terminal."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.text import Text

from app.cli.completion import model_names
from app.client import ClientError

PAGE: Final = 1000
"""Columns where no terminal says how many there are: a file or a pipe gets long names unbroken."""

Server = Annotated[str, typer.Option(help="Address of the service.", envvar="INKBLOT_URL", metavar="URL")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Lang = Annotated[Literal["en", "tr"] | None, typer.Option(help="Of names and words; default: as LANG says.")]
Model = Annotated[str | None, typer.Option(help="Name of a model; default: the service's.", autocompletion=model_names)]
ModelName = Annotated[
    str, typer.Argument(help="Name of a model, as `inkblot models` has it.", autocompletion=model_names)
]


def tell(message: str) -> None:
    Console(stderr=True).print(plain(message, "red"), soft_wrap=True)


def say(message: str, style: str = "") -> None:
    Console().print(plain(message, style), soft_wrap=True)


def page() -> Console:
    """Standard output, as wide as the terminal is."""
    return Console(width=None if sys.stdout.isatty() else PAGE)


@contextmanager
def problems_told() -> Iterator[None]:
    """What the service refuses and the disk does not take is a sentence, and ends the command with 1."""
    try:
        yield
    except ClientError as error:
        tell(str(error))
        raise typer.Exit(1) from None
    except OSError as error:
        tell(f"{error.filename} cannot be written: {error.strerror}.")
        raise typer.Exit(1) from None


def plain(text: str, style: str = "") -> Text:
    """Never markup, and a name or an answer cannot send commands to the terminal."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text), style)


def print_json(value: object) -> None:
    every_letter = sys.stdout.encoding.lower().replace("-", "").startswith("utf")
    sys.stdout.write(json.dumps(value, ensure_ascii=not every_letter, indent=2) + "\n")


def spoken(lang: str | None) -> str:
    """The language that a command was asked to speak, or else that of its environment."""
    return lang or language_of(os.environ)


def language_of(environ: Mapping[str, str]) -> str:
    """As POSIX has it: the first of these that is not empty decides."""
    locale = next(filter(None, map(environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "tr" if locale.startswith("tr") else "en"
