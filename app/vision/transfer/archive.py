"""Labelled pictures out of a zip archive, in which a folder is a class. Nothing is ever unpacked to a path."""

import json
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Self

from app.vision.image import InvalidImageError
from app.vision.labels import is_class_name, presentable
from app.vision.transfer.class_names import ClassNameError, ClassNames, read_class_names

STRANGERS: Final = "_strangers"
"""Pictures in this folder, or in folders in it, are of no class: not learned, but used to measure `unknown`."""

_LABELS_FILE: Final = "labels.json"
_LABELS_FILE_BYTES: Final = 1 << 20
_CLUTTER: Final = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_ARCHIVES: Final = {".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst"}
_NO_PICTURES: Final = {
    ".avi", ".cfg", ".csv", ".db", ".doc", ".docx", ".exe", ".h5", ".htm", ".html", ".ini", ".ipynb", ".js", ".json",
    ".log", ".m4a", ".mat", ".md", ".mov", ".mp3", ".mp4", ".npy", ".npz", ".parquet", ".pdf", ".pkl", ".pt", ".pth",
    ".py", ".rst", ".rtf", ".sh", ".toml", ".tsv", ".txt", ".url", ".wav", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
}  # fmt: skip
# zipfile hands bzip2 and LZMA a whole member at once and bounds the output of neither: 10 MiB could become terabytes.
_BOUNDED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UTF8_NAME: Final = 0x800
_ENCRYPTED: Final = 0x1
# What zipfile raises for members that are not what the directory says.
_UNREADABLE: Final = (
    EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class DatasetError(ValueError):
    """The archive cannot be used at all; the message is for a person."""


class NotEnoughImagesError(ValueError):
    """Fewer classes, or fewer pictures of one, than anything can be learned from; `counts` holds all classes."""

    def __init__(self, message: str, counts: Mapping[str, int]) -> None:
        super().__init__(message)
        self.counts = counts


@dataclass(frozen=True)
class DatasetLimits:
    """`max_entries` are all in the zip, folders too; `max_unpacked_bytes` is of the pictures, as declared."""

    max_entries: int = 20_000
    max_unpacked_bytes: int = 1 << 30
    max_picture_bytes: int = 10 << 20
    min_pictures: int = 2
    max_classes: int = 1000


DEFAULT_LIMITS: Final = DatasetLimits()


@dataclass(frozen=True)
class Entry:
    """`name` is unique in the archive; `group` is its folder in `_strangers`, where one is; `index` is ours."""

    label: str
    name: str
    index: int
    group: str | None = None


@dataclass(frozen=True)
class Skipped:
    name: str
    reason: str


class Archive:
    """An opened zip of labelled pictures; use it in a `with`.

    Opening reads the central directory only. `entries` and `out_of_distribution` are ordered by label and name,
    however the zip orders them. `displays` and `zero_shot` come from an optional `labels.json` at the top:
    names for people, and the ImageNet labels or indices that make up a class. Raises `DatasetError`.
    """

    def __init__(self, file: Path | BinaryIO, limits: DatasetLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        with ExitStack() as opened:
            stream = opened.enter_context(file.open("rb")) if isinstance(file, Path) else file
            self._zip = opened.enter_context(_open(stream, limits.max_entries))
            self._members = self._zip.infolist()
            self._list()
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def check(self) -> None:
        """Raises `NotEnoughImagesError`."""
        least = self._limits.min_pictures
        if len(self.counts) < 2:
            found = _listed(self.counts) or "none"
            raise NotEnoughImagesError(
                f"At least two classes (folders with pictures) are needed; found: {found}.", self.counts
            )
        if few := {label: count for label, count in self.counts.items() if count < least}:
            raise NotEnoughImagesError(
                f"Every class needs at least {least} pictures; too few: {_listed(few)}.", self.counts
            )

    def read(self, entry: Entry) -> bytes:
        """The file's bytes, as many as it declared; raises `InvalidImageError`."""
        member = self._members[entry.index]
        try:
            with self._zip.open(member) as file:
                data = file.read(member.file_size + 1)  # without a size zipfile would inflate without a bound
        except _UNREADABLE as error:
            raise InvalidImageError(f"This file cannot be read from the archive: {error}") from error
        if len(data) != member.file_size:
            raise InvalidImageError(f"The archive declares {member.file_size:,} bytes, but holds {len(data):,}.")
        return data

    def _list(self) -> None:
        paths = {index: _path(member) for index, member in enumerate(self._members) if not _is_folder(member)}
        paths = {index: path for index, path in paths.items() if path.parts and not _is_clutter(path)}
        if paths and all(self._members[index].flag_bits & _ENCRYPTED for index in paths):
            raise DatasetError("The archive is encrypted; make one without a password.")
        labels_file = _labels_file(paths)
        skipped: list[Skipped] = []
        found: list[int] = []
        for index, path in paths.items():
            reason = _unsuitable(path, self._members[index], self._limits.max_picture_bytes)
            if reason and index != labels_file:
                skipped.append(Skipped(presentable(str(path)), presentable(reason)))
            elif index != labels_file:
                found.append(index)
        found.sort(key=lambda index: (str(paths[index]), self._members[index].CRC))
        entries = _with_unique_names([_entry(paths[index], index) for index in found])
        self.entries = tuple(entry for entry in entries if entry.group is None)
        self.out_of_distribution = tuple(entry for entry in entries if entry.group is not None)
        self.counts: Mapping[str, int] = dict(Counter(entry.label for entry in self.entries))
        self.labels = tuple(self.counts)
        self._check_limits(found)
        self._name_classes(labels_file, skipped)
        self.skipped = tuple(skipped)

    def _check_limits(self, found: Iterable[int]) -> None:
        size, most = sum(self._members[index].file_size for index in found), self._limits.max_unpacked_bytes
        if size > most:
            raise DatasetError(f"The pictures unpack to {_mebibytes(size)}; at most {_mebibytes(most)} are accepted.")
        if len(self.labels) > self._limits.max_classes:
            raise DatasetError(f"There are {len(self.labels):,} classes; at most {self._limits.max_classes:,} may be.")

    def _name_classes(self, labels_file: int | None, skipped: list[Skipped]) -> None:
        names: list[ClassNames] = []
        if labels_file is not None:
            try:
                names = self._read_names(labels_file)
            except ClassNameError as error:
                raise DatasetError(f"{_LABELS_FILE}: {error}") from None
            except (ValueError, RecursionError) as error:
                skipped.append(Skipped(_LABELS_FILE, f"The names of the classes cannot be read: {error}"))
        if unknown := [label for label, _, _ in names if label not in self.counts]:
            skipped.append(Skipped(_LABELS_FILE, f"Of these classes there are no pictures: {_shortened(unknown)}"))
        names = [named for named in names if named[0] in self.counts]
        self.displays: Mapping[str, Mapping[str, str]] = {label: display for label, display, _ in names if display}
        self.zero_shot: Mapping[str, tuple[str | int, ...]] = {label: parts for label, _, parts in names if parts}

    def _read_names(self, labels_file: int) -> list[ClassNames]:
        if self._members[labels_file].file_size > _LABELS_FILE_BYTES:
            raise ValueError(f"The file is larger than {_mebibytes(_LABELS_FILE_BYTES)}.")
        return list(read_class_names(json.loads(self.read(Entry("", _LABELS_FILE, labels_file)))))


def _open(stream: BinaryIO, max_entries: int) -> zipfile.ZipFile:
    try:
        if not _has_more_entries(stream, max_entries):
            return zipfile.ZipFile(stream)
    except _UNREADABLE as error:
        raise DatasetError(f"This is not a whole zip archive: {error}") from error
    raise DatasetError(f"The archive has more than {max_entries:,} entries (files and folders).")


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


def _path(member: zipfile.ZipInfo) -> PurePosixPath:
    """macOS and many programs write UTF-8 without saying so, and some write decomposed letters or backslashes."""
    name = member.filename
    if not member.flag_bits & _UTF8_NAME:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/"))


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(("/", "\\"))


def _is_clutter(path: PurePosixPath) -> bool:
    return any(part in _CLUTTER or (part.startswith(".") and part != "..") for part in path.parts)


def _labels_file(paths: Mapping[int, PurePosixPath]) -> int | None:
    """The `labels.json` at the top, or else directly in the one folder that holds everything."""
    tops = {path.parts[0] for path in paths.values() if len(path.parts) > 1} - {STRANGERS}
    wanted = [PurePosixPath(_LABELS_FILE)]
    if len(tops) == 1:
        wanted.append(PurePosixPath(*tops, _LABELS_FILE))
    by_path = {path: index for index, path in paths.items()}
    return next((by_path[path] for path in wanted if path in by_path), None)


def _unsuitable(path: PurePosixPath, member: zipfile.ZipInfo, max_bytes: int) -> str | None:
    """Why a file cannot be a labelled picture."""
    label, group = _label_and_group(path)
    folder = label if group is None else group
    reasons = {
        "It is a link.": stat.S_ISLNK(member.external_attr >> 16),
        "Its path leads out of the archive.": path.is_absolute() or ".." in path.parts or path.parts[0][1:2] == ":",
        "It is in no folder, so that it has no label.": len(path.parts) < 2,
        "Its folder's name is no label (1 to 100 printable characters).": not is_class_name(folder),
        "It is an archive in the archive.": path.suffix.lower() in _ARCHIVES,
        f"{path.suffix} files are no pictures.": path.suffix.lower() in _NO_PICTURES,
        "It is encrypted.": bool(member.flag_bits & _ENCRYPTED),
        "It is compressed in an unusual way (neither stored nor deflated).": member.compress_type not in _BOUNDED,
        f"It is larger than {_mebibytes(max_bytes)}.": member.file_size > max_bytes,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _label_and_group(path: PurePosixPath) -> tuple[str, str | None]:
    folders = [folder.strip() for folder in path.parts[:-1]]
    if STRANGERS in folders:
        return STRANGERS, next(iter(folders[folders.index(STRANGERS) + 1 :]), STRANGERS)
    return folders[-1] if folders else "", None


def _entry(path: PurePosixPath, index: int) -> Entry:
    label, group = _label_and_group(path)
    folder = label if group in (None, STRANGERS) else f"{label}/{group}"
    return Entry(label, f"{folder}/{presentable(path.name)}", index, group)


def _with_unique_names(entries: Sequence[Entry]) -> list[Entry]:
    """Sorted; `cat/1.jpg` of `test` and of `train` become `cat/1.jpg` and `cat/1 (2).jpg`."""
    taken = {entry.name for entry in entries}
    seen: Counter[str] = Counter()
    unique = []
    for entry in entries:
        name = entry.name
        seen[entry.name] += 1
        while seen[entry.name] > 1 and name in taken:
            path = PurePosixPath(entry.name)
            name = str(path.with_name(f"{path.stem} ({seen[entry.name]}){path.suffix}"))
            seen[entry.name] += name in taken
        taken.add(name)
        unique.append(entry if name == entry.name else replace(entry, name=name))
    return sorted(unique, key=lambda entry: (entry.label, entry.name))


def _listed(counts: Mapping[str, int]) -> str:
    return _shortened([f"{label} ({count})" for label, count in counts.items()])


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
