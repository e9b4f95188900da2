"""Tiny pictures of two classes, and archives of them."""

import io
from collections.abc import Mapping
from io import BytesIO
from random import Random
from zipfile import ZipFile

from PIL import Image, ImageDraw


def shape(label: str, number: int) -> bytes:
    """A PNG of a red disc or a blue square, each number somewhere else."""
    random = Random(number)
    image = Image.new("RGB", (96, 96), (200, 200 + random.randrange(40), 200))
    x, y, side = random.randrange(8, 40), random.randrange(8, 40), random.randrange(30, 48)
    draw = ImageDraw.Draw(image)
    if label == "red":
        draw.ellipse((x, y, x + side, y + side), fill=(220, 20, 20))
    else:
        draw.rectangle((x, y, x + side, y + side), fill=(20, 20, 220))
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def shapes(each: int = 6) -> dict[str, bytes]:
    """`red/0.png` and so on."""
    return {f"{label}/{number}.png": shape(label, number) for label in ("red", "blue") for number in range(each)}


def zipped(files: Mapping[str, bytes | str]) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def png(width: int = 8, height: int = 8, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()
