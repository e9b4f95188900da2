"""The files in a zip, a tar or a tar.gz, without unpacking any of them to a path."""

import gzip
import os
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, BinaryIO, Final, cast

from app.vision.image import InvalidImageError
from app.vision.transfer.dataset import DatasetError, DatasetLimits, mebibytes

ENCRYPTED: Final = "It is encrypted."
LINK: Final = "It is a link."

# zipfile hands bzip2 and LZMA a whole member at once and bounds the output of neither: 10 MiB could become terabytes.
_BOUNDED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UTF8_NAME: Final = 0x800
_ENCRYPTED_BIT: Final = 0x1
# What zipfile and tarfile raise for members that are not what the directory or the header says.
_UNREADABLE: Final = (
    EOFError, NotImplementedError, OSError, OverflowError, RecursionError, RuntimeError, ValueError, struct.error,
    tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_GZIP: Final = b"\x1f\x8b"
_OTHERS: Final = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"(\xb5/\xfd": "zstd",
}
_BLOCK: Final = tarfile.BLOCKSIZE
_LONGEST_HEADER: Final = 64 << 10
_PIECE: Final = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file as the archive declares it; `problem` says why its bytes cannot be had.

    A `checksum`, where there is one, orders members of one path.
    """

    path: PurePosixPath
    size: int
    problem: str | None = None
    checksum: int = 0


class ZipMembers:
    """Of an opened zip; opening reads the central directory only."""

    def __init__(self, stream: BinaryIO, max_entries: int) -> None:
        self._zip = _opened_zip(stream, max_entries)
        self._infos = [info for info in self._zip.infolist() if not info.filename.endswith(("/", "\\"))]
        self.members = [
            Member(_path(_zip_name(info)), info.file_size, _zip_problem(info), info.CRC) for info in self._infos
        ]

    def close(self) -> None:
        self._zip.close()

    def read(self, index: int) -> bytes:
        """The file's bytes, as many as it declared; raises `InvalidImageError`."""
        info = self._infos[index]
        try:
            with self._zip.open(info) as file:
                data = file.read(info.file_size + 1)  # without a size zipfile would inflate without a bound
        except _UNREADABLE as error:
            raise InvalidImageError(f"This file cannot be read from the archive: {error}") from error
        return _whole(data, info.file_size)


class TarMembers:
    """Of a tar that is not compressed; opening reads the headers only."""

    def __init__(self, stream: BinaryIO, max_entries: int) -> None:
        self._stream, self._turn = stream, Lock()
        try:
            found = _tar_headers(stream, max_entries)
        except _UNREADABLE as error:
            raise DatasetError(f"This is not a whole tar archive: {error}") from error
        self._starts = [start for _, start in found]
        self.members = [member for member, _ in found]

    def close(self) -> None:
        """The stream is its owner's."""

    def read(self, index: int) -> bytes:
        """The file's bytes; raises `InvalidImageError`. May be called by several threads."""
        size = self.members[index].size
        with self._turn:
            self._stream.seek(self._starts[index])
            data = self._stream.read(size)
        return _whole(data, size)


def open_members(
    stream: BinaryIO, limits: DatasetLimits, scratch: Path | None, opened: ExitStack
) -> ZipMembers | TarMembers:
    """Of what the first bytes say that it is. A tar.gz is inflated to a file without a name in the folder `scratch`.

    Raises `DatasetError`.
    """
    stream.seek(0)
    start = stream.read(_BLOCK)
    if other := next((name for mark, name in _OTHERS.items() if start.startswith(mark)), None):
        raise DatasetError(f"This is a {other} archive; accepted are zip, tar and tar.gz.")
    if start.startswith(_GZIP):
        stream = _inflated(stream, limits, opened.enter_context(_nameless(scratch)))
        start = stream.read(_BLOCK)
        if not _is_tar(start):
            raise DatasetError("This is not a whole tar.gz archive: what is compressed is no tar.")
    members = (TarMembers if _is_tar(start) else ZipMembers)(stream, limits.max_entries)
    opened.callback(members.close)
    return members


def _nameless(folder: Path | None) -> IO[bytes]:
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    return TemporaryFile(dir=folder)


def is_archive(path: Path) -> bool:
    """Whether a file begins or ends as an archive that can be read does; nothing is unpacked."""
    with path.open("rb") as file:
        start = file.read(_BLOCK)
    return start.startswith(_GZIP) or _is_tar(start) or zipfile.is_zipfile(path)


def _path(name: str) -> PurePosixPath:
    """Some programs write decomposed letters or backslashes."""
    return PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/"))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """macOS and many programs write UTF-8 without saying so."""
    if not info.flag_bits & _UTF8_NAME:
        with suppress(UnicodeError):
            return info.filename.encode("cp437").decode("utf-8")
    return info.filename


def _zip_problem(info: zipfile.ZipInfo) -> str | None:
    if stat.S_ISLNK(info.external_attr >> 16):
        return LINK
    if info.flag_bits & _ENCRYPTED_BIT:
        return ENCRYPTED
    unbounded = info.compress_type not in _BOUNDED
    return "It is compressed in an unusual way (neither stored nor deflated)." if unbounded else None


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise InvalidImageError(f"The archive declares {size:,} bytes, but holds {len(data):,}.")
    return data


def _opened_zip(stream: BinaryIO, max_entries: int) -> zipfile.ZipFile:
    try:
        if not _has_more_entries(stream, max_entries):
            return zipfile.ZipFile(stream)
    except _UNREADABLE as error:
        raise DatasetError(f"This is not a whole zip archive: {error}") from error
    raise _too_many(max_entries)


def _too_many(max_entries: int) -> DatasetError:
    return DatasetError(f"The archive has more than {max_entries:,} entries (files and folders).")


def _has_more_entries(stream: BinaryIO, most: int) -> bool:
    """Without listing them: `zipfile` makes an object of each, and believes the directory's length, not its count.

    So the directory's bytes are searched for the mark with which every entry begins.
    """
    size = stream.seek(0, os.SEEK_END)
    start = stream.seek(max(0, size - 76 - 22 - 0xFFFF))  # ZIP64's two records, the end record, its comment
    tail = stream.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise zipfile.BadZipFile("There is no directory at its end.")
    (length,) = struct.unpack_from("<I", tail, end + 12)
    if end >= 76 and tail[end - 76 : end - 72] == b"PK\6\6" and tail[end - 20 : end - 16] == b"PK\6\7":
        end -= 76
        (length,) = struct.unpack_from("<Q", tail, end + 40)
    if length > start + end:
        raise zipfile.BadZipFile("Its directory is not where it should be.")
    if length > most * 1024:  # names are far shorter
        return True
    stream.seek(start + end - length)
    return stream.read(length).count(b"PK\1\2") > most


def _is_tar(start: bytes) -> bool:
    with suppress(tarfile.HeaderError, ValueError):
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
        return True
    return False


def _inflated(stream: BinaryIO, limits: DatasetLimits, into: IO[bytes]) -> BinaryIO:
    """At its start; a tar has a header of two blocks or so beside each file."""
    most = limits.max_unpacked_bytes + 3 * _BLOCK * limits.max_entries
    stream.seek(0)
    try:
        with gzip.GzipFile(fileobj=stream) as file:
            while piece := file.read(_PIECE):
                if into.tell() + len(piece) > most:
                    raise DatasetError(f"The archive unpacks to more than {mebibytes(most)}.")
                into.write(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"This is not a whole tar.gz archive: {error}") from error
    into.seek(0)
    return cast("BinaryIO", into)


class _Headers:
    """A stream that gives out no more than a header at once: tarfile reads a name of a gigabyte into memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError("A header is longer than a name can be.")
        return self._stream.read(size)


def _tar_headers(stream: BinaryIO, max_entries: int) -> list[tuple[Member, int]]:
    """The files, and where the bytes of each begin."""
    found: list[tuple[Member, int]] = []
    stream.seek(0)
    tar = tarfile.TarFile(fileobj=cast("IO[bytes]", _Headers(stream)), encoding="utf-8", errors="surrogateescape")
    number = 0
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all, with their headers
        tar.pax_headers.clear()  # type: ignore[attr-defined]  # and those that are to hold for all that follow
        if info.size < 0:
            raise tarfile.ReadError("A file has less than no bytes.")
        number += 1
        if number > max_entries:
            raise _too_many(max_entries)
        if not info.isdir():
            found.append((Member(_path(info.name), info.size, _tar_problem(info)), info.offset_data))
    stream.seek(tar.offset)  # tarfile ends alike at the mark of the end, at junk and where a file breaks off
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("It has no end.")
    return found


def _tar_problem(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return LINK
    if not info.isreg() or info.issparse():
        return "It is no plain file."
    return None
