"""Pictures to teach with, as the one file that is sent: an archive as it is, a folder or a mapping zipped."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast
from zipfile import ZIP_STORED, ZipFile

from app.client.errors import PictureError
from app.client.pictures import PictureSource, picture_bytes

Pictures = str | Path | bytes | BinaryIO | Mapping[str, Sequence[PictureSource]]
"""A folder with a folder for each class; an archive of one by its name, its bytes, or open; or pictures by class."""


def opened(pictures: Pictures) -> BinaryIO:
    """A file with all of them, which the caller closes unless it came open. Raises `PictureError`."""
    if isinstance(pictures, bytes):
        return BytesIO(pictures)
    if isinstance(pictures, Mapping):
        return zipped(_of_mapping(pictures))
    if not isinstance(pictures, str | Path):
        return pictures
    path = Path(pictures).expanduser()
    try:
        return zipped(of_folder(path)) if path.is_dir() else path.open("rb")
    except OSError as error:
        raise PictureError(f"{error.filename or path} cannot be read: {error.strerror}.") from error


def zipped(files: Iterable[tuple[str, Path | bytes]]) -> BinaryIO:
    """Under these names, in a file that has no name, and is gone when it is closed."""
    file = cast("BinaryIO", TemporaryFile())  # noqa: SIM115 -- the caller closes it
    try:
        with ZipFile(file, "w", ZIP_STORED, strict_timestamps=False) as archive:  # some cameras live before 1980
            for name, content in files:
                if isinstance(content, bytes):
                    archive.writestr(name, content)
                else:
                    archive.write(content, name)
    except BaseException:
        file.close()
        raise
    return file


def of_folder(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below it by their paths in it; links are left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path


def _of_mapping(pictures: Mapping[str, Sequence[PictureSource]]) -> Iterator[tuple[str, bytes]]:
    """Numbered: files of several folders may have the same name, and images have none."""
    for label, sources in pictures.items():
        for number, source in enumerate(sources, 1):
            name = f"{number}-{Path(source).name}" if isinstance(source, str | Path) else f"{number}.png"
            yield f"{label}/{name}", picture_bytes(source)
