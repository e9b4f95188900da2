"""Makes the README's pictures from the answers of a running service: `python docs/make_pictures.py [URL]`."""

import sys
from pathlib import Path

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from app.client import DEFAULT_URL, Client

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "app/web/samples"
FONT = Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"  # has the Turkish letters, as Pillow's own has not
PICTURES = ("basenji.png", "bernese.png", "cat-eye.png", "cat.jpg")
WIDTH, TOP, ROW, MARGIN = 250, 250, 42, 14
INK, FAINT, BAR, PAPER = "#1c1c22", "#d9d9e3", "#4457c0", "#ffffff"


def strip(client: Client, language: str) -> Image.Image:
    """The sample photos, each over its four likeliest classes."""
    font, number = (ImageFont.truetype(FONT, size) for size in (15, 13))
    sheet = Image.new("RGB", (len(PICTURES) * (WIDTH + MARGIN) + MARGIN, TOP + 4 * ROW + 3 * MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(PICTURES):
        left = MARGIN + column * (WIDTH + MARGIN)
        data = (SAMPLES / name).read_bytes()
        with Image.open(SAMPLES / name) as photo:
            side = min(photo.size)
            x, y = (photo.width - side) // 2, (photo.height - side) // 2
            square = photo.convert("RGB").resize((WIDTH, TOP), Image.Resampling.LANCZOS, (x, y, x + side, y + side))
        sheet.paste(square, (left, MARGIN))
        for row, one in enumerate(client.classify(data, top_k=4, lang=language)["predictions"]):
            y = TOP + 2 * MARGIN + row * ROW
            percent = f"{one['score']:.1%}" if language == "en" else f"%{one['score'] * 100:.1f}".replace(".", ",")
            draw.text((left, y), one["display"], INK, font)
            draw.text((left + WIDTH, y + 1), percent, INK, number, anchor="ra")
            draw.rounded_rectangle((left, y + 24, left + WIDTH, y + 30), 3, FAINT)
            draw.rounded_rectangle((left, y + 24, left + max(6, round(WIDTH * one["score"])), y + 30), 3, BAR)
    return sheet


def main() -> None:
    with Client(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_URL) as client:
        for language in ("en", "tr"):
            picture = strip(client, language).quantize(256)
            picture.save(HERE / f"classify.{language}.png", optimize=True)


if __name__ == "__main__":
    main()
