"""Feature maps as a picture: tiles of single neurons, big enough to be seen, with labels and a printed scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from PIL import Image, ImageDraw

from app.vision.drawing.brightness import brightness
from app.vision.drawing.captions import caption
from app.vision.drawing.colormaps import Colormap, coloured
from app.vision.drawing.lettering import FAINT, INK, PAPER, fitted, length, write
from app.vision.drawing.numbers import number, signed

if TYPE_CHECKING:
    from torch import Tensor

    from app.vision.image import Canvas

Normalize = Literal["channel", "layer"]
Limits = tuple[float, float]
"""The values of the darkest and of the brightest colour."""
_MARGIN: Final = 20
_GAP: Final = 8
_PHOTO: Final = 96
_COLUMNS: Final = 8
_NARROWEST: Final = 680
_HEADING: Final = 30
_LABEL: Final = 18
_SCALE: Final = 150


class DrawnLayer(Protocol):
    """What is written about a layer: its name, its stage from 0, and its `(C, H, W)`."""

    @property
    def name(self) -> str: ...
    @property
    def stage(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...


class Section(Protocol):
    """The feature maps of one layer: activations `(C, H, W)`, contributions `(C,)`, and the channels to draw."""

    @property
    def layer(self) -> DrawnLayer: ...
    @property
    def activations(self) -> "Tensor": ...
    @property
    def contributions(self) -> "Tensor": ...
    @property
    def channels(self) -> list[int]: ...
    def range_of(self, channel: int | None = None) -> Limits:
        """Lowest and highest value of a channel; of all channels to draw, the range of a shared scale."""
        ...


@dataclass(frozen=True)
class Look:
    """`channel` stretches each tile over all colours, `layer` lets brightness compare between tiles."""

    normalize: Normalize = "channel"
    colormap: Colormap = "viridis"
    tile: int = 112
    language: str = "en"


def draw_sheet(canvas: "Canvas", titles: Sequence[str], sections: Sequence[Section], look: Look) -> Image.Image:
    """What the network sees beside three lines of text, under it each layer's channels that are to be shown."""
    columns = min(_COLUMNS, max(len(section.channels) for section in sections))
    width = max(_NARROWEST, 2 * _MARGIN + columns * (look.tile + _GAP) - _GAP)
    heights = [_height(section, columns, look) for section in sections]
    sheet = Image.new("RGB", (width, 2 * _MARGIN + _PHOTO + sum(heights)), PAPER)
    _draw_header(sheet, canvas, titles)
    top = _MARGIN + _PHOTO
    for section, height in zip(sections, heights, strict=True):
        _draw_section(sheet, top, section, columns, look)
        top += height
    return sheet


def _height(section: Section, columns: int, look: Look) -> int:
    rows = -(-len(section.channels) // columns)
    return _MARGIN + _HEADING + rows * _row(look)


def _row(look: Look) -> int:
    return look.tile + _GAP + _LABEL * (2 if _has_ranges(look) else 1)


def _has_ranges(look: Look) -> bool:
    """Whether each tile has its own scale, and the room to print it."""
    return look.normalize == "channel" and look.tile >= 72


def _draw_header(sheet: Image.Image, canvas: "Canvas", titles: Sequence[str]) -> None:
    sheet.paste(Image.fromarray(canvas).resize((_PHOTO, _PHOTO), Image.Resampling.LANCZOS), (_MARGIN, _MARGIN))
    draw, left = ImageDraw.Draw(sheet), 2 * _MARGIN + _PHOTO
    for text, (size, y, ink) in zip(titles, ((22, 8, INK), (15, 44, INK), (15, 68, FAINT)), strict=True):
        write(draw, (left, _MARGIN + y), *fitted(text, sheet.width - left - _MARGIN, size), ink)


def _draw_section(sheet: Image.Image, top: int, section: Section, columns: int, look: Look) -> None:
    draw, y = ImageDraw.Draw(sheet), top + _MARGIN
    shared = section.range_of() if look.normalize == "layer" else None
    room = _draw_scale(sheet, y, shared, look) if shared else sheet.width - 2 * _MARGIN
    channels, height, width = section.layer.shape
    heading = caption("layer", look.language, name=section.layer.name, channels=channels, width=width, height=height)
    heading += f"  ·  {caption('stage', look.language, stage=section.layer.stage + 1)}"
    text, size = fitted(heading, room, 16)
    write(draw, (_MARGIN, y), text, size, INK)
    note = caption("channel_scale", look.language)
    if shared is None and length(text, size) + length(note, 13) + 3 * _GAP <= room:
        write(draw, (sheet.width - _MARGIN, y + 2), note, 13, FAINT, right=True)
    for place, channel in enumerate(section.channels):
        corner = (
            _MARGIN + place % columns * (look.tile + _GAP),
            y + _HEADING + place // columns * _row(look),
        )
        _draw_tile(sheet, corner, section, channel, shared, look)


def _draw_scale(sheet: Image.Image, y: int, limits: Limits, look: Look) -> float:
    """The colours from the lowest to the highest value, at the right; returns the room that is left of them."""
    draw, right = ImageDraw.Draw(sheet), sheet.width - _MARGIN
    low, high = (sign + number(value, look.language) for sign, value in zip(("≤ ", "≥ "), limits, strict=True))
    write(draw, (right, y + 2), high, 13, INK, right=True)
    right -= round(length(high, 13)) + _GAP + _SCALE
    sheet.paste(coloured(Image.linear_gradient("L").rotate(90).resize((_SCALE, 14)), look.colormap), (right, y + 3))
    write(draw, (right - _GAP, y + 2), low, 13, INK, right=True)
    return right - length(low, 13) - 3 * _GAP - _MARGIN


def _draw_tile(
    sheet: Image.Image, corner: tuple[int, int], section: Section, channel: int, shared: Limits | None, look: Look
) -> None:
    """Over it the channel and its contribution to the class, below it its own scale, where there is room."""
    limits = shared or section.range_of(channel)
    draw, (x, y) = ImageDraw.Draw(sheet), corner
    sheet.paste(tile(section.activations[channel], limits, look.colormap, look.tile), (x, y + _LABEL))
    name, size = fitted(str(channel), look.tile, 13)
    write(draw, (x, y), name, size, INK)
    share = signed(float(section.contributions[channel]), look.language)
    if length(share, 12) + length(name, size) + _GAP <= look.tile:
        write(draw, (x + look.tile, y + 1), share, 12, FAINT, right=True)
    if _has_ranges(look):
        low, high = (number(value, look.language) for value in limits)
        write(draw, (x, y + _LABEL + look.tile + 2), *fitted(f"{low} … {high}", look.tile, 12), FAINT)


def tile(values: "Tensor", limits: Limits, colormap: Colormap, size: int) -> Image.Image:
    """A map `(H, W)` as a square picture: nearest neighbour, so that one neuron is one square; smaller by area."""
    small = Image.fromarray(brightness(values, *limits).mul(255).round().byte().numpy())
    way = Image.Resampling.NEAREST if size >= max(small.size) else Image.Resampling.BOX
    return coloured(small.resize((size, size), way), colormap)
