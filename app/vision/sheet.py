"""Feature maps as a picture: tiles of single neurons, big enough to be seen, with labels and a printed scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from PIL import Image, ImageDraw

from app.vision.captions import caption
from app.vision.colormaps import Colormap
from app.vision.feature_maps import FeatureMaps, brightness
from app.vision.lettering import FAINT, INK, PAPER, fitted, font, number, palette

if TYPE_CHECKING:
    from torch import Tensor

    from app.vision.image import Canvas

Normalize = Literal["channel", "layer"]
_MARGIN: Final = 20
_GAP: Final = 8
_PHOTO: Final = 96
_COLUMNS: Final = 8
_NARROWEST: Final = 560
_HEADING: Final = 30
_LABEL: Final = 18
_SCALE: Final = 150


@dataclass(frozen=True)
class Look:
    """`channel` stretches each tile over all colours, `layer` lets brightness compare between tiles."""

    normalize: Normalize = "channel"
    colormap: Colormap = "viridis"
    tile: int = 112
    language: str = "en"


def draw_sheet(canvas: "Canvas", title: str, subtitle: str, sections: Sequence[FeatureMaps], look: Look) -> Image.Image:
    """What the network sees, under it each layer's channels that are to be shown, eight in a row."""
    columns = min(_COLUMNS, max(len(section.channels) for section in sections))
    width = max(_NARROWEST, 2 * _MARGIN + columns * (look.tile + _GAP) - _GAP)
    heights = [_height(section, columns, look) for section in sections]
    sheet = Image.new("RGB", (width, 2 * _MARGIN + _PHOTO + sum(heights)), PAPER)
    _draw_header(sheet, canvas, title, subtitle)
    top = _MARGIN + _PHOTO
    for section, height in zip(sections, heights, strict=True):
        _draw_section(sheet, top, section, columns, look)
        top += height
    return sheet


def _height(section: FeatureMaps, columns: int, look: Look) -> int:
    rows = -(-len(section.channels) // columns)
    return _MARGIN + _HEADING + rows * _row(look)


def _row(look: Look) -> int:
    return look.tile + _GAP + _LABEL * (2 if _has_ranges(look) else 1)


def _has_ranges(look: Look) -> bool:
    """Whether each tile has its own scale, and the room to print it."""
    return look.normalize == "channel" and look.tile >= 72


def _draw_header(sheet: Image.Image, canvas: "Canvas", title: str, subtitle: str) -> None:
    sheet.paste(Image.fromarray(canvas).resize((_PHOTO, _PHOTO), Image.Resampling.LANCZOS), (_MARGIN, _MARGIN))
    draw, left = ImageDraw.Draw(sheet), 2 * _MARGIN + _PHOTO
    for text, size, y, ink in ((title, 22, 18, INK), (subtitle, 15, 52, FAINT)):
        words, face = fitted(text, sheet.width - left - _MARGIN, size)
        draw.text((left, _MARGIN + y), words, ink, face)


def _draw_section(sheet: Image.Image, top: int, section: FeatureMaps, columns: int, look: Look) -> None:
    draw = ImageDraw.Draw(sheet)
    scale = 0
    if look.normalize == "layer":
        scale = _draw_scale(sheet, top + _MARGIN, section.range_of(), look)
    channels, height, width = section.layer.shape
    heading = caption("layer", look.language, name=section.layer.name, channels=channels, width=width, height=height)
    heading += f"  ·  {caption('stage', look.language, stage=section.layer.stage + 1)}"
    text, face = fitted(heading, sheet.width - 2 * _MARGIN - scale - _GAP, 16)
    draw.text((_MARGIN, top + _MARGIN), text, INK, face)
    if look.normalize == "channel" and section.channels:
        note, room = caption("channel_scale", look.language), sheet.width - 2 * _MARGIN - face.getlength(text) - 24
        if font(13).getlength(note) <= room:
            draw.text((sheet.width - _MARGIN, top + _MARGIN + 2), note, FAINT, font(13), anchor="ra")
    for place, channel in enumerate(section.channels):
        x = _MARGIN + place % columns * (look.tile + _GAP)
        y = top + _MARGIN + _HEADING + place // columns * _row(look)
        _draw_tile(sheet, (x, y), section, channel, look)


def _draw_scale(sheet: Image.Image, top: int, limits: tuple[float, float], look: Look) -> int:
    """The colours from the lowest to the highest value, at the right; returns how wide it is with its numbers."""
    draw = ImageDraw.Draw(sheet)
    low, high = (number(value, look.language) for value in limits)
    right = sheet.width - _MARGIN
    draw.text((right, top + 2), high, INK, font(13), anchor="ra")
    right -= round(font(13).getlength(high)) + _GAP
    strip = Image.linear_gradient("L").rotate(90).resize((_SCALE, 14))
    strip.putpalette(palette(look.colormap))
    sheet.paste(strip.convert("RGB"), (right - _SCALE, top + 3))
    draw.text((right - _SCALE - _GAP, top + 2), low, INK, font(13), anchor="ra")
    return sheet.width - _MARGIN - right + _SCALE + 2 * _GAP + round(font(13).getlength(low))


def _draw_tile(sheet: Image.Image, corner: tuple[int, int], section: FeatureMaps, channel: int, look: Look) -> None:
    draw, (x, y) = ImageDraw.Draw(sheet), corner
    limits = section.range_of(channel if look.normalize == "channel" else None)
    sheet.paste(tile(section.activations[channel], limits, look.colormap, look.tile), (x, y + _LABEL))
    name, face = fitted(str(channel), look.tile, 13)
    draw.text((x, y), name, INK, face)
    share = f"{float(section.contributions[channel]):+.2f}".replace("-", "−")
    share = share.replace(".", ",") if look.language == "tr" else share
    if font(12).getlength(share) + face.getlength(name) + _GAP <= look.tile:
        draw.text((x + look.tile, y + 1), share, FAINT, font(12), anchor="ra")
    if _has_ranges(look):
        below = y + _LABEL + look.tile + 2
        low, high = (number(value, look.language) for value in limits)
        text, small = fitted(f"{low} … {high}", look.tile, 12)
        draw.text((x, below), text, FAINT, small)


def tile(values: "Tensor", limits: tuple[float, float], colormap: Colormap, size: int) -> Image.Image:
    """A map `(H, W)` as a square picture: nearest neighbour, so that one neuron is one square; smaller by area."""
    levels = brightness(values, *limits).mul(255).round().byte().numpy()
    small = Image.fromarray(levels)
    way = Image.Resampling.NEAREST if size >= max(small.size) else Image.Resampling.BOX
    square = small.resize((size, size), way)
    square.putpalette(palette(colormap))
    return square.convert("RGB")
