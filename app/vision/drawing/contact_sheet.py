"""A contact sheet of one picture, changed in many ways: a row a change, a curve, and red where the answer flips."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw

from app.vision.drawing.lettering import FAINT, INK, PAPER, fitted, write

FLIPPED: Final = "#c62a22"
_CURVE_INK: Final = "#1f5fbf"
_GRID: Final = "#dcdce4"
_MARGIN: Final = 24
_GAP: Final = 8
_TILE: Final = 96
_LABEL: Final = 17
_NAME: Final = 118
_CURVE: Final = 100
_HEADER: Final = 128
_ROW: Final = _TILE + _LABEL + _GAP + 2
_COLUMNS: Final = 2
"""Of rows beside each other, so that fourteen fill a slide."""
_BETWEEN: Final = 36


@dataclass(frozen=True, eq=False)
class Tile:
    """`score` is of the class that is followed, 0..1; `text` stands under it."""

    picture: Image.Image
    text: str
    score: float
    holds: bool


@dataclass(frozen=True, eq=False)
class Row:
    """Of one change: tiles from the mildest to the strongest; the note stands under its name."""

    name: str
    note: str
    tiles: Sequence[Tile]


def draw_contact_sheet(
    photo: Image.Image, titles: tuple[str, str, str], rows: Sequence[Row], *, start: float
) -> Image.Image:
    """The photo beside three lines of text, under it the rows; `start` is the score of the unchanged picture."""
    columns = min(_COLUMNS, len(rows))
    each = -(-len(rows) // columns)
    tiles = max(len(row.tiles) for row in rows)
    row_width = _NAME + tiles * (_TILE + _GAP) + _CURVE
    width = max(2 * _MARGIN + columns * row_width + (columns - 1) * _BETWEEN, 700)
    sheet = Image.new("RGB", (width, _MARGIN + _HEADER + each * _ROW + _MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    sheet.paste(photo.resize((_HEADER - 20,) * 2, Image.Resampling.LANCZOS), (_MARGIN, _MARGIN - 6))
    left = _MARGIN + _HEADER
    for text, (size, y, ink) in zip(titles, ((28, 2, INK), (19, 46, INK), (16, 78, FAINT)), strict=True):
        write(draw, (left, _MARGIN + y), *fitted(text, width - left - _MARGIN, size), ink)
    for number, row in enumerate(rows):
        column, place = divmod(number, each)
        corner = (_MARGIN + column * (row_width + _BETWEEN), _MARGIN + _HEADER + place * _ROW)
        _draw_row(sheet, draw, corner, row, start)
    return sheet


def _draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], row: Row, start: float) -> None:
    left, top = corner
    words = row.name.split(" ")
    half = -(-len(words) // 2)
    lines = [" ".join(words[:half]), " ".join(words[half:])] if len(row.name) > 11 and len(words) > 1 else [row.name]
    y = top + 16
    for line in lines:
        write(draw, (left, y), *fitted(line, _NAME - _GAP, 17), INK)
        y += 22
    write(draw, (left, y + 2), *fitted(row.note, _NAME - _GAP, 13), FAINT)
    x = left + _NAME
    for tile in row.tiles:
        picture = tile.picture.resize((_TILE, _TILE), Image.Resampling.LANCZOS)
        sheet.paste(picture, (x, top))
        if not tile.holds:
            draw.rectangle((x - 2, top - 2, x + _TILE + 1, top + _TILE + 1), outline=FLIPPED, width=4)
        write(draw, (x, top + _TILE + 3), *fitted(tile.text, _TILE, 12), INK if tile.holds else FLIPPED)
        x += _TILE + _GAP
    _draw_curve(draw, (x + 2, top + 4), [start, *(tile.score for tile in row.tiles)])


def _draw_curve(draw: ImageDraw.ImageDraw, corner: tuple[int, int], scores: Sequence[float]) -> None:
    """From the unchanged picture to the strongest change; the lines are 0, one half and 1."""
    left, top = corner
    width, height = _CURVE - 12, _TILE - 8
    for share in (0.0, 0.5, 1.0):
        y = top + height * share
        draw.line((left, y, left + width, y), _GRID)
    step = width / (len(scores) - 1)
    points = [(left + step * place, top + height * (1 - score)) for place, score in enumerate(scores)]
    draw.line(points, _CURVE_INK, 3, joint="curve")
    for x, y in points:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_CURVE_INK)
