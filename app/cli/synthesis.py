"""`inkblot fool`, and what it has in common with `ideal`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from app.cli.files import PICTURES, Overwrite, beside, place_for, stem_of, write_drawing, write_picture
from app.cli.jobs import Detach, done
from app.cli.terminal import AsJson, Lang, Model, Server, page, plain, problems_told, say, spoken, tell
from app.cli.words import Names, taken_for, word
from app.client import DEFAULT_URL, Client, Job, read_picture
from app.vision.drawing.numbers import decimal

Out = Annotated[
    Path | None, typer.Option(help="File ending in .png or .webp (lossless); default: named after target and seed.")
]
Seed = Annotated[int | None, typer.Option(help="The same seed makes the same picture.", min=0)]
Steps = Annotated[int | None, typer.Option(help="How many; default: as the method or preset has it.", min=1)]


def add_to(app: typer.Typer) -> None:
    app.command()(fool)


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
    place: Annotated[
        Literal["anywhere", "center", "top-left", "top-right", "bottom-left", "bottom-right"] | None,
        typer.Option(help="For the method patch: where it shall fool; default: anywhere."),
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
    choices |= {"patch": patch, "place": place, "steps": steps, "seed": seed, "survive": survive or None}
    choices |= models_of(model, partners)
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
            names = names_of(client, ended, language)
            if not as_json:
                _report_fooled(ended["result"], path, names, language)
            if ended["result"].get("patch"):
                beside_it = beside(path.with_suffix(".png"), "patch", overwrite=overwrite)
                write_picture(beside_it, client.file(ended["result"]["files"]["patch"]))
                if not as_json:
                    told = ended["result"]["patch"]
                    say(f"  {word('patch', language, path=beside_it, fooled=told['fooled'], places=told['places'])}")
            if sheet:
                from app.cli.sheets import of_fooled  # Pillow and numpy, for those alone who want a sheet

                beside_it = beside(path, "sheet", overwrite=overwrite)
                write_drawing(beside_it, of_fooled(client, ended, name, names, language))
                if not as_json:
                    say(f"  {beside_it}")
            fail_unless_successful(ended, None if language == "en" else word("not_fooled", language))


def models_of(model: str | None, partners: Sequence[str] | None) -> dict[str, Any]:
    """As the service takes them. Raises `BadParameter`."""
    if partners and not model:
        raise typer.BadParameter("--with needs the --model that comes first.")
    return {"models": [model, *partners]} if partners else {"model": model}


def names_of(client: Client, job: Job, language: str) -> Names:
    """The display names of the classes, where the labels are of another language."""
    if language == "en":
        return {}
    model = job["input"].get("model") or job["input"]["models"][0]
    return {one["label"]: one["display"] for one in client.labels(model, lang=language)}


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


def fail_unless_successful(job: Job, otherwise: str | None) -> None:
    """The service's hint is in English; `otherwise` is what to say instead."""
    result = job["result"] or {}
    if not result["success"]:
        tell(otherwise or result["hint"])
        raise typer.Exit(1)
