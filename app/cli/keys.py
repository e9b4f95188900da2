"""`inkblot keys`: who may use a service that is not for everybody."""

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from app import audit
from app.cli.terminal import AsJson, plain, print_json, tell
from app.client import DEFAULT_URL
from app.keys import (
    KEY_NAME,
    SCOPES,
    Key,
    KeyFileError,
    Scope,
    changing_keys,
    long_secret,
    read_keys,
    short_secret,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_CLASS: Final[tuple[Scope, ...]] = ("predict", "jobs", "teach")
_ENV: Final = "INKBLOT_API_KEYS"
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Inkblot</title><style>
body {{ font: 12pt/1.5 sans-serif; margin: 0; }}
section {{ border: 1px dashed #888; break-inside: avoid; padding: 1rem 1.5rem; }}
main {{ display: grid; grid-template-columns: 1fr 1fr; }}
b {{ font: bold 15pt monospace; }} code {{ font-size: 9pt; overflow-wrap: anywhere; }}
</style></head><body><main>
{cards}
</main></body></html>
"""

KeyFile = Annotated[
    Path | None, typer.Option("--file", help=f"The file of the keys; default: what {_ENV} names.", metavar="FILE")
]
app = typer.Typer(no_args_is_help=True)


def add_to(parent: typer.Typer) -> None:
    parent.add_typer(app, name="keys", help="Make, list and remove the keys of a service that is not for everybody.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose it is: small letters, digits, - and _.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do, once or more: {', '.join(SCOPES)} (all).")],
    file: KeyFile = None,
) -> None:
    """Make a key, and show it this once: only its hash is kept. A service that runs knows it at once."""
    with _changing(file) as keys:
        secret = _new(keys, name, _scopes(scope), long_secret())
    Console(stderr=True).print(plain(f"The key of {name}, which is shown this once:"), soft_wrap=True)
    print(secret)  # noqa: T201 -- alone on standard output, for a pipe


@app.command("list")
def list_keys(file: KeyFile = None, as_json: AsJson = False) -> None:
    """List the keys; their secrets are known to nobody but who has them."""
    try:
        keys = read_keys(_path(file))
    except KeyFileError as error:
        tell(str(error))
        raise typer.Exit(1) from None
    told = [{name: value for name, value in key.record().items() if name != "sha256"} for key in keys]
    if as_json:
        print_json(told)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "scopes", "made"):
        table.add_column(title, overflow="fold")
    for one in told:
        table.add_row(plain(one["name"]), plain(", ".join(one["scopes"])), plain(one["created_at"]))
    Console().print(table)


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(help="Of keys, as `inkblot keys list` lists them.")],
    file: KeyFile = None,
) -> None:
    """Let keys be none any more, at once. What was made with them stays, for admins and for a new key of the name."""
    with _changing(file) as keys:
        if unknown := [name for name in names if name not in keys]:
            raise KeyFileError(f"There is no key of the name {unknown[0]}.")
        for name in names:
            del keys[name]


@app.command("class")
def make_class(
    number: Annotated[int, typer.Argument(help="How many.", min=1, max=500)],
    prefix: Annotated[str, typer.Option(help="What the names begin with.")] = "student",
    url: Annotated[str, typer.Option(help="Where the class finds the service.", envvar="INKBLOT_URL")] = DEFAULT_URL,
    html: Annotated[Path | None, typer.Option(help="Write them as a page to be printed and cut up.")] = None,
    file: KeyFile = None,
) -> None:
    """Make short keys for a class, with links that open the page with them; they may predict, draw and teach.

    Each is 80 random bits; they are shown this once. Names that are taken are left out.
    """
    with _changing(file) as keys:
        names = _free_names(prefix, number, keys)
        secrets = [(name, _new(keys, name, _CLASS, short_secret())) for name in names]
    links = [(name, secret, f"{url.rstrip('/')}/#key={secret}") for name, secret in secrets]
    if html:
        cards = (f"<section>{name}<br><b>{secret}</b><br><code>{link}</code></section>" for name, secret, link in links)
        html.touch(0o600)  # secrets are for nobody else
        html.write_text(_PAGE.format(cards="\n".join(cards)), encoding="utf-8")
        Console(stderr=True).print(plain(f"{number} keys are in {html}."), soft_wrap=True)
        return
    for name, secret, link in links:
        print(f"{name}\t{secret}\t{link}")  # noqa: T201 -- alone on standard output, for a printer


def _free_names(prefix: str, number: int, taken: "MutableMapping[str, Key]") -> list[str]:
    found: list[str] = []
    place = 1
    while len(found) < number:
        name = f"{prefix}-{place:02}"
        if name not in taken:
            found.append(name)
        place += 1
    return found


def _new(keys: "MutableMapping[str, Key]", name: str, scopes: Sequence[Scope], secret: str) -> str:
    """Raises `KeyFileError`."""
    if not KEY_NAME.fullmatch(name):
        raise KeyFileError(f"A key cannot be called {name!r}: small letters, digits, - and _, 64 at most.")
    if name in keys:
        raise KeyFileError(f"There is a key of the name {name} already; `inkblot keys remove {name}` takes it away.")
    keys[name] = Key.made(name, secret, scopes)
    return secret


def _scopes(texts: Sequence[str]) -> list[Scope]:
    names = [name.strip() for text in texts for name in text.replace("|", ",").split(",")]
    if unknown := [name for name in names if name not in SCOPES]:
        raise KeyFileError(f"There is no scope {unknown[0]!r}: {', '.join(SCOPES)}.")
    return [scope for scope in SCOPES if scope in names]


def _path(file: Path | None) -> Path:
    if file or os.environ.get(_ENV):
        return file or Path(os.environ[_ENV])
    tell(f"Which file is to have the keys? Set {_ENV}, as the service has it, or give --file.")
    raise typer.Exit(2)


@contextmanager
def _changing(file: Path | None) -> "Iterator[dict[str, Key]]":
    from app.logs import log_audit

    log_audit()
    path = _path(file)
    try:
        with changing_keys(path) as keys:
            before = set(keys)
            yield keys
    except KeyFileError as error:
        tell(str(error))
        raise typer.Exit(1) from None
    except OSError as error:
        tell(f"{path} cannot be written ({error.strerror}).")
        raise typer.Exit(1) from None
    for name in keys.keys() - before:
        audit.tell("add-key", _who(), key=name, scopes=keys[name].record()["scopes"])
    for name in before - keys.keys():
        audit.tell("remove-key", _who(), key=name)


def _who() -> str:
    """Of this machine; in a container a number may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
