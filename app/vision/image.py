"""The one path from the bytes of an upload to the canvas that a network sees.

Classification, explanations, training and the verification of attacks all come through here; a second
path would be how "fooled" pictures stop fooling.
"""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from simplejpeg import decode_jpeg

from app.vision.av1 import Av1Error, as_picture, coded_sizes
from app.vision.resampling import Window

Canvas = NDArray[np.uint8]
"""8-bit RGB `(H, W, 3)`."""

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC", "BMP", "TIFF")
"""What can be allowed; anything else (EPS, ICO, PSD …) never reaches its decoder."""

_PARTS: Final = 3
"""A picture, its transparency and what is added to it may together have so many times the pixels that are allowed."""
_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"%!PS", "EPS"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
)
_HEIF_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_NAMES: Final = {"MPO": "JPEG", "HEIF": "HEIC"}
"""Of formats that Pillow calls otherwise."""
# Pillow's plugins raise all of these for broken files.
_BROKEN: Final = (
    ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
_BOMB: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class InvalidImageError(ValueError):
    """A file of an accepted format that cannot be decoded."""


class UnsupportedImageError(InvalidImageError):
    """Not a picture, or of a format that is not accepted here."""


class ImageTooLargeError(InvalidImageError):
    """More pixels than allowed; found out from the header, before anything is decoded."""


@dataclass(frozen=True)
class ImageLimits:
    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC")
    max_pixels: int = 25_000_000


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a canvas: shorter side to `resize` (bicubic), then the centre `crop` × `crop`."""

    resize: int = 256
    crop: int = 224

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of what the network gets to see, in pixels of the picture.

        Resizing this box straight to the canvas asks for no intermediate picture, so that a strip of
        1×5000 does not become one of 256×1,280,000.
        """
        side = min(width, height) * self.crop / self.resize
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side


@dataclass(frozen=True)
class Picture:
    """A decoded upload: the upright file's size, and RGB pixels that may be fewer (see `read`).

    They lie where their decoder put them, since to copy them takes a third of the time of decoding: with a
    `preprocessing` those of an upright JPEG in colour in an array, all others in Pillow's image.
    """

    format: str
    width: int
    height: int
    decoded: Image.Image | Canvas

    @classmethod
    def read(cls, data: bytes, limits: ImageLimits, *, preprocessing: Preprocessing | None = None) -> "Picture":
        """Decode the first frame: upright by EXIF, deep grey scaled, transparency over white.

        With a `preprocessing`, a JPEG much larger than the canvas is decoded at a half, a quarter or an eighth of it.
        Raises `UnsupportedImageError`, `ImageTooLargeError` or `InvalidImageError`.
        """
        with _open(data, limits) as image:
            width, height = image.size
            name = _NAMES.get(image.format or "unknown", image.format or "unknown")
            try:
                if preprocessing is not None and name == "JPEG":  # HEIC would take its thumbnail, which may be another
                    image.draft(None, _enough_for(preprocessing, width, height))
                    if _orientation(image) == 1 and (pixels := _of_plain_jpeg(image, data)) is not None:
                        return cls(name, width, height, pixels)
                image.load()
                orientation = _orientation(image)
                rgb = _rgb(image)
            except _BROKEN as error:
                raise InvalidImageError(f"This {name} file cannot be decoded: {error}") from error
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        if orientation >= 5:
            width, height = height, width
        return cls(name, width, height, rgb)

    @property
    def image(self) -> Image.Image:
        """The picture as it was read, RGB."""
        return Image.fromarray(self.decoded) if isinstance(self.decoded, np.ndarray) else self.decoded

    def canvas(self, preprocessing: Preprocessing) -> Canvas:
        """What a network with this preprocessing sees of the picture, `(crop, crop, 3)`."""
        if isinstance(self.decoded, np.ndarray):
            return preprocess(self.decoded, preprocessing)
        return _window(*self.decoded.size, preprocessing).of_image(self.decoded)

    def pixels(self) -> Canvas:
        """The picture as it was read, `(H, W, 3)`."""
        return np.array(self.decoded)


def pixels_in(data: bytes, limits: ImageLimits) -> int:
    """How many a picture has, as its head says; raises as `Picture.read`."""
    with _open(data, limits) as image:
        return int(image.width * image.height)


def preprocess(picture: Canvas, preprocessing: Preprocessing) -> Canvas:
    """Bicubic, antialiased resize of the centre of a picture `(H, W, 3)` to the canvas `(crop, crop, 3)`."""
    height, width, _ = picture.shape
    return _window(width, height, preprocessing).of_pixels(picture)


def _window(width: int, height: int, preprocessing: Preprocessing) -> Window:
    return Window.of(width, height, preprocessing.box(width, height), preprocessing.crop)


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    found = _signature(data)
    if found not in limits.formats:
        accepted = ", ".join(limits.formats)
        raise UnsupportedImageError(f"This is {found or 'not a picture'}; accepted are {accepted}.")
    try:
        image = _heic(data) if found == "HEIC" else Image.open(BytesIO(as_picture(data)), formats=(found,))
    except _BOMB:
        raise ImageTooLargeError(f"The picture has more than {limits.max_pixels:,} pixels.") from None
    except UnidentifiedImageError:
        raise InvalidImageError(f"This begins like a {found} file, but is none.") from None
    except _BROKEN as error:
        raise InvalidImageError(f"The header of this {found} file cannot be read: {error}") from error
    try:
        _check_size(image.size, limits)
        if found == "AVIF":
            _check_coded_sizes(data, limits)
    except InvalidImageError:
        image.close()
        raise
    return image


def _check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(
            f"The picture has {width}×{height} pixels; at most {limits.max_pixels:,} are accepted."
        )


def _check_coded_sizes(data: bytes, limits: ImageLimits) -> None:
    """libheif holds a picture to what its boxes say of its size, libavif does not."""
    try:
        sizes = coded_sizes(data)
    except Av1Error as error:
        raise InvalidImageError(f"This AVIF file cannot be decoded: {error}") from error
    for size in sizes:
        _check_size(size, limits)
    if (pixels := sum(width * height for width, height in sizes)) > _PARTS * limits.max_pixels:
        raise ImageTooLargeError(f"The pictures in this AVIF file have {pixels:,} pixels, which is too many.")


def _signature(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _isobmff(data)
    start = data[:256].lstrip().lower()
    if start.startswith((b"<svg", b"<?xml", b"<html", b"<!doctype")):
        return "SVG or HTML text"
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), None)


def _isobmff(data: bytes) -> str:
    """By the brands with which the file says what can read it."""
    brands = {data[place : place + 4] for place in range(8, min(int.from_bytes(data[:4], "big"), 256), 4)}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & _HEIF_BRANDS else "a video"


def _heic(data: bytes) -> Image.Image:
    from pillow_heif import HeifImageFile  # its library is loaded for those alone who have such pictures

    image: Image.Image = HeifImageFile(BytesIO(data))  # type: ignore[no-untyped-call]
    return image


def _enough_for(preprocessing: Preprocessing, width: int, height: int) -> tuple[int, int]:
    """The size below which a reduced decode must not go: twice the resize, which so does the filtering."""
    scale = 2 * preprocessing.resize / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:  # EXIF that cannot be read says nothing about how the picture stands
        return 1
    return orientation if isinstance(orientation, int) and orientation in _UPRIGHT else 1


def _of_plain_jpeg(image: Image.Image, data: bytes) -> Canvas | None:
    """The pixels `(H, W, 3)` that Pillow would decode, at the size to which it was asked to reduce them, by the same
    library; but straight into an array. None of what is not in colour, or has any fault: Pillow has its say on that.
    """
    if image.mode != "RGB":
        return None
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)  # so that nothing larger is decoded, whatever else the file says
    try:
        found: Canvas = decode_jpeg(data, "RGB", min_height=height, min_width=width, buffer=pixels)
    except ValueError:
        return None
    return found if found.shape == pixels.shape else None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy() if image.readonly else image
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGB", layer.size, "white")
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """16-bit grey to RGB by 1/257 (Pillow's own conversion clips nearly everything to white)."""
    deep = np.asarray(image)
    grey = np.clip(np.rint(deep / 257), 0, 255) if image.mode.startswith("I") else np.clip(deep, 0, 255)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[deep == transparent] = 255
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
