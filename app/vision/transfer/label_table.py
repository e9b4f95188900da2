"""Tables beside the pictures that say what each shows: `labels.csv` with a column of files and one of classes."""

import csv
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from app.vision.transfer.dataset import DatasetError, Part, shortened
from app.vision.transfer.split_names import part_of

TABLES: Final = {".csv", ".tsv"}
MAX_BYTES: Final = 4 << 20
_ROWS: Final = 100_000
_FILES: Final = (
    "file", "filename", "file name", "filepath", "path", "image", "image name", "image id", "imageid", "img", "picture",
    "photo", "dosya", "dosya adı", "dosya adi", "yol", "görüntü", "görsel", "resim", "name", "ad", "id",
)  # fmt: skip
"""The surest first: beside a column `file`, `id` is a number."""
_CLASSES: Final = {
    "breed", "category", "class", "class name", "classname", "label", "labels", "species", "tag", "target",
    "cins", "etiket", "kategori", "sınıf", "sinif", "tür",
}  # fmt: skip
_SPLITS: Final = {"part", "set", "split", "subset", "bölüm", "küme"}
_KNOWN: Final = {*_FILES, *_CLASSES, *_SPLITS}


@dataclass(frozen=True)
class LabelTable:
    """`rows` are files, labels and parts (None where the table has none); `columns` the names of the first two."""

    path: PurePosixPath
    columns: tuple[str, str]
    rows: Sequence[tuple[str, str, Part | None]]


def read_table(path: PurePosixPath, data: bytes) -> LabelTable | None:
    """None for a table of something else. Raises `DatasetError` if several columns could be the classes'."""
    text = _decoded(data)
    try:
        cells = [row for row in csv.reader(text.splitlines(), delimiter=_delimiter(text, path.suffix)) if any(row)]
    except csv.Error:
        return None
    if not cells or len(cells) > _ROWS:
        return None
    head = [_column(cell) for cell in cells[0]]
    files = sorted(
        (place for place, name in enumerate(head) if name in _FILES), key=lambda place: _FILES.index(head[place])
    )
    classes = [place for place, name in enumerate(head) if name in _CLASSES and place not in files]
    if len(classes) > 1:
        one, other = (cells[0][place].strip() for place in classes[:2])
        raise DatasetError(
            f"{path.name} can be read in two ways: its column {one!r} holds the classes, or its column {other!r} does. "
            "Leave one of them out, or call it something else."
        )
    if files and classes:
        parts = [place for place, name in enumerate(head) if name in _SPLITS]
        columns = cells[0][files[0]].strip(), cells[0][classes[0]].strip()
        return LabelTable(path, columns, _rows(cells[1:], files[0], classes[0], parts[:1]))
    if all(len(row) == 2 for row in cells) and PurePosixPath(cells[0][0].strip()).suffix:
        return LabelTable(path, ("1", "2"), _rows(cells, 0, 1, []))
    return None


class PlacedTable:
    """What a table says of pictures that lie at these `paths`: by the path, else by the name where it is one file's."""

    def __init__(self, table: LabelTable, paths: Sequence[PurePosixPath]) -> None:
        self.table = table
        places = _places(paths)
        self.labels: dict[int, tuple[str, Part | None]] = {}
        missing: list[str] = []
        for file, label, part in table.rows:
            found = _found(file, table.path.parent, places)
            if not found:
                missing.append(file)
            for index in found:
                if self.labels.setdefault(index, (label, part))[0] != label:
                    raise DatasetError(
                        f"{table.path.name} says of {file} that it is {self.labels[index][0]!r} and {label!r}: "
                        "a picture has one class here; leave out one of the rows."
                    )
        self.missing = f"Of these files there is none: {shortened(missing)}" if missing else ""


def _decoded(data: bytes) -> str:
    """Excel writes UTF-8 with a mark or, in Turkey, Windows-1254."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1254", errors="replace")


def _delimiter(text: str, suffix: str) -> str:
    first = text.partition("\n")[0]
    counts = Counter({mark: first.count(mark) for mark in ",;\t"})
    return "\t" if suffix.lower() == ".tsv" else counts.most_common(1)[0][0]


def _column(cell: str) -> str:
    """Of the heading, also of `SINIF`, which Python makes small in English."""
    name = unicodedata.normalize("NFC", cell).strip().replace("_", " ").replace("-", " ")
    turkish = name.replace("I", "ı").replace("İ", "i").lower()
    return turkish if turkish in _KNOWN else name.lower()


def _rows(
    cells: Sequence[Sequence[str]], file: int, label: int, part: Sequence[int]
) -> list[tuple[str, str, Part | None]]:
    rows = []
    for row in cells:
        texts = [unicodedata.normalize("NFC", cell).strip() for cell in row]
        if len(texts) > max(file, label) and texts[file] and texts[label]:
            named = [texts[place] for place in part if place < len(texts)]
            rows.append((texts[file].replace("\\", "/"), texts[label], part_of(named[0]) if named else None))
    return rows


def _places(paths: Sequence[PurePosixPath]) -> Mapping[str, list[int]]:
    """By the whole path, the name, and both without their ending."""
    places: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        for key in dict.fromkeys((str(path), str(path.with_suffix("")), f"*/{path.name}", f"*/{path.stem}")):
            places.setdefault(key, []).append(index)
    return places


def _found(file: str, folder: PurePosixPath, places: Mapping[str, list[int]]) -> Sequence[int]:
    for key in (str(folder / file), str(PurePosixPath(file))):
        if key in places:
            return places[key]
    named = places.get(f"*/{PurePosixPath(file).name}", [])
    return named if len(named) == 1 else []
