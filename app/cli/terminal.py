"""What all commands share: options, and how they speak on a terminal."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

Server = Annotated[str, typer.Option(help="Address of the service.", envvar="INKBLOT_URL", metavar="URL")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Lang = Annotated[Literal["en", "tr"] | None, typer.Option(help="Of names and words; default: as LANG says.")]


def tell(message: str) -> None:
    Console(stderr=True).print(plain(message, "red"), soft_wrap=True)


def plain(text: str, style: str = "") -> Text:
    """Never markup, and a name or an answer cannot send commands to the terminal."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text), style)


def print_json(value: object) -> None:
    every_letter = sys.stdout.encoding.lower().replace("-", "").startswith("utf")
    sys.stdout.write(json.dumps(value, ensure_ascii=not every_letter, indent=2) + "\n")


def language_of(environ: Mapping[str, str]) -> str:
    """As POSIX has it: the first of these that is not empty decides."""
    locale = next(filter(None, map(environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "tr" if locale.startswith("tr") else "en"
