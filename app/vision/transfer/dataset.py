"""What an archive of labelled pictures is made of, how large it may be, and why it cannot be used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.vision.labels import presentable

Part = Literal["learning", "validation", "test"]
"""What a picture is for: to be learned from, to choose by, or to judge in the end."""

STRANGERS: Final = "_strangers"
"""Pictures in this folder, or in folders in it, are of no class: not learned, but used to measure `unknown`."""


class DatasetError(ValueError):
    """The archive cannot be used at all; the message is for a person, and shows names of files as they can be shown."""

    def __init__(self, message: str) -> None:
        super().__init__(presentable(message))


class NotEnoughImagesError(ValueError):
    """Fewer classes, or fewer pictures of one, than anything can be learned from; `counts` holds all classes."""

    def __init__(self, message: str, counts: Mapping[str, int]) -> None:
        super().__init__(message)
        self.counts = counts


@dataclass(frozen=True)
class DatasetLimits:
    """`max_entries` are all in the archive, folders too; `max_unpacked_bytes` is of the pictures, as declared."""

    max_entries: int = 20_000
    max_unpacked_bytes: int = 1 << 30
    max_picture_bytes: int = 10 << 20
    min_pictures: int = 2
    max_classes: int = 1000


@dataclass(frozen=True)
class Entry:
    """`name` is unique in the archive; `group` is its folder in `_strangers`, where one is; `index` is ours."""

    label: str
    name: str
    index: int
    group: str | None = None
    part: Part = "learning"


@dataclass(frozen=True)
class Skipped:
    name: str
    reason: str


def listed(counts: Mapping[str, int]) -> str:
    """`cat (20), dog (18)`, of which the first twenty."""
    return shortened([f"{label} ({count:,})" for label, count in counts.items()])


def shortened(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def joined(names: Iterable[str]) -> str:
    """`cat, dog and fish`, of which the first few; nothing of none."""
    *most, last = tuple(names) or ("",)
    if len(most) > 6:
        return f"{', '.join(most[:6])} and {len(most) - 5:,} more"
    return " and ".join(filter(None, (", ".join(most), last)))


def mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
