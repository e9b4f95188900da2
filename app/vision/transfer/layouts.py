"""How the files of an archive say what each picture shows: by folders, by their names, in a table, or as a project."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final, Literal

from app.vision.labels import presentable
from app.vision.transfer.class_names import class_in_name
from app.vision.transfer.dataset import DatasetError, Part, joined, listed
from app.vision.transfer.folder_tree import Folder
from app.vision.transfer.label_table import LabelTable, PlacedTable
from app.vision.transfer.split_names import part_of

LayoutName = Literal["folders", "file-names", "table", "teachable-machine"]

_PROJECT: Final = "-!-"
"""Teachable Machine's files are called `Class 1-!-0.jpg`."""
_SURE: Final = 0.9
"""The share of the files in a folder that must be named after classes for that to be how they are read."""
_STRAYS: Final = 0.1
"""The share of pictures that may lie above the classes' folders, and are left out."""
_NAMED: Final = 0.25
"""The share of the pictures that a table about them names, at least: Kaggle's leave out the test pictures."""
_NO_FOLDER: Final = "It is in no folder, so that it has no label."
_BESIDE: Final = "It lies beside the folders of the classes and in none of them, so that it has no label."
_NO_NUMBER: Final = "Its name is no class with a number, as the others' are."


@dataclass(frozen=True)
class Placed:
    """What a picture shows and is for; `folder` is the one of its part, where there are parts."""

    label: str
    part: Part = "learning"
    folder: str = ""


@dataclass(frozen=True)
class Layout:
    """`places` are the pictures' in their order; a text says why one has none. `detail` is for a person."""

    name: LayoutName
    detail: str
    places: Sequence[Placed | str]
    table: PurePosixPath | None = None
    missing: str = ""
    """Files that the table names and the archive does not have."""


def read_layout(paths: Sequence[PurePosixPath], tables: Sequence[LabelTable] = ()) -> Layout:
    """Of pictures at these paths. Raises `DatasetError`, with both readings, where there is more than one."""
    reading = _Reading(paths)
    if sum(_PROJECT in path.name for path in paths) > len(paths) / 2:
        return reading.project()
    placed = [PlacedTable(table, paths) for table in tables]
    placed = [one for one in placed if len(one.labels) >= max(1, _NAMED * len(paths))]
    if len(placed) > 1:
        one, other = (one.table.path for one in placed[:2])
        raise DatasetError(
            f"The archive can be read in two ways: {one} says what the pictures show, or {other} does. "
            "Leave one of them out."
        )
    return reading.with_table(placed[0]) if placed else reading.by_folders_or_names()


class _Reading:
    def __init__(self, paths: Sequence[PurePosixPath]) -> None:
        self._paths = paths
        self._places: dict[int, Placed | str] = {}
        self._top = Folder.tree(paths)

    def project(self) -> Layout:
        for index, path in enumerate(self._paths):
            label, mark, _ = path.name.rpartition(_PROJECT)
            self._places[index] = Placed(label.strip()) if mark else "It is of no class of the project."
        return self._layout(
            "teachable-machine",
            f"a Teachable Machine project, in which the class is what stands before {_PROJECT} in a file's name",
        )

    def with_table(self, placed: PlacedTable) -> Layout:
        """The table, unless folders say something else."""
        table, folders = placed.table, self._folders_alone()
        parts = {part for _, part in placed.labels.values() if part}
        agree = folders is not None and _agree(folders.places, placed)
        if folders and agree and len(parts) < 2:
            return folders
        for index, path in enumerate(self._paths):
            label, part = placed.labels.get(index, ("", None))
            folder = next((name for name in path.parts[:-1] if part_of(name)), "")
            place = Placed(label, part or part_of(folder) or "learning", "" if part else folder)
            self._places[index] = place if label else f"{table.path.name} does not name it."
        self._settle()
        if folders and not agree:
            raise DatasetError(
                f"The archive can be read in two ways: the classes are the folders ({_told(folders.places)}), or "
                f"{table.path.name} says them ({_told(list(self._places.values()))}). Leave the table out to take "
                "the folders, or put all pictures into one folder to take the table."
            )
        one, other = table.columns
        how = f"{table.path.name}, whose column {one} names the files and {other} the classes"
        return replace(self._layout("table", how), table=table.path, missing=placed.missing)

    def by_folders_or_names(self) -> Layout:
        top = self._below(self._top)
        if parts := self._parts(top):
            return self._of_parts(parts)
        kind = self._label(top, "learning", "")
        return self._layout(kind, _HOW[kind])

    def _folders_alone(self) -> Layout | None:
        """The reading without a table, where folders are the classes."""
        try:
            found = _Reading(self._paths).by_folders_or_names()
        except DatasetError:
            return None
        labels = {one.label for one in found.places if isinstance(one, Placed)}
        return found if found.name == "folders" and len(labels) > 1 else None

    def _below(self, folder: Folder) -> Folder:
        """The one that holds all others, `cats-dogs` of `data/cats-dogs/cat`; what lies beside it is left out."""
        strays: list[int] = []
        while len(folder.folders) == 1:
            (inner,) = folder.folders.values()
            if len(folder.files) > _STRAYS * (len(folder.files) + inner.count()):
                break
            strays += folder.files
            folder = inner
        for index in strays:
            self._places[index] = _BESIDE if len(self._paths[index].parts) > 1 else _NO_FOLDER
        return folder

    def _parts(self, top: Folder) -> list[tuple[Part, Folder]]:
        """`train`, `val` and `test` with what is in them; or none, if the folders are called anything else."""
        called = {name: part_of(name) for name in top.folders}
        known = {name: part for name, part in called.items() if part}
        if len(set(known.values())) < 2:
            return self._turned(top) if not known else []
        if others := [name for name in called if name not in known]:
            raise DatasetError(
                f"The archive can be read in two ways: {joined(known)} are parts of one set and {joined(others)} is "
                f"to be left out, or each of these folders is a class. Found: {top.outline()}. Send the folders "
                f"{joined(known)} alone, or the folders of the classes alone."
            )
        found = [(part, top.folders[name]) for name, part in known.items()]
        self._check_parts([(part, folder.name) for part, folder in found])
        for index in top.files:
            self._places[index] = _BESIDE
        return found

    def _turned(self, top: Folder) -> list[tuple[Part, Folder]]:
        """`cat/train`, `cat/test`, `dog/train` … as `train/cat` and so on."""
        found = top.turned()
        named = [(part, folder) for name, folder in found.items() if (part := part_of(name))]
        direct = any(outer.files or not outer.folders for outer in top.folders.values())
        deeper = any(inner.folders for outer in top.folders.values() for inner in outer.folders.values())
        if direct or deeper or len(named) < max(2, len(found)):
            return []
        self._check_parts([(part, folder.name) for part, folder in named])
        for index in top.files:
            self._places[index] = _BESIDE
        return named

    def _check_parts(self, parts: Sequence[tuple[Part, str]]) -> None:
        names: dict[Part, list[str]] = {}
        for part, name in parts:
            names.setdefault(part, []).append(name)
        if twice := next((named for named in names.values() if len(named) > 1), None):
            raise DatasetError(
                f"The folders {joined(twice)} are called alike: both could be the same part. Put one of them away."
            )
        if "learning" not in names:
            raise DatasetError(
                f"There are {joined(name for _, name in parts)}, but no folder to learn from: call it train or eğitim."
            )

    def _of_parts(self, parts: Sequence[tuple[Part, Folder]]) -> Layout:
        kinds: dict[str, LayoutName] = {}
        known: set[str] = set()
        for part, folder in sorted(parts, key=_order):
            top = self._below(folder)
            if not top.folders and not self._named(top.files) and top.name not in known:
                if part != "learning":  # as Kaggle's, whose classes only the jury knows
                    unsaid = f"{folder.name} does not say what its pictures show."
                    self._places |= dict.fromkeys(top.files, unsaid)
                    continue
                if top is folder:
                    self._refuse_bare(parts)
            kinds[folder.name] = self._label(top, part, folder.name)
            known |= {one.label for one in self._places.values() if isinstance(one, Placed)}
        if len(set(kinds.values())) > 1:
            told = " and ".join(f"{name} by {kind}" for name, kind in kinds.items())
            raise DatasetError(f"The parts do not say their classes alike ({told}): lay them out in the same way.")
        self._settle()
        kind = next(iter(kinds.values()))
        return self._layout(kind, _HOW[kind])

    def _refuse_bare(self, parts: Sequence[tuple[Part, Folder]]) -> None:
        raise DatasetError(
            f"The archive can be read in two ways: {joined(folder.name for _, folder in parts)} are parts of one set, "
            f"whose pictures have no class, or they are classes. Found: {self._top.outline()}. Put a folder for each "
            "class into each part, or call the folders after what they show."
        )

    def _label(self, top: Folder, part: Part, folder: str) -> LayoutName:
        """Give the pictures in this folder their classes."""
        if not top.folders:
            return self._label_flat(top, part, folder)
        if nested := [one for one in top.folders.values() if one.folders]:
            self._refuse_nested(top, nested)
        for index in top.files:
            self._places[index] = _BESIDE if len(self._paths[index].parts) > 1 else _NO_FOLDER
        for name, inner in top.folders.items():
            for index in inner.files:
                self._places[index] = Placed(name.strip(), part, folder)
        return "folders"

    def _label_flat(self, top: Folder, part: Part, folder: str) -> LayoutName:
        named = self._named(top.files)
        for index in top.files:
            if named:
                label = named.get(index)
                self._places[index] = Placed(label, part, folder) if label else _NO_NUMBER
            else:
                self._places[index] = Placed(top.name.strip(), part, folder) if top.name else _NO_FOLDER
        return "file-names" if named else "folders"

    def _named(self, files: Sequence[int]) -> dict[int, str]:
        """The classes in names like `Abyssinian_12.jpg` and `cat.0.jpg`; none, unless nearly all have one."""
        found = {index: label for index in files if (label := class_in_name(self._paths[index].stem))}
        often = Counter(found.values())
        repeated = sum(count for count in often.values() if count > 1)
        return found if len(often) > 1 and repeated >= _SURE * len(files) else {}

    def _refuse_nested(self, top: Folder, nested: Sequence[Folder]) -> None:
        inner = sorted({folder.name for one in nested for folder in one.folders.values()})
        raise DatasetError(
            f"The archive can be read in two ways: the {len(top.folders)} folders {joined(top.folders)} are the "
            f"classes, or the folders in them ({joined(inner)}) are classes of their own. Found: {top.outline()}. "
            "Put all pictures of a class directly into one folder, and these folders side by side."
        )

    def _settle(self) -> None:
        """The last of the parts judges: without a test set that is what would have chosen. One alone is no part."""
        parts = {one.part for one in self._places.values() if isinstance(one, Placed)}
        for index, one in self._places.items():
            if isinstance(one, Placed) and len(parts) < 2:
                self._places[index] = Placed(one.label)
            elif isinstance(one, Placed) and one.part == "validation" and "test" not in parts:
                self._places[index] = Placed(one.label, "test", one.folder)

    def _layout(self, name: LayoutName, how: str) -> Layout:
        places = [self._places[index] for index in range(len(self._paths))]
        return Layout(name, presentable(f"Read as {how}: {_told(places)}."), places)


_USES: Final[dict[Part, str]] = {
    "learning": "{} is learned from",
    "validation": "{} chooses",
    "test": "{} judges and is not learned from",
}
_WORDS: Final[dict[Part, str]] = {"learning": "train", "validation": "val", "test": "test"}
_HOW: Final[dict[LayoutName, str]] = {
    "folders": "a folder for each class",
    "file-names": "pictures whose names are their class and a number",
}


def _told(places: Iterable[Placed | str]) -> str:
    """The classes, and what each part is for."""
    placed = [one for one in places if isinstance(one, Placed)]
    classes = listed(dict(sorted(Counter(one.label for one in placed).items())))
    uses = Counter((one.part, one.folder or _WORDS[one.part]) for one in placed)
    if len(uses) < 2:
        return classes or "no class"
    parts = [f"{_USES[part].format(name)} ({uses[part, name]:,})" for part, name in sorted(uses, key=_order)]
    return f"{classes}; {', '.join(parts)}"


def _order(use: tuple[Part, object]) -> int:
    return list(_USES).index(use[0])


def _agree(places: Sequence[Placed | str], placed: PlacedTable) -> bool:
    """Whether folders and table divide the pictures alike, whatever they call the classes."""
    pairs = {
        (one.label, placed.labels[index][0])
        for index, one in enumerate(places)
        if isinstance(one, Placed) and index in placed.labels
    }
    return len(pairs) == len({folder for folder, _ in pairs}) == len({label for _, label in pairs})
