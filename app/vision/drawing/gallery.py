"""Pictures beside each other, each over what there is to say of it."""

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageOps

from app.vision.drawing.lettering import FAINT, INK, PAPER, fitted, write

Shown = tuple[Image.Image, Sequence[str]]
"""A picture and its lines of text, the first of which stands out."""
_MARGIN: Final = 12
_LINE: Final = 19
_SIZE: Final = 14


def draw_gallery(rows: Sequence[Sequence[Shown]], *, width: int = 200, height: int | None = None) -> Image.Image:
    """The centre of each picture, `width` × `height` pixels (without a height: a square), over its lines; rows may
    differ in length.
    """
    tall = height or width
    heights = [_MARGIN + tall + _LINE * max((len(lines) for _, lines in row), default=0) + _MARGIN // 2 for row in rows]
    columns = max((len(row) for row in rows), default=0)
    sheet = Image.new("RGB", (_MARGIN + columns * (width + _MARGIN), sum(heights) + _MARGIN), PAPER)
    draw, top = ImageDraw.Draw(sheet), _MARGIN
    for row, room in zip(rows, heights, strict=True):
        for column, (picture, lines) in enumerate(row):
            left = _MARGIN + column * (width + _MARGIN)
            sheet.paste(ImageOps.fit(picture.convert("RGB"), (width, tall)), (left, top))
            for number, line in enumerate(lines):
                place = left, top + tall + 4 + number * _LINE
                write(draw, place, *fitted(line, width, _SIZE), FAINT if number else INK)
        top += room
    return sheet
