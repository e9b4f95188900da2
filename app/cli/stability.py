"""`inkblot stability`: how firmly the answer to a picture stands."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from app.cli.files import PICTURES, Overwrite, form_of, place_for, stem_of_picture
from app.cli.inspection import Picture, Target
from app.cli.terminal import AsJson, Lang, Model, Server, page, plain, print_json, problems_told, say, spoken
from app.cli.words import word
from app.client import DEFAULT_URL, Client, read_picture
from app.vision.drawing.numbers import percent
from app.vision.evaluation.page_words import CHANGE_NAMES


def add_to(app: typer.Typer) -> None:
    app.command()(stability)


def stability(
    picture: Picture,
    target: Target = None,
    changes: Annotated[
        list[str] | None, typer.Option("--change", help="Only this kind of change, such as jpeg; may be repeated.")
    ] = None,
    model: Model = None,
    lang: Lang = None,
    out: Annotated[
        Path | None, typer.Option(help="File ending in .png or .webp; default: named after the picture.")
    ] = None,
    overwrite: Overwrite = False,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show how the answer holds when the picture is changed: noise, blur, JPEG, rotation and so on."""
    language = spoken(lang)
    choices: dict[str, Any] = {"target": target, "changes": changes or None, "model": model, "lang": language}
    with problems_told(), Client(server) as client:
        data = read_picture(picture)
        found = client.stability(data, **choices)
        if as_json:
            print_json(found)
        else:
            _print(found, language)
        if out or not as_json:
            path = place_for(out, f"{stem_of_picture(picture)}-stability.png", PICTURES, overwrite=overwrite)
            path.write_bytes(client.stability_drawn(data, form=form_of(path), **choices))
            if not as_json:
                say(str(path), "bold")


def _print(found: dict[str, Any], language: str) -> None:
    """A row a change: what it is taken for at each strength, red where that is something else."""
    console = page()
    table = Table(box=None, pad_edge=False)
    for title in ("", *(str(one["severity"]) for one in found["changes"][0]["severities"])):
        table.add_column(title, overflow="fold")
    for change in found["changes"]:
        cells = [
            plain(
                f"{one['first']['display']} {percent(one['first']['score'], language)}", "" if one["holds"] else "red"
            )
            for one in change["severities"]
        ]
        table.add_row(plain(CHANGE_NAMES[change["name"]][language == "tr"]), *cells)
    first = f"{found['first']['display']} ({percent(found['first']['score'], language)})"
    held = percent(found["stable_share"], language)
    console.print(plain(word("stands", language, first=first, share=held), "bold"), soft_wrap=True)
    console.print(table)
