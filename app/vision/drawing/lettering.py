"""Text in pictures: one font that has the Turkish letters, and text that fits.

The font is DejaVu Sans without hints, and of its letters those of Latin languages and some signs; its licence is beside
it. Pillow's own font lacks ğ, ş and ı.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

FONT: Final = Path(__file__).with_name("fonts") / "DejaVuSans-subset.ttf"
INK: Final = "#1c1c22"
FAINT: Final = "#6a6a76"
PAPER: Final = "#ffffff"
SMALLEST: Final = 11


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC)


@dataclass(frozen=True)
class _Letter:
    image: Image.Image
    left: int
    top: int
    advance: float


@lru_cache(maxsize=4096)
def _letter(letter: str, size: int) -> _Letter:
    """Drawn once: a sheet has hundreds of letters, and their outlines cost a third of its time."""
    left, top, right, bottom = map(round, _font(size).getbbox(letter))
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), letter, 255, _font(size))
    return _Letter(image, left, top, _font(size).getlength(letter))


def write(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, ink: str, *, right: bool = False
) -> None:
    """A line whose upper left (or upper right) corner is at the place."""
    x, y = place
    if right:
        x -= length(text, size)
    for drawn in (_letter(letter, size) for letter in text):
        draw.bitmap((round(x) + drawn.left, round(y) + drawn.top), drawn.image, ink)
        x += drawn.advance


def length(text: str, size: int) -> float:
    """The width of a text in pixels, at a size in pixels."""
    return sum(_letter(letter, size).advance for letter in text)


def fitted(text: str, width: float, size: int) -> tuple[str, int]:
    """The text, and a smaller size if need be; if that does not do, its beginning with an ellipsis."""
    while size > SMALLEST and length(text, size) > width:
        size -= 1
    while len(text) > 1 and length(text, size) > width:
        text = text.rstrip("…")[:-1] + "…"
    return text, size
