"""A heat map laid over the whole picture, where its evidence lies; what the network did not see is marked as unseen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from app.vision.drawing.captions import caption
from app.vision.drawing.colormaps import Colormap, coloured
from app.vision.drawing.lettering import FAINT, INK, PAPER, SMALLEST, fitted, length, write

if TYPE_CHECKING:
    from torch import Tensor

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the upright picture."""
_FINE: Final = 448
_DARK: Final = 0.55
_BAND: Final = 512
"""Rows that are coloured at once."""
_NARROWEST: Final = 280


@dataclass(frozen=True)
class OverlayStyle:
    """How strongly colours cover the picture where the map is hottest, and whether single neurons stay squares."""

    colormap: Colormap
    opacity: float = 0.65
    smooth: bool = True


def draw_overlay(photo: Image.Image, heat: "Tensor", box: Box, style: OverlayStyle) -> Image.Image:
    """Of the size of the photo. The heat map `(H, W)`, 0 to 1, covers the box; where it is cold the photo stays as it
    is.
    """
    corner, size = _whole_pixels(box, photo.size)
    picture = _unseen(photo)
    levels = _levels(heat, size, smooth=style.smooth)
    opacities = [round(style.opacity * level) for level in range(256)]
    (left, top), (width, height) = corner, size
    for row in range(0, height, _BAND):  # of a large photo each picture between takes a hundred megabytes
        rows = levels.crop((0, row, width, min(row + _BAND, height)))
        seen = photo.crop((left, top + row, left + width, top + row + rows.height))
        seen.paste(coloured(rows, style.colormap), mask=rows.point(opacities))
        picture.paste(seen, (left, top + row))
    return _bordered(picture, corner, size)


def draw_heat_map(size: tuple[int, int], heat: "Tensor", box: Box, style: OverlayStyle) -> Image.Image:
    """The colours of a heat map `(H, W)`, 0 to 1, alone, of the size of the picture; grey hatching where the network
    saw nothing.
    """
    corner, seen = _whole_pixels(box, size)
    picture = _hatched(Image.new("RGB", size, "#6f6f78"))
    picture.paste(coloured(_levels(heat, seen, smooth=style.smooth), style.colormap), corner)
    return _bordered(picture, corner, seen)


@dataclass(frozen=True)
class Scale:
    """A colour scale: what it measures, and what its low and its high end are."""

    colormap: Colormap
    name: str
    low: str
    high: str


def has_unseen(box: Box, size: tuple[int, int]) -> bool:
    """Whether some of a picture of this size lies outside of the box, and is hatched."""
    return _whole_pixels(box, size) != ((0, 0), size)


def with_caption(
    picture: Image.Image, titles: tuple[str, str], scale: Scale | str, note: str | None = None
) -> Image.Image:
    """The picture over a strip: two lines of text, the colour scale or a sentence instead of it, and a note below."""
    unit = max(12, round(picture.width / 36))
    height = unit * (7.9 if note else 6.2)
    sentences = (text for text in (scale, note) if isinstance(text, str))
    width = max(picture.width, _NARROWEST, *(round(length(text, SMALLEST)) + unit for text in sentences))
    sheet = Image.new("RGB", (width, picture.height + round(height)), PAPER)
    sheet.paste(picture, ((sheet.width - picture.width) // 2, 0))
    draw, y, edge = ImageDraw.Draw(sheet), picture.height + round(unit * 0.6), unit // 2
    for title in titles:
        write(draw, (edge, y), *fitted(title, sheet.width - 2 * edge, round(unit * 1.1)), INK)
        y += round(unit * 1.7)
    y += unit // 4
    size, room = max(11, round(unit * 0.85)), sheet.width - 2 * edge
    if isinstance(scale, Scale):
        _draw_scale(sheet, (edge, y), scale, size, unit)
    else:
        write(draw, (edge, y), *fitted(scale, room, size), INK)
    if note:
        write(draw, (edge, y + round(unit * 1.7)), *fitted(note, room, size), FAINT)
    return sheet


def _draw_scale(sheet: Image.Image, place: tuple[int, int], scale: Scale, size: int, unit: int) -> None:
    draw, (left, y), edge = ImageDraw.Draw(sheet), place, unit // 2
    start = f"{scale.name}:  {scale.low}"
    write(draw, place, start, size, FAINT)
    left += edge + round(length(start, size))
    sheet.paste(coloured(Image.linear_gradient("L").rotate(90).resize((unit * 7, unit)), scale.colormap), (left, y))
    write(draw, (left + unit * 7 + edge, y), scale.high, size, FAINT)


def caption_of_scale(language: str) -> tuple[str, str, str]:
    """The words for the scale and for its two ends."""
    return caption("scale", language), caption("none", language), caption("most", language)


def _whole_pixels(box: Box, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Corner and size of the box, one pixel at least and within the picture."""
    left, top = (min(round(start), end - 1) for start, end in zip(box[:2], size, strict=True))
    right, bottom = (
        min(end, max(round(stop), start + 1)) for stop, start, end in zip(box[2:], (left, top), size, strict=True)
    )
    return (left, top), (right - left, bottom - top)


def _levels(heat: "Tensor", size: tuple[int, int], *, smooth: bool) -> Image.Image:
    """The map as grey levels of this size. Smooth: by cubic interpolation in floats, since a map has few steps."""
    if smooth:
        fine = (_FINE, _FINE)
        heat = functional.interpolate(heat[None, None], size=fine, mode="bicubic", align_corners=False)[0, 0]
    grey = Image.fromarray(heat.clamp(0, 1).mul(255).round().to(torch.uint8).numpy())
    return grey.resize(size, Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST)


def _unseen(photo: Image.Image) -> Image.Image:
    dark = photo.convert("L").point([int(_DARK * level) for level in range(256)])
    return _hatched(dark.convert("RGB"))


def _hatched(picture: Image.Image) -> Image.Image:
    draw = ImageDraw.Draw(picture)
    distance = max(9, round(max(picture.size) / 48))
    for start in range(-picture.height, picture.width, distance):
        draw.line((start, picture.height, start + picture.height, 0), "#8c8c96", max(1, distance // 14))
    return picture


def _bordered(picture: Image.Image, corner: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """A thin frame just outside of what the network saw."""
    width = max(1, round(max(picture.size) / 500))
    left, top = corner
    frame = (left - width, top - width, left + size[0] + width - 1, top + size[1] + width - 1)
    ImageDraw.Draw(picture).rectangle(frame, outline="#ffffff", width=width)
    return picture
