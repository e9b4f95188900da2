"""Pictures as files, lossless."""

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

Encoding = Literal["PNG", "WEBP"]
_LONGEST: Final = {"PNG": 2**31 - 1, "WEBP": 16383}
_BIG: Final = 3_000_000


class UnencodableError(ValueError):
    """A picture that the wanted format cannot hold."""


def as_npy(values: "Tensor") -> bytes:
    """A tensor on the CPU as `numpy.save` writes it, contiguous."""
    file = BytesIO()
    np.save(file, np.ascontiguousarray(values.numpy()))
    return file.getvalue()


def encoded(image: "Image.Image", encoding: Encoding, *, is_drawn: bool = False) -> bytes:
    """An RGB image as a file; `is_drawn` says that it is mostly flat areas, and no photo.

    Raises `UnencodableError` if a side is too long for a WebP.
    """
    longest = _LONGEST[encoding]
    if max(image.size) > longest:
        raise UnencodableError(f"A {encoding} has {longest} pixels a side at most, not {max(image.size)}: ask for PNG.")
    file = BytesIO()
    if encoding == "WEBP":
        image.save(file, "WEBP", lossless=True, quality=0, method=0)  # a tenth of the time of the defaults
    elif is_drawn:
        return _png_of_flat_areas(image)
    else:
        # Above some megapixels better compression takes seconds.
        image.save(file, "PNG", compress_level=1 if image.width * image.height > _BIG else 3)
    return file.getvalue()


def _png_of_flat_areas(image: "Image.Image") -> bytes:
    """Without a filter, by zlib alone: Pillow tries five filters on each row, which doubles the time for nothing."""
    pixels = np.asarray(image)
    rows = np.zeros((image.height, 1 + 3 * image.width), np.uint8)  # each begins with the number of its filter
    rows[:, 1:] = pixels.reshape(image.height, -1)
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
