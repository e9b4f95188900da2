"""`inkblot ideal`: what a network looks for."""

from collections.abc import Mapping
from pathlib import Path
from secrets import randbits
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from app.cli.files import PICTURES, Overwrite, beside, place_for, places_for, stem_of, write_drawing, write_picture
from app.cli.jobs import Detach, done, named_after
from app.cli.synthesis import Out, Seed, Steps, fail_unless_successful, models_of, names_of
from app.cli.terminal import AsJson, Lang, Model, Server, page, plain, print_json, problems_told, say, spoken
from app.cli.words import Names, taken_for, word
from app.client import DEFAULT_URL, Client, Job
from app.vision.drawing.numbers import decimal, number, percent

_LESSON: Final = 6
"""Classes, three pictures each: more than ten are more jobs than the service takes of one client."""


def add_to(app: typer.Typer) -> None:
    app.command()(ideal)


def ideal(
    label: Annotated[str | None, typer.Argument(help="What to draw: a class of the model, such as zebra.")] = None,
    layer: Annotated[str | None, typer.Option(help="Instead of a class: the channel of a layer.")] = None,
    channel: Annotated[int | None, typer.Option(help="Which channel of the layer.", min=0)] = None,
    preset: Annotated[str, typer.Option(help="clear, fine, quick, lesson or raw.")] = "clear",
    partners: Annotated[
        list[str] | None, typer.Option("--with", help="A further network that shall see it, too; may be repeated.")
    ] = None,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=64, max=1024)] = 224,
    count: Annotated[
        int, typer.Option(help="Facets: so many pictures that differ, and a sheet of them.", min=1, max=9)
    ] = 1,
    diversity: Annotated[float, typer.Option(help="How much the facets are kept from being alike.", min=0, max=10)] = 1,
    lesson: Annotated[
        str | None,
        typer.Option(help="Instead of a class: cat,dog,zebra, each as raw, lesson and fine, as one sheet and a film."),
    ] = None,
    model: Model = None,
    steps: Steps = None,
    seed: Seed = None,
    out: Out = None,
    overwrite: Overwrite = False,
    detach: Detach = False,
    lang: Lang = None,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Let the network draw what it looks for."""
    if lesson:
        if label or layer or count > 1 or partners or preset != "clear" or detach:
            raise typer.BadParameter("--lesson has classes and presets of its own, and is waited for.")
        each = {"steps": steps, "seed": randbits(32) if seed is None else seed, "size": size}
        _draw_lesson(lesson, model, each, out, server, spoken(lang), overwrite=overwrite, as_json=as_json)
        return
    if (label is None) == (layer is None) or (layer is None) != (channel is None):
        raise typer.BadParameter("Name a class, or a --layer and its --channel.")
    objective: Mapping[str, Any] = {"label": label} if label else {"layer": layer, "channel": channel}
    choices = {"objective": objective, "preset": preset, "size": size, "steps": steps, "seed": seed}
    choices |= {"count": count, "diversity": diversity} if count > 1 else {}
    choices |= models_of(model, partners)
    path = place_for(out, "", PICTURES, overwrite=overwrite) if out else None
    language = spoken(lang)
    what = word("drawing", language, name=label or f"{layer} {channel}")
    with problems_told(), Client(server) as client:
        job = done(client, client.draw(**choices), what, language, detach=detach, as_json=as_json)
        if job and job["result"]:
            path = path or place_for(None, f"{named_after(job)}.png", PICTURES, overwrite=overwrite)
            write_picture(path, client.drawn(job))
            names = names_of(client, job, language)
            if not as_json:
                _report(job, path, names, language)
            for number, facet in enumerate(job["result"]["facets"] or [], 1):
                place = beside(path, str(number), overwrite=overwrite)
                write_picture(place, client.file(facet["href"]))
                if not as_json:
                    _report_facet(facet, place, language)
            fail_unless_successful(job, _missed(job, names, language))


def _draw_lesson(
    names: str,
    model: str | None,
    choices: Mapping[str, Any],
    out: Path | None,
    server: str,
    language: str,
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    # Pillow and numpy, for those alone who want a sheet
    from app.cli.lesson import classes_of, drawn, film_of, sheet_of

    path = place_for(out, "", PICTURES, overwrite=overwrite) if out else None
    with problems_told(), Client(server) as client:
        model = model or client.ready()["model"]
        asked = [name.strip() for name in names.split(",") if name.strip()]
        if not 1 <= len(asked) <= _LESSON:
            raise typer.BadParameter(f"--lesson takes one to {_LESSON} names, such as cat,dog,zebra.")
        classes = classes_of(client, model, asked, language)
        rows = drawn(client, model, classes, choices, language)
        if path:
            places = [path, beside(path.with_suffix(".webp"), "film", overwrite=overwrite)]
        else:
            places = places_for(f"{stem_of(names)}-seed{choices['seed']}", [".png", "-film.webp"], overwrite=overwrite)
        write_drawing(places[0], sheet_of(client, rows, classes, language))
        places[1].write_bytes(film_of(client, rows))
    if as_json:
        print_json([job for row in rows for job in row])
    else:
        for place in places:
            say(str(place), "bold")


def _report(job: Job, path: Path, names: Names, language: str) -> None:
    result, console = job["result"] or {}, page()
    if result["facets"]:
        console.print(Text(str(path), "bold"), soft_wrap=True)
        return
    if "label" in job["input"]["objective"]:
        reached = word("reached", language, score=percent(result["png_score"], language))
    else:
        reached = word("channel_at", language, value=number(result["png_score"], language))
    console.print(Text.assemble((str(path), "bold"), f": {reached}"), soft_wrap=True)
    for check in result["checks"]:
        model = check["model"]
        who = word("took_part", language, model=model) if check["took_part"] else model
        told = word(
            "agrees" if check["agrees"] else "sees", language, model=who, seen=taken_for(check, language, names)
        )
        console.print(plain(f"  {told}"), soft_wrap=True)


def _report_facet(facet: Mapping[str, Any], path: Path, language: str) -> None:
    checks = facet["checks"]
    told = word(
        "facet",
        language,
        score=number(facet["png_score"], language) if not checks else percent(facet["png_score"], language),
        agreeing=sum(check["agrees"] for check in checks),
        judges=len(checks),
        similarity=decimal(facet["similarity"], 2, language),
    )
    page().print(plain(f"  {path}: {told}"), soft_wrap=True)


def _missed(job: Job, names: Names, language: str) -> str | None:
    if language == "en":
        return None
    if "layer" in job["input"]["objective"]:
        return word("channel_not_reached", language)
    result = job["result"] or {}
    label = next((one["label"] for one in result["facets"] or [] if not one["success"]), result["label"])
    return word("drawn_otherwise", language, label=names.get(label, label))
