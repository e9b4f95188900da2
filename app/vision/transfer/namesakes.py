"""How people call the classes that were taught, and which classes of ImageNet they are made of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.vision.labels import Labels
from app.vision.transfer.archive import Archive


@dataclass(frozen=True)
class ClassLabels:
    """Of the classes: how people call them, and which of ImageNet's classes they are made of."""

    displays: Mapping[str, Mapping[str, str]]
    members: Mapping[str, Sequence[int]]
    told: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    """The members that somebody wrote down, and not those that were found by name."""


def class_labels(archive: Archive, imagenet: Labels) -> ClassLabels:
    """As the archive says, else as ImageNet's class of the same name is called."""
    displays: dict[str, Mapping[str, str]] = {}
    members: dict[str, Sequence[int]] = {}
    for name in archive.labels:
        own = _namesake(name, imagenet)
        displays[name] = archive.displays.get(name) or (imagenet[own[0]].display if own else {})
        members[name] = members_of(name, archive.zero_shot, imagenet)
    return ClassLabels({name: display for name, display in displays.items() if display}, members, archive.zero_shot)


def members_of(name: str, told: Mapping[str, Sequence[str | int]], imagenet: Labels) -> Sequence[int]:
    """Of ImageNet's classes: those that somebody wrote down, or else the namesake."""
    found = [index for one in told.get(name, ()) for index in _member(str(one), imagenet)]
    return found or _namesake(name, imagenet)


def _namesake(name: str, imagenet: Labels) -> Sequence[int]:
    """Of a folder, for which `7` and the `80s` are names and no indices."""
    return [] if name.removesuffix("s").isdigit() else _member(name, imagenet)


def _member(name: str, imagenet: Labels) -> Sequence[int]:
    """The class of ImageNet that is called so, or has this index; `bees` are `bee`."""
    for spelled in (name.replace("_", " "), name.removesuffix("s")):
        if found := imagenet.get(spelled):
            return [found.index]
    return []


def labels_file(classes: Sequence[str], names: ClassLabels) -> bytes:
    """A line for each class."""
    lines = []
    for name in classes:
        record: dict[str, Any] = {"label": name, "display": dict(names.displays.get(name, {}))}
        if name in names.told:
            record["imagenet"] = list(names.told[name])
        lines.append(json.dumps(record, ensure_ascii=False))
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()
