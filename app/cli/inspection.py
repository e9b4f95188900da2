"""`inkblot look` and `inkblot explain`: what is inside a network, as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from app.cli.files import PICTURES, Overwrite, form_of, place_for, stem_of_picture, write_drawing
from app.cli.terminal import AsJson, Lang, Model, Server, print_json, problems_told, say, spoken
from app.client import DEFAULT_URL, Client, read_picture
from app.vision.drawing.numbers import decimal

_ARRAY: Final = ".npy"
Picture = Annotated[str, typer.Argument(help="A file or an http(s) address.")]
Target = Annotated[str | None, typer.Option(help="The class that is asked about; default: the likeliest.")]


def add_to(app: typer.Typer) -> None:
    for command in (look, explain):
        app.command()(command)


def look(
    picture: Picture,
    layer: Annotated[str | None, typer.Option(help="Name of a layer; default: one for each stage.")] = None,
    channels: Annotated[
        str | None, typer.Option(help="top:16, strongest:16, 0,5,9 or 0-31; default: by contribution to the class.")
    ] = None,
    target: Target = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="The first channel over the photo, not a grid.")] = False,
    opacity: Annotated[
        float, typer.Option(help="Of --overlay: how strongly the colours cover it.", min=0, max=1)
    ] = 0.65,
    normalize: Annotated[Literal["channel", "layer"], typer.Option(help="What shares a colour scale.")] = "channel",
    colormap: Annotated[str, typer.Option(help="viridis, magma, inferno, plasma, cividis or grey.")] = "viridis",
    tile: Annotated[int, typer.Option(help="Width of a tile in pixels.", min=32, max=256)] = 112,
    model: Model = None,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="The picture, the first channel, and both together, with captions.")
    ] = False,
    lang: Lang = None,
    out: Annotated[
        Path | None, typer.Option(help="File ending in .png, .webp or .npy; default: named after the picture.")
    ] = None,
    overwrite: Overwrite = False,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show what a network's layers make of a picture."""
    language = spoken(lang)
    choices: dict[str, Any] = {"layer": layer, "channels": channels, "target": target, "model": model}
    choices["lang"] = language
    name = f"{stem_of_picture(picture)}-{layer or 'layers'}{'-sheet' if sheet else ''}.png"
    path = place_for(out, name, PICTURES if sheet else (*PICTURES, _ARRAY), overwrite=overwrite)
    drawn: dict[str, Any] = {"overlay": overlay, "caption": overlay, "opacity": opacity}
    drawn |= {"normalize": normalize, "colormap": colormap, "tile": tile}
    with problems_told(), Client(server) as client:
        data = read_picture(picture)
        if as_json:
            print_json(client.look(data, **choices))
        if as_json and not out:
            return
        if sheet:
            from app.cli.sheets import of_look  # Pillow and numpy, for those alone who want a sheet

            style = {"colormap": colormap, "opacity": opacity}
            write_drawing(path, of_look(client, data, Path(picture).name, choices, style))
        else:
            path.write_bytes(client.look_drawn(data, form=form_of(path), **choices, **drawn))
    if not as_json:
        say(str(path), "bold")


def explain(
    picture: Picture,
    target: Target = None,
    method: Annotated[
        Literal["grad_cam", "integrated_gradients", "occlusion", "neighbors"],
        typer.Option(help="How to find it out; neighbors are the most similar pictures that the model learned from."),
    ] = "grad_cam",
    layer: Annotated[str | None, typer.Option(help="Of grad_cam; default: the last one that is suggested.")] = None,
    view: Annotated[Literal["overlay", "heat_map"], typer.Option(help="With the photo or without.")] = "overlay",
    opacity: Annotated[float, typer.Option(help="How strongly the colours cover the photo.", min=0, max=1)] = 0.65,
    colormap: Annotated[str, typer.Option(help="viridis, magma, inferno, plasma, cividis or grey.")] = "inferno",
    caption: Annotated[bool, typer.Option(help="A strip below with a title and the colour scale.")] = True,
    model: Model = None,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="The picture, the heat map, and both together, with captions.")
    ] = False,
    lang: Lang = None,
    out: Annotated[
        Path | None, typer.Option(help="File ending in .png or .webp; default: named after the picture.")
    ] = None,
    overwrite: Overwrite = False,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show what the score of a class rests on."""
    choices = {"target": target, "method": method, "layer": layer, "model": model, "lang": spoken(lang)}
    name = f"{stem_of_picture(picture)}-{method}{'-sheet' if sheet else ''}.png"
    path = place_for(out, name, PICTURES, overwrite=overwrite)
    if method == "neighbors":
        _neighbors(server, picture, {"model": model, "lang": spoken(lang)}, path, as_json=as_json, draws=bool(out))
        return
    with problems_told(), Client(server) as client:
        data = read_picture(picture)
        if as_json:
            print_json(client.explain(data, **choices))
        if as_json and not out:
            return
        if sheet:
            from app.cli.sheets import of_explanation  # Pillow and numpy, for those alone who want a sheet

            style = {"colormap": colormap, "opacity": opacity}
            write_drawing(path, of_explanation(client, data, Path(picture).name, choices, style))
        else:
            drawn = {"view": view, "opacity": opacity, "colormap": colormap, "caption": caption}
            path.write_bytes(client.explain_drawn(data, form=form_of(path), **choices, **drawn))
    if not as_json:
        say(str(path), "bold")


def _neighbors(
    server: str, picture: str, choices: Mapping[str, Any], path: Path, *, as_json: bool, draws: bool
) -> None:
    """Because it looks like these, which the model learned from."""
    with problems_told(), Client(server) as client:
        data = read_picture(picture)
        found = client.neighbors(data, **choices)
        if as_json:
            print_json(found)
        if draws or not as_json:
            path.write_bytes(client.neighbors_drawn(data, form=form_of(path), **choices))
        names = {one["label"]: one["display"] for one in client.labels(found["model"]["name"], lang=choices["lang"])}
    if not as_json:
        for one in found["data"]:
            similarity = decimal(one["similarity"], 2, choices["lang"])
            say(f"{similarity}  {names.get(one['label'], one['label'])}  {one['name']}")
        say(str(path), "bold")
