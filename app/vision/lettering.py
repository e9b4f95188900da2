"""Text in pictures: one font that has the Turkish letters, numbers as a language writes them, text that fits.

The font is DejaVu Sans without hints, and of its letters those of Latin languages and some signs; its licence is beside
it. Pillow's own font lacks ğ, ş and ı.
"""

from functools import cache
from pathlib import Path
from typing import Final

from PIL import ImageFont

from app.vision.colormaps import Colormap, colours

FONT: Final = Path(__file__).with_name("fonts") / "DejaVuSans-subset.ttf"
INK: Final = "#1c1c22"
FAINT: Final = "#6a6a76"
PAPER: Final = "#ffffff"
_SMALLEST: Final = 11


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size)


def fitted(text: str, width: float, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """The text in a smaller size if need be, and if that does not do, its beginning with an ellipsis."""
    longest = max(text.splitlines() or [""], key=lambda line: font(size).getlength(line))
    while size > _SMALLEST and font(size).getlength(longest) > width:
        size -= 1
    if "\n" not in text:
        while len(text) > 1 and font(size).getlength(text) > width:
            text = text.rstrip("…")[:-1] + "…"
    return text, font(size)


def number(value: float, language: str) -> str:
    """Three digits that count: `−0.52`, `12.4`; in Turkish with a comma."""
    short = f"{value:.3g}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.1e}"
    if abs(value) >= 1000 and "e" not in short:
        short = f"{value:.0f}"
    return _written(short.replace("-", "−"), language)


def percent(share: float, language: str) -> str:
    return f"%{_written(f'{share * 100:.1f}', language)}" if language == "tr" else f"{share:.1%}"


def _written(text: str, language: str) -> str:
    return text.replace(".", ",") if language == "tr" else text


@cache
def palette(colormap: Colormap) -> bytes:
    """As Pillow takes it."""
    return colours(colormap).tobytes()
