"""Captioned sheets, to print and to hand out: a picture, what was found in it or changed, and both together."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.cli.words import Names, taken_for, word
from app.client import Client, Job
from app.vision.drawing.captions import caption
from app.vision.drawing.colormaps import Colormap, coloured
from app.vision.drawing.gallery import Shown, draw_gallery
from app.vision.drawing.numbers import percent, signed
from app.vision.image import ImageLimits, Picture

_WIDTH: Final = 400
_GREY: Final = "#6f6f78"


def of_explanation(
    client: Client, data: bytes, name: str, choices: Mapping[str, Any], style: Mapping[str, Any]
) -> Image.Image:
    """The picture, the heat map alone, and over the picture, where its hottest part is said in words."""
    language = choices["lang"]
    told = client.explain(data, **choices)
    heat, over = (
        _opened(client.explain_drawn(data, view=view, caption=False, **choices, **style))
        for view in ("heat_map", "overlay")
    )
    scale = f"{caption('scale', language)}: {caption('none', language)} → {caption('most', language)}"
    method = caption(told["method"], language)
    where = word("hottest", language, place=told["focus_text"])
    return _sheet(
        (_photo(data), (name, told["model"]["name"])),
        (heat, (f"{method}  ·  {told['layer']}" if told["layer"] else method, scale)),
        (
            over,
            (_target(told, language), where, *_unseen(told, language)),
        ),
    )


def of_look(
    client: Client, data: bytes, name: str, choices: Mapping[str, Any], style: Mapping[str, Any]
) -> Image.Image:
    """The picture, the first of the channels as it is, neuron by neuron, and over the picture."""
    language = choices["lang"]
    found = client.look(data, **choices)
    told = found["data"][-1] if "data" in found else found
    first = told["channels"][0]
    one = {**choices, "layer": told["layer"], "channels": str(first["channel"])}
    array = np.load(BytesIO(client.look_drawn(data, form="npy", **one)))[0]
    over = _opened(client.look_drawn(data, overlay=True, caption=False, **one, **style))
    photo, where = _photo(data), word("channel_of", language, channel=first["channel"], layer=told["layer"])
    contribution = word("contribution", language, value=signed(first["contribution"], language))
    return _sheet(
        (photo, (name, told["model"]["name"])),
        (_map(array, photo.size, told["image"]["seen"], style["colormap"]), (where, contribution)),
        (over, (_target(told, language), *_unseen(told, language))),
    )


def of_fooled(client: Client, job: Job, name: str, names: Names, language: str) -> Image.Image:
    """The picture, the change, so much amplified that it can be seen, and what the picture became."""
    result = job["result"] or {}
    original, change, adversarial = (
        _opened(client.file(result["files"][role])) for role in ("original", "perturbation", "adversarial")
    )
    amount = result["perturbation"]
    held = [word(way, language) for way, holds in result["verified"].items() if holds]
    still, ways = word("still", language, ways=""), ", ".join(held) or word("nothing", language)
    return _sheet(
        (original, (taken_for(result["before"], language, names), name)),
        (change, (word("change", language, times=amount["amplified"]), word("at_most", language, linf=amount["linf"]))),
        (adversarial, (taken_for(result["after"], language, names), still.strip(), ways)),
    )


def _sheet(*shown: Shown) -> Image.Image:
    """Beside each other, each as a whole."""
    photo = shown[0][0]
    return draw_gallery([shown], width=_WIDTH, height=max(1, round(_WIDTH * photo.height / photo.width)))


def _unseen(told: Mapping[str, Any], language: str) -> tuple[str, ...]:
    """What the hatching means, where there is some."""
    seen = told["image"]["seen"]
    return () if min(seen["width"], seen["height"]) >= 1 else (caption("unseen", language),)


def _opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def _photo(data: bytes) -> Image.Image:
    """Upright, as the service reads it."""
    return Picture.read(data, ImageLimits()).image


def _map(
    values: NDArray[np.float32], size: tuple[int, int], seen: Mapping[str, float], colormap: Colormap
) -> Image.Image:
    """From its lowest to its highest value, where the network saw something; grey elsewhere."""
    low, high = float(values.min()), float(values.max())
    levels = np.rint((values - low) / ((high - low) or 1) * 255).astype(np.uint8)
    left, top = round(seen["x"] * size[0]), round(seen["y"] * size[1])
    room = max(1, round(seen["width"] * size[0])), max(1, round(seen["height"] * size[1]))
    drawn = Image.new("RGB", size, _GREY)
    drawn.paste(coloured(Image.fromarray(levels).resize(room, Image.Resampling.NEAREST), colormap), (left, top))
    return drawn


def _target(told: Mapping[str, Any], language: str) -> str:
    """The class that was asked about; of a picture that is unknown that it is, first."""
    score = percent(told["target"]["score"], language)
    line = caption("where", language, label=told["target"]["display"], score=score)
    unknown = told["unknown"]
    if not unknown or not unknown["is_unknown"]:
        return line
    return f"{caption('unknown', language, score=percent(unknown['score'], language))}  ·  {line}"
