"""`inkblot ideal` and `fool`: pictures that a network makes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from app.cli.files import PICTURES, Overwrite, beside, place_for, stem_of, write_drawing, write_picture
from app.cli.jobs import Detach, done, named_after
from app.cli.terminal import AsJson, Lang, Model, Server, page, plain, problems_told, say, spoken, tell
from app.cli.words import Names, taken_for, word
from app.client import DEFAULT_URL, Client, Job, read_picture
from app.vision.drawing.numbers import decimal, number, percent

Out = Annotated[
    Path | None, typer.Option(help="File ending in .png or .webp (lossless); default: named after target and seed.")
]
Seed = Annotated[int | None, typer.Option(help="The same seed makes the same picture.", min=0)]
Steps = Annotated[int | None, typer.Option(help="How many; default: as the method or preset has it.", min=1)]


def add_to(app: typer.Typer) -> None:
    for command in (ideal, fool):
        app.command()(command)


def ideal(
    label: Annotated[str | None, typer.Argument(help="What to draw: a class of the model, such as zebra.")] = None,
    layer: Annotated[str | None, typer.Option(help="Instead of a class: the channel of a layer.")] = None,
    channel: Annotated[int | None, typer.Option(help="Which channel of the layer.", min=0)] = None,
    preset: Annotated[str, typer.Option(help="clear, fine, quick, lesson or raw.")] = "clear",
    partners: Annotated[
        list[str] | None, typer.Option("--with", help="A further network that shall see it, too; may be repeated.")
    ] = None,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=64, max=512)] = 224,
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
    if (label is None) == (layer is None) or (layer is None) != (channel is None):
        raise typer.BadParameter("Name a class, or a --layer and its --channel.")
    objective: Mapping[str, Any] = {"label": label} if label else {"layer": layer, "channel": channel}
    choices = {"objective": objective, "preset": preset, "size": size, "steps": steps, "seed": seed}
    choices |= _models(model, partners)
    path = place_for(out, "", PICTURES, overwrite=overwrite) if out else None
    language = spoken(lang)
    what = word("drawing", language, name=label or f"{layer} {channel}")
    with problems_told(), Client(server) as client:
        job = done(client, client.draw(**choices), what, language, detach=detach, as_json=as_json)
        if job and job["result"]:
            path = path or place_for(None, f"{named_after(job)}.png", PICTURES, overwrite=overwrite)
            write_picture(path, client.file(job["result"]["files"]["final"]))
            names = _names(client, job, language)
            if not as_json:
                _report_ideal(job, path, names, language)
            _fail_unless_successful(job, _missed_ideal(job, names, language))


def fool(
    picture: Annotated[str, typer.Argument(help="A file or an http(s) address.")],
    target: Annotated[
        str | None, typer.Option("--as", help="What it shall be taken for; default: anything else.")
    ] = None,
    method: Annotated[str, typer.Option(help="robust, minimal, pgd, fgsm, lesson or patch.")] = "robust",
    partners: Annotated[
        list[str] | None, typer.Option("--with", help="A further network that shall be fooled, too; may be repeated.")
    ] = None,
    survive: Annotated[
        list[str] | None,
        typer.Option(help="After what it shall still fool: file (default), messenger, edit; may be repeated."),
    ] = None,
    patch: Annotated[
        str | None, typer.Option(help="For the method patch: which share of the picture it covers; default: 0.1.")
    ] = None,
    epsilon: Annotated[str | None, typer.Option(help="Largest change, such as 4/255; default: the method's.")] = None,
    space: Annotated[
        Literal["original", "model"],
        typer.Option(help="Change the picture, or the small canvas that the network sees."),
    ] = "original",
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Also a sheet with captions: the picture, the change, what it became.")
    ] = False,
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
    """Change a picture invisibly until the network takes it for something else."""
    choices: dict[str, Any] = {"target": target, "method": method, "epsilon": epsilon, "space": space}
    choices |= {"patch": patch, "steps": steps, "seed": seed, "survive": survive or None, **_models(model, partners)}
    path = place_for(out, "", PICTURES, overwrite=overwrite) if out else None
    language, name = spoken(lang), Path(picture).name
    with problems_told(), Client(server) as client:
        job = client.fool(read_picture(picture), **choices)
        what = word("fooling", language, name=name)
        ended = done(client, job, what, language, detach=detach, as_json=as_json)
        if ended and ended["result"]:
            stem = stem_of(f"{Path(picture).stem}-{target or 'fooled'}")
            usual = f"{stem}-seed{ended['input']['seed']}.png"
            path = path or place_for(None, usual, PICTURES, overwrite=overwrite)
            write_picture(path, client.file(ended["result"]["files"]["adversarial"]))
            names = _names(client, ended, language)
            if not as_json:
                _report_fooled(ended["result"], path, names, language)
            if ended["result"].get("patch"):
                place = beside(path.with_suffix(".png"), "patch", overwrite=overwrite)
                write_picture(place, client.file(ended["result"]["files"]["patch"]))
                if not as_json:
                    told = ended["result"]["patch"]
                    say(f"  {word('patch', language, path=place, fooled=told['fooled'], places=told['places'])}")
            if sheet:
                from app.cli.sheets import of_fooled  # Pillow and numpy, for those alone who want a sheet

                place = beside(path, "sheet", overwrite=overwrite)
                write_drawing(place, of_fooled(client, ended, name, names, language))
                if not as_json:
                    say(f"  {place}")
            _fail_unless_successful(ended, None if language == "en" else word("not_fooled", language))


def _models(model: str | None, partners: list[str] | None) -> dict[str, Any]:
    if partners and not model:
        raise typer.BadParameter("--with needs the --model that comes first.")
    return {"models": [model, *partners]} if partners else {"model": model}


def _names(client: Client, job: Job, language: str) -> Names:
    """The display names of the classes, where the labels are of another language."""
    if language == "en":
        return {}
    model = job["input"].get("model") or job["input"]["models"][0]
    return {one["label"]: one["display"] for one in client.labels(model, lang=language)}


def _report_ideal(job: Job, path: Path, names: Names, language: str) -> None:
    result, console = job["result"] or {}, page()
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


def _missed_ideal(job: Job, names: Names, language: str) -> str | None:
    if language == "en":
        return None
    if "layer" in job["input"]["objective"]:
        return word("channel_not_reached", language)
    label = (job["result"] or {})["label"]
    return word("drawn_otherwise", language, label=names.get(label, label))


def _report_fooled(result: Mapping[str, Any], path: Path, names: Names, language: str) -> None:
    before, after = (taken_for(result[one], language, names) for one in ("before", "after"))
    change, console = result["perturbation"], page()
    console.print(Text.assemble((str(path), "bold"), f": {before} → {after}"), soft_wrap=True)
    l2, ssim = (decimal(change[name], places, language) for name, places in (("l2", 2), ("ssim", 3)))
    console.print(plain(f"  {word('changed', language, linf=change['linf'], l2=l2, ssim=ssim)}"), soft_wrap=True)
    for one in result["models"][1:]:
        told = word("sees", language, model=one["model"], seen=taken_for(one, language, names))
        console.print(plain(f"  {told}"), soft_wrap=True)
    held = ", ".join(word(name, language) for name, holds in result["verified"].items() if holds)
    console.print(plain(f"  {word('still', language, ways=held or word('nothing', language))}"), soft_wrap=True)
    if lost := ", ".join(word(name, language) for name, holds in result["verified"].items() if not holds):
        console.print(plain(f"  {word('no_longer', language, ways=lost)}"), soft_wrap=True)


def _fail_unless_successful(job: Job, otherwise: str | None) -> None:
    """The service's hint is in English; `otherwise` is what to say instead."""
    result = job["result"] or {}
    if not result["success"]:
        tell(otherwise or result["hint"])
        raise typer.Exit(1)
