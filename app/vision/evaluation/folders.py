"""Which classes of a model count as right for the pictures of a folder."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from app.vision.labels import Labels, UnknownLabelError
from app.vision.taxonomy import children_of
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import DatasetLimits, Entry, NotEnoughImagesError, joined
from app.vision.words import forms, normalized, words_of

STRANGERS: Final = ("_strangers", "unknown", "bilinmeyen")
"""Folders of pictures that are of none of the classes, unless a class of the model is called so."""
How = Literal["told", "class", "form", "kind"]


class AmbiguousFolderError(ValueError):
    """What a folder's pictures show can be understood in two ways."""


@dataclass(frozen=True)
class FolderMeaning:
    """`classes` are indices of the model's: it was told so, or the folder is called as a class, as a form of its name
    (`cats`), or as a kind of things that they are of.
    """

    folder: str
    classes: tuple[int, ...]
    how: How


@dataclass(frozen=True)
class Judging:
    """The pictures of an archive: `labelled` are asked about, `listed` have no label, `strangers` are of no class;
    `left` are parts of a set that were to learn from.
    """

    labelled: tuple[Entry, ...]
    listed: tuple[Entry, ...]
    strangers: tuple[Entry, ...]
    left: tuple[Entry, ...]
    meanings: tuple[FolderMeaning, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All that are looked at."""
        return (*self.labelled, *self.listed, *self.strangers)


def strangers_for(labels: Labels) -> tuple[str, ...]:
    """The names of folders whose pictures are of none of these classes."""
    return tuple(name for name in STRANGERS if labels.get(name) is None)


def check_folders(
    path: Path, limits: DatasetLimits, labels: Labels, told: Mapping[str, Sequence[str]], rival: Labels | None
) -> None:
    """Raises `DatasetError`, or what `judging` raises; `rival` are the classes of a second model."""
    with Archive(path, limits, scratch=path.parent, strangers=strangers_for(labels)) as archive:
        found = judging(archive, labels, told)
        if rival:
            understood_by_rival(found.meanings, rival, told)


def judging(archive: Archive, labels: Labels, told: Mapping[str, Sequence[str]]) -> Judging:
    """Of a set with a test part that part. Raises `UnknownLabelError`, `AmbiguousFolderError`, or
    `NotEnoughImagesError` if there is no picture at all.
    """
    parts = {entry.part for entry in archive.entries}
    chosen = [entry for entry in archive.entries if "test" not in parts or entry.part == "test"]
    left = tuple(entry for entry in archive.entries if "test" in parts and entry.part != "test")
    listed = archive.unplaced
    try:
        meanings = understood(sorted({entry.label for entry in chosen}), labels, told)
    except UnknownLabelError:
        if archive.layout.name != "file-names" or told:  # else names like scan_1.jpg are just names
            raise
        chosen, listed, meanings = [], (*listed, *chosen), ()
    found = Judging(tuple(chosen), listed, archive.out_of_distribution, left, meanings)
    if not found.entries:
        why = f" {archive.skipped[0].name} was left out: {archive.skipped[0].reason}" if archive.skipped else ""
        raise NotEnoughImagesError(f"There is no picture in the archive.{why}", {})
    return found


def understood(folders: Sequence[str], labels: Labels, told: Mapping[str, Sequence[str]]) -> tuple[FolderMeaning, ...]:
    """What each folder's pictures show. Raises `UnknownLabelError` or `AmbiguousFolderError`, which say what to do."""
    if missing := [name for name in told if name not in folders]:
        there = joined(folders) or "none"
        raise UnknownLabelError(f"There is no folder {missing[0]!r}, for which classes were told; found: {there}.")
    found = tuple(_told(name, told[name], labels) if name in told else _meaning(name, labels) for name in folders)
    _refuse_overlap(found, labels)
    return found


def understood_by_rival(
    meanings: Sequence[FolderMeaning], labels: Labels, told: Mapping[str, Sequence[str]]
) -> tuple[FolderMeaning, ...]:
    """Of the same folders for another model, which may not have the classes that were told. Raises as `understood`."""
    folders = [one.folder for one in meanings]
    try:
        return understood(folders, labels, told)
    except UnknownLabelError:
        if not told:
            raise
    return understood(folders, labels, {})


def _told(folder: str, names: Iterable[str], labels: Labels) -> FolderMeaning:
    classes: dict[int, None] = {}
    for name in names:
        kind = children_of(name) if labels.is_imagenet and labels.get(name) is None else ()
        classes |= dict.fromkeys(kind or (labels.find(name).index,))
    return FolderMeaning(folder, tuple(classes), "told")


def _meaning(folder: str, labels: Labels) -> FolderMeaning:
    spelled = folder if labels.get(folder) else " ".join(folder.replace("_", " ").replace("-", " ").split())
    named = _named(spelled, labels)
    kind = children_of(spelled) if labels.is_imagenet else ()
    if kind and set(named) <= set(kind):
        return FolderMeaning(folder, kind, "kind")
    if kind or len(named) > 1:
        raise _ambiguous(folder, (*named, *kind[:3]), labels)
    if named:
        return FolderMeaning(folder, named, "class")
    alike = _alike(spelled, labels)
    if len(alike) > 1:
        raise _ambiguous(folder, alike, labels)
    if alike:
        return FolderMeaning(folder, alike, "form")
    raise _unknown(folder, spelled, labels)


def _named(name: str, labels: Labels) -> tuple[int, ...]:
    """The classes that are called so; numbers are names here, and no indices."""
    wanted = normalized(name)
    return tuple(
        one.index for one in labels if wanted in {normalized(text) for text in (one.label, *one.display.values())}
    )


def _alike(name: str, labels: Labels) -> tuple[int, ...]:
    """The classes of whose names this is a form."""
    words = words_of(name)
    return tuple(
        one.index
        for one in labels
        if any(_is_form(words, words_of(text)) for text in (one.label, *one.display.values()))
    )


def _is_form(words: Sequence[str], others: Sequence[str]) -> bool:
    return (
        0 < len(words) == len(others)
        and words[:-1] == others[:-1]
        and any(forms(words[-1], language) & forms(others[-1], language) for language in ("en", "tr"))
    )


def _unknown(folder: str, spelled: str, labels: Labels) -> UnknownLabelError:
    suggestions: Sequence[str] = ()
    try:
        labels.find(spelled)
    except UnknownLabelError as error:
        suggestions = error.suggestions
    return UnknownLabelError(
        f"No class of the model is called as the folder {folder!r}, and no kind of things that it knows. Say which "
        f"classes count as right with labels={folder}=…, or call the folder unknown if its pictures are of none.",
        suggestions,
    )


def _ambiguous(folder: str, classes: Iterable[int], labels: Labels) -> AmbiguousFolderError:
    names = joined(dict.fromkeys(f"{labels[index].label!r}" for index in classes))
    return AmbiguousFolderError(
        f"The folder {folder!r} can mean {names}. Say which classes count as right with labels={folder}=…"
    )


def _refuse_overlap(found: Sequence[FolderMeaning], labels: Labels) -> None:
    often = Counter(index for one in found for index in one.classes)
    for index, number in often.items():
        if number > 1:
            both = joined(repr(one.folder) for one in found if index in one.classes)
            raise AmbiguousFolderError(
                f"The class {labels[index].label!r} would count as right for the folders {both}. Send one of them, or "
                "say with labels=folder=… which classes belong to which."
            )
