"""The folders of an archive, with the pictures that lie in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from app.vision.transfer.dataset import shortened


@dataclass(eq=False)
class Folder:
    """`files` are the places, in the list that the tree was made of, of the pictures that lie directly in it."""

    path: PurePosixPath
    files: list[int] = field(default_factory=list)
    folders: "dict[str, Folder]" = field(default_factory=dict)

    @classmethod
    def tree(cls, paths: Sequence[PurePosixPath]) -> "Folder":
        top = cls(PurePosixPath())
        for index, path in enumerate(paths):
            folder = top
            for name in path.parts[:-1]:
                folder = folder.folders.setdefault(name, cls(folder.path / name))
            folder.files.append(index)
        return top

    @property
    def name(self) -> str:
        return self.path.name

    def all_folders(self) -> "Iterator[Folder]":
        """This one, and those in it."""
        yield self
        for folder in self.folders.values():
            yield from folder.all_folders()

    def count(self) -> int:
        return sum(len(folder.files) for folder in self.all_folders())

    def outline(self) -> str:
        """`cat/ with 20 pictures, cat/small/ with 3 pictures`, of which the first dozen."""
        found = [(folder.path, len(folder.files)) for folder in self.all_folders() if folder.files]
        return shortened([f"{path}/ with {count:,} picture{'s' * (count != 1)}" for path, count in found], 12)

    def turned(self) -> "dict[str, Folder]":
        """`train/cat`, `test/cat` of `cat/train`, `cat/test`: by the names of the inner folders."""
        found: dict[str, Folder] = {}
        for label, outer in self.folders.items():
            for name, inner in outer.folders.items():
                found.setdefault(name, Folder(self.path / name)).folders[label] = Folder(outer.path, inner.files)
        return found
