"""Labelled pictures out of an archive. Nothing is ever unpacked to a path."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Self

from app.vision.image import InvalidImageError
from app.vision.labels import is_class_name, presentable
from app.vision.transfer.class_names import ClassNameError, ClassNames, read_class_names
from app.vision.transfer.dataset import (
    STRANGERS,
    DatasetError,
    DatasetLimits,
    Entry,
    NotEnoughImagesError,
    Skipped,
    listed,
    mebibytes,
    shortened,
)
from app.vision.transfer.label_table import MAX_BYTES, TABLES, LabelTable, read_table
from app.vision.transfer.layouts import Placed, read_layout
from app.vision.transfer.members import ENCRYPTED, LINK, Member, open_members
from app.vision.words import normalized

_LABELS_FILE: Final = "labels.json"
_MOST_TABLES: Final = 16
_LABELS_FILE_BYTES: Final = 1 << 20
_CLUTTER: Final = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_ARCHIVES: Final = {".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst"}
_NO_PICTURES: Final = {
    ".avi", ".cfg", ".csv", ".db", ".doc", ".docx", ".exe", ".h5", ".htm", ".html", ".ini", ".ipynb", ".js", ".json",
    ".log", ".m4a", ".mat", ".md", ".mov", ".mp3", ".mp4", ".npy", ".npz", ".parquet", ".pdf", ".pkl", ".pt", ".pth",
    ".py", ".rst", ".rtf", ".sh", ".toml", ".tsv", ".txt", ".url", ".wav", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
}  # fmt: skip
_DEEPEST: Final = 32
_NO_LABEL: Final = "The name of its class is no label (1 to 100 printable characters)."
_HOW_TO_SAY_IT: Final = (
    "What pictures show is said by a folder for each class, by names like cat_1.jpg, or by a labels.csv beside them."
)

DEFAULT_LIMITS: Final = DatasetLimits()


class Archive:
    """An opened zip, tar or tar.gz of labelled pictures; use it in a `with`.

    Opening reads the names only. `layout` tells how they say what each picture shows. `entries` and
    `out_of_distribution` (what lies in folders that `strangers` names) are ordered by label and name, however the
    archive orders them; `unplaced` are pictures without a label, `counts` are of those to learn from. `displays` and
    `zero_shot` come from an optional `labels.json` at the top: names for people, and the ImageNet labels or indices
    that make up a class. A tar.gz is inflated to a file without a name in the folder `scratch`, or where the system has
    its temporary files. Raises `DatasetError`.
    """

    def __init__(
        self,
        file: Path | BinaryIO,
        limits: DatasetLimits = DEFAULT_LIMITS,
        *,
        scratch: Path | None = None,
        strangers: Collection[str] = (STRANGERS,),
    ) -> None:
        self._limits = limits
        self._strangers = frozenset(map(normalized, strangers))
        with ExitStack() as opened:
            stream = opened.enter_context(file.open("rb")) if isinstance(file, Path) else file
            self._files = open_members(stream, limits, scratch, opened)
            self._members = self._files.members
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
            first = f" {self.skipped[0].name} was left out: {self.skipped[0].reason}" if self.skipped else ""
            found = listed(self.counts) or f"none.{first}".rstrip(".")
            raise NotEnoughImagesError(
                f"At least two classes (folders with pictures) are needed; found: {found}. {_HOW_TO_SAY_IT}",
                self.counts,
            )
        if few := {label: count for label, count in self.counts.items() if count < least}:
            raise NotEnoughImagesError(
                f"Every class needs at least {least} pictures; too few: {listed(few)}.", self.counts
            )
        if unlearned := sorted({entry.label for entry in self.entries} - set(self.counts)):
            raise NotEnoughImagesError(
                f"There are pictures to judge by, but none to learn from, of these classes: {shortened(unlearned)}.",
                {**self.counts, **dict.fromkeys(unlearned, 0)},
            )

    def read(self, entry: Entry) -> bytes:
        """The file's bytes, as many as it declared; raises `InvalidImageError`. May be called by several threads."""
        return self._files.read(entry.index)

    def _list(self) -> None:
        paths = {index: member.path for index, member in enumerate(self._members)}
        paths = {index: path for index, path in paths.items() if path.parts and not _is_clutter(path)}
        if paths and all(self._members[index].problem == ENCRYPTED for index in paths):
            raise DatasetError("The archive is encrypted; make one without a password.")
        labels_file = self._labels_file(paths)
        most = self._limits.max_picture_bytes
        reasons = {index: self._unsuitable(self._members[index], most) for index in paths if index != labels_file}
        found = sorted(
            (index for index, reason in reasons.items() if reason is None),
            key=lambda index: (str(paths[index]), self._members[index].checksum),
        )
        pictures = [index for index in found if self._group(paths[index]) is None]
        self.layout = read_layout([paths[index] for index in pictures], list(self._tables(paths)))
        self._enter(found, {index: _checked(one) for index, one in zip(pictures, self.layout.places, strict=True)})
        self._check_limits(found)
        reasons |= {index: one for index, one in self._placed.items() if isinstance(one, str)}
        reasons |= {index: self.layout.missing or None for index in reasons if paths[index] == self.layout.table}
        skipped = [Skipped(presentable(str(paths[index])), presentable(why)) for index, why in reasons.items() if why]
        self._name_classes(labels_file, skipped)
        self.skipped = tuple(skipped)

    def _tables(self, paths: Mapping[int, PurePosixPath]) -> Iterator[LabelTable]:
        """Few and small ones: all of them are in memory, before it is known which one tells the labels."""
        number = room = 0
        for index, path in paths.items():
            member = self._members[index]
            if path.suffix.lower() in TABLES and _is_safe(path) and not member.problem and member.size <= MAX_BYTES:
                number, room = number + 1, room + member.size
                if number > _MOST_TABLES or room > MAX_BYTES:
                    raise DatasetError(
                        f"There are more than {_MOST_TABLES} tables, or {mebibytes(MAX_BYTES)} of them: "
                        "leave in the one that tells the labels."
                    )
                with suppress(InvalidImageError):
                    if table := read_table(path, self._files.read(index)):
                        yield table

    def _enter(self, found: Sequence[int], placed: Mapping[int, Placed | str]) -> None:
        """Make entries of the pictures that have a place, and of those of no class."""
        self._placed = placed
        known = {index: one for index, one in placed.items() if isinstance(one, Placed)}
        in_parts = len({one.part for one in known.values()}) > 1
        entries, unplaced = [], []
        for index in found:
            path = self._members[index].path
            if index not in placed:
                entries.append(_stranger(path, index, self._group(path) or STRANGERS))
            elif index not in known:
                unplaced.append(Entry("", presentable(str(path)), index))
            else:
                one = known[index]
                folder = f"{presentable(one.folder) or one.part}/" if in_parts else ""
                entries.append(Entry(one.label, f"{folder}{one.label}/{presentable(path.name)}", index, part=one.part))
        entries = _with_unique_names(entries)
        self.entries = tuple(entry for entry in entries if entry.group is None)
        self.unplaced = tuple(_with_unique_names(unplaced))
        self.out_of_distribution = tuple(entry for entry in entries if entry.group is not None)
        learned = (entry.label for entry in self.entries if entry.part == "learning")
        self.counts: Mapping[str, int] = dict(Counter(learned))
        self.labels = tuple(self.counts)

    def _check_limits(self, found: Iterable[int]) -> None:
        size, most = sum(self._members[index].size for index in found), self._limits.max_unpacked_bytes
        if size > most:
            raise DatasetError(f"The pictures unpack to {mebibytes(size)}; at most {mebibytes(most)} are accepted.")
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
            skipped.append(Skipped(_LABELS_FILE, f"Of these classes there are no pictures: {shortened(unknown)}"))
        names = [named for named in names if named[0] in self.counts]
        self.displays: Mapping[str, Mapping[str, str]] = {label: display for label, display, _ in names if display}
        self.zero_shot: Mapping[str, tuple[str | int, ...]] = {label: parts for label, _, parts in names if parts}

    def _read_names(self, labels_file: int) -> list[ClassNames]:
        if self._members[labels_file].size > _LABELS_FILE_BYTES:
            raise ValueError(f"The file is larger than {mebibytes(_LABELS_FILE_BYTES)}.")
        return list(read_class_names(json.loads(self.read(Entry("", _LABELS_FILE, labels_file)))))

    def _labels_file(self, paths: Mapping[int, PurePosixPath]) -> int | None:
        """The `labels.json` at the top, or else directly in the one folder that holds everything."""
        tops = {path.parts[0] for path in paths.values() if len(path.parts) > 1}
        tops = {name for name in tops if normalized(name) not in self._strangers}
        wanted = [PurePosixPath(_LABELS_FILE)]
        if len(tops) == 1:
            wanted.append(PurePosixPath(*tops, _LABELS_FILE))
        by_path = {path: index for index, path in paths.items()}
        return next((by_path[path] for path in wanted if path in by_path), None)

    def _unsuitable(self, member: Member, max_bytes: int) -> str | None:
        """Why a file cannot be a picture."""
        path, group = member.path, self._group(member.path)
        reasons = {
            LINK: member.problem == LINK,
            "Its path leads out of the archive.": not _is_safe(path),
            f"It lies more than {_DEEPEST} folders deep.": len(path.parts) > _DEEPEST,
            "It is an archive in the archive.": path.suffix.lower() in _ARCHIVES,
            f"{path.suffix} files are no pictures.": path.suffix.lower() in _NO_PICTURES,
            member.problem or "": member.problem is not None,
            f"It is larger than {mebibytes(max_bytes)}.": member.size > max_bytes,
            _NO_LABEL: group is not None and not is_class_name(group),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _group(self, path: PurePosixPath) -> str | None:
        """The folder in the one for pictures of no class, or that one itself; None for all other pictures."""
        folders = _folders(path)
        for depth, name in enumerate(folders):
            if normalized(name) in self._strangers:
                return next(iter(folders[depth + 1 :]), STRANGERS)
        return None


def _is_clutter(path: PurePosixPath) -> bool:
    return any(part in _CLUTTER or (part.startswith(".") and part != "..") for part in path.parts)


def _is_safe(path: PurePosixPath) -> bool:
    return not (path.is_absolute() or ".." in path.parts or path.parts[0][1:2] == ":")


def _checked(placed: Placed | str) -> Placed | str:
    return _NO_LABEL if isinstance(placed, Placed) and not is_class_name(placed.label) else placed


def _folders(path: PurePosixPath) -> list[str]:
    return [folder.strip() for folder in path.parts[:-1]]


def _stranger(path: PurePosixPath, index: int, group: str) -> Entry:
    folder = STRANGERS if group == STRANGERS else f"{STRANGERS}/{group}"
    return Entry(STRANGERS, f"{folder}/{presentable(path.name)}", index, group)


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
