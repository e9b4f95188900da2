"""Reads pictures from what people have: files, addresses, bytes, images of Pillow, arrays of numpy."""

import time
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

import httpx2

from app import __version__
from app.client.arrays import Array, png_of
from app.client.errors import PictureError, reason_of, status_of

MAX_PICTURE_BYTES: Final = 64 * 1024 * 1024
"""More is not read from a file or an address; the service's own limit is usually lower."""
_DOWNLOAD_S: Final = 60.0
_MODES_OF_PNG: Final = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}


class Image(Protocol):
    """An image of Pillow, as far as it takes to send one."""

    @property
    def mode(self) -> str: ...

    def convert(self, mode: str) -> "Image": ...

    def getexif(self) -> Any: ...  # noqa: ANN401 -- Pillow's own

    def save(self, fp: BytesIO, format: str, **options: Any) -> None: ...  # noqa: A002, ANN401 -- as Pillow has it


PictureSource = str | Path | bytes | bytearray | memoryview | BinaryIO | Image | Array
"""A file or an http(s) address by its name, the bytes of one, an open file, an image of Pillow, or a numpy array.

An array is `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)`, of 8-bit values or of floats in [0, 1].
"""


def picture_bytes(source: PictureSource) -> bytes:
    """A file with the picture; images and arrays become PNGs, without loss. Raises `PictureError`."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | Path):
        return read_picture(str(source))
    if hasattr(source, "__array_interface__") and hasattr(source, "tobytes") and not hasattr(source, "mode"):
        return png_of(source)
    if hasattr(source, "save") and hasattr(source, "mode"):
        return _png_of_image(cast("Image", source))
    if hasattr(source, "read"):
        return read_all(cast("BinaryIO", source), str(getattr(source, "name", "The file")))
    raise PictureError(
        f"A picture is a file, an address, bytes, an image of Pillow or an array, not {type(source).__name__}."
    )


def read_picture(source: str) -> bytes:
    """The bytes of a file or of an http(s) address, fetched here and never by the service. Raises `PictureError`."""
    if source.casefold().startswith(("http://", "https://")):
        return _download(source)
    try:
        with Path(source).expanduser().open("rb") as file:
            return read_all(file, source)
    except (OSError, RuntimeError, ValueError) as error:  # no such home; a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"{source} cannot be read: {reason}.") from error


def read_all(file: BinaryIO, source: str) -> bytes:
    """All bytes of an open file, unless there are none or too many. Raises `PictureError`, which names the `source`."""
    return _within_limits([file.read(MAX_PICTURE_BYTES + 1)], source)


def _png_of_image(image: Image) -> bytes:
    """With what its EXIF says of how it stands."""
    file = BytesIO()
    shown = image if image.mode in _MODES_OF_PNG else image.convert("RGB")
    try:
        shown.save(file, "PNG", exif=image.getexif(), compress_level=1)
    except (OSError, ValueError) as error:
        raise PictureError(f"This image cannot be read: {reason_of(error)}.") from error
    return file.getvalue()


def _within_limits(chunks: Iterable[bytes], source: str) -> bytes:
    body = bytearray()
    give_up = time.monotonic() + _DOWNLOAD_S
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_PICTURE_BYTES:
            raise PictureError(f"{source} is larger than {MAX_PICTURE_BYTES // 1024**2} MiB.")
        if time.monotonic() > give_up:
            raise PictureError(f"{source} did not arrive within {_DOWNLOAD_S:.0f} s.")
    if not body:
        raise PictureError(f"{source} is empty.")
    return bytes(body)


def _download(url: str) -> bytes:
    headers = {"User-Agent": f"inkblot/{__version__}", "Accept": "image/*,*/*;q=0.8"}
    try:
        with httpx2.stream("GET", url, headers=headers, follow_redirects=True, timeout=20) as answer:
            if answer.is_success:
                return _within_limits(answer.iter_bytes(), url)
            reason = status_of(answer)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise PictureError(f"{url} cannot be fetched: {reason_of(error)}.") from error
    raise PictureError(f"{url} cannot be fetched: {reason}.")
