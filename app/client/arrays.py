"""Arrays of numpy as PNGs, without numpy."""

import struct
import zlib
from collections.abc import Iterable
from typing import Any, Final, Protocol

from app.client.errors import PictureError

_COLOUR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}
"""Of a PNG, by channels: grey, grey and opacity, RGB, RGB and opacity."""


class Array(Protocol):
    """An array of numpy, as far as it takes to send one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...  # noqa: ANN401 -- numpy's own

    def tobytes(self) -> bytes: ...


def png_of(array: Array) -> bytes:
    """A picture `(H, W)` or `(H, W, channels)`, of 8-bit values or of floats in [0, 1]. Raises `PictureError`."""
    height, width, channels = _size(array.shape)
    levels = _levels(array)
    stride = width * channels
    rows = b"".join(b"\0" + levels[start : start + stride] for start in range(0, height * stride, stride))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunks(((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")))
    )


def _size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in _COLOUR_TYPES or 0 in shape:
        hint = "; move its channels to the end" if len(shape) == 3 and shape[0] in {1, 3, 4} else ""
        raise PictureError(f"An array of a picture has the shape (H, W) or (H, W, 3), not {tuple(shape)}{hint}.")
    return shape[0], shape[1], shape[2]


def _levels(array: Any) -> bytes:  # noqa: ANN401 -- numpy's own
    kind = array.dtype.kind
    if kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # of NaN, neither
            raise PictureError("The floats of a picture are in [0, 1]; these go beyond, or are no numbers.")
        array = (array * 255).round().astype("uint8")
    elif kind == "b":
        array = array.astype("uint8") * 255
    elif array.dtype.itemsize != 1 or kind != "u":
        raise PictureError(f"An array of a picture has values of 8 bit (uint8) or floats in [0, 1], not {array.dtype}.")
    levels: bytes = array.tobytes()
    return levels


def _chunks(parts: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for name, data in parts:
        yield struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
