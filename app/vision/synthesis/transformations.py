"""What happens to a saved picture on its way: how it is encoded, made smaller, and decoded again."""

from io import BytesIO
from typing import Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.vision.image import Canvas, ImageLimits, Picture, Preprocessing, preprocess
from app.vision.synthesis.resize import ResizeOperator

TRANSFORMATIONS: Final = ("png", "jpeg_q95", "jpeg_q90", "jpeg_q75", "half_size")
_BIG: Final = 4_000_000


def png_of(picture: Canvas, text: dict[str, str] | None = None) -> bytes:
    """Lossless; `text` is written into it for whoever wonders what the picture is."""
    notes = PngInfo()
    for keyword, value in (text or {}).items():
        notes.add_itxt(keyword, value)
    file = BytesIO()
    # Above some megapixels the usual compression takes seconds, and saves little.
    Image.fromarray(picture).save(file, "PNG", pnginfo=notes, compress_level=1 if picture.size > 3 * _BIG else 6)
    return file.getvalue()


def transformed(
    transformation: str, picture: Canvas, resize: ResizeOperator, preprocessing: Preprocessing, limits: ImageLimits
) -> Canvas:
    """The canvas of a picture `(H, W, 3)` that went through a channel and was uploaded again."""
    if transformation == "png":
        return resize.canvas(picture)
    image = Image.fromarray(picture)
    if transformation == "half_size":
        half = (max(1, image.width // 2), max(1, image.height // 2))
        return preprocess(image.resize(half, Image.Resampling.LANCZOS), preprocessing)
    file = BytesIO()
    image.save(file, "JPEG", quality=int(transformation.removeprefix("jpeg_q")))
    return Picture.read(file.getvalue(), limits, preprocessing=preprocessing).canvas(preprocessing)
