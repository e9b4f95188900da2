"""The models there are: one folder each, read when asked for, so that a new one serves without a restart."""

import difflib
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from app.vision.backbones import BACKBONES, Backbone, find_weights, load_backbone
from app.vision.classifier import Classifier, ModelCard
from app.vision.labels import Labels

log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ORIGINAL: Final = "original"


class UnknownModelError(LookupError):
    """No model has this name; `suggestions` holds the nearest names."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        super().__init__(f"There is no model {name!r}.")
        self.suggestions = tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.4))


class BrokenModelError(RuntimeError):
    """The folder of a model does not hold what its `model.json` promises."""


class ModelRepository:
    """Folders of models, and the ImageNet classifier of every further backbone whose weights are present.

    `<folder>/<name>/model.json` is the card, `labels.json` the classes, and the head is `head.safetensors`
    (`weight`, `bias`) or, with `"head": "original"`, the backbone's own ImageNet head.
    Loaded classifiers are kept; classifiers of one backbone share it. May be used from several threads.
    """

    def __init__(self, folders: Sequence[Path], *, weights_dir: Path | None, device: torch.device) -> None:
        self._folders, self._weights_dir, self.device = tuple(folders), weights_dir, device
        self._classifiers: dict[str, tuple[int, Classifier]] = {}
        self._backbones: dict[str, tuple[Backbone, nn.Linear]] = {}
        self._loading = Lock()

    def cards(self) -> list[ModelCard]:
        """All models, those with a folder first; a broken folder is logged and left out."""
        found: dict[str, ModelCard] = {}
        for _, card in self._readable():
            found.setdefault(card.name, card)
        originals = {card.backbone for card in found.values() if card.original_head}
        for name, backbone in BACKBONES.items():
            if originals and name not in originals and name not in found and find_weights(backbone, self._weights_dir):
                found[name] = ModelCard(
                    name=name,
                    version=1,
                    backbone=name,
                    num_classes=1000,
                    original_head=True,
                    description={
                        "en": f"{name} with its original ImageNet head",
                        "tr": f"Özgün ImageNet başlığıyla {name}",
                    },
                )
        return list(found.values())

    def card(self, name: str) -> ModelCard:
        """Raises `UnknownModelError`, or `BrokenModelError` if the folder is there but cannot be read."""
        if path := self._path(name):
            return self._read_card(path)
        cards = self.cards()
        for card in cards:
            if card.name == name:
                return card
        raise UnknownModelError(name, [card.name for card in cards])

    def labels(self, name: str) -> Labels:
        """The classes of a model, without loading its network."""
        card = self.card(name)
        path = self._path(name) or self._path_of_original()
        return _read_labels(path.with_name("labels.json"), path.stat().st_mtime_ns, card.num_classes)

    def loaded(self, name: str) -> Classifier | None:
        """The classifier if it is loaded and its folder has not changed since; costs one look at the file system."""
        changed, classifier = self._classifiers.get(name, (0, None))
        return classifier if classifier and changed == self._changed(name) else None

    def load(self, name: str) -> Classifier:
        """The classifier on its device; slow the first time. Raises also what `load_backbone` raises."""
        with self._loading:
            if classifier := self.loaded(name):
                return classifier
            card, changed = self.card(name), self._changed(name)
            backbone, original = self._backbone(card.backbone)
            classifier = Classifier(
                card, backbone, self._read_head(name, card, backbone) or original, self.labels(name)
            )
            self._classifiers[name] = changed, classifier
            return classifier

    def _backbone(self, name: str) -> tuple[Backbone, nn.Linear]:
        if name not in self._backbones:
            backbone, original = load_backbone(name, self._weights_dir)
            self._backbones[name] = backbone.to(self.device), original.to(self.device)
        return self._backbones[name]

    def _readable(self) -> Iterator[tuple[Path, ModelCard]]:
        """The cards in the folders, and where they lie; a broken one is logged and left out."""
        for path in (path for folder in self._folders for path in sorted(folder.glob("*/model.json"))):
            try:
                yield path, self._read_card(path)
            except BrokenModelError as error:
                log.warning("%s", error)

    def _path(self, name: str) -> Path | None:
        if not _NAME.fullmatch(name):  # a name is never a path
            return None
        paths = (folder / name / "model.json" for folder in self._folders)
        return next((path for path in paths if path.is_file()), None)

    def _path_of_original(self) -> Path:
        return next(path for path, card in self._readable() if card.original_head)

    def _changed(self, name: str) -> int:
        """When the card was last written; 0 for a model without a folder. On every request's way, hence no `Path`."""
        if not _NAME.fullmatch(name):
            return 0
        for folder in self._folders:
            with suppress(OSError):
                return os.stat(f"{folder}/{name}/model.json").st_mtime_ns  # noqa: PTH116
        return 0

    def _read_card(self, path: Path) -> ModelCard:
        record = _read_json(path)
        try:
            card = ModelCard(
                name=path.parent.name,
                version=int(record.get("version", 1)),
                backbone=str(record["backbone"]),
                num_classes=int(record["num_classes"]),
                original_head=record.get("head") == _ORIGINAL,
                description=dict(record.get("description", {})),
                licence=record.get("licence"),
                source=record.get("source"),
                metrics=dict(record.get("metrics", {})),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenModelError(f"{path} is not a model card: {error!r}") from error
        if card.backbone not in BACKBONES or not _NAME.fullmatch(card.name):
            raise BrokenModelError(
                f"{path} names a backbone or has a name that cannot be: {card.backbone}, {card.name}"
            )
        return card

    def _read_head(self, name: str, card: ModelCard, backbone: Backbone) -> nn.Linear | None:
        path = self._path(name)
        if path is None or card.original_head:
            return None
        file = path.with_name("head.safetensors")
        head = nn.Linear(backbone.card.feature_size, card.num_classes).requires_grad_(requires_grad=False)
        try:
            head.load_state_dict(load_file(file))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise BrokenModelError(f"{file} is not the head of {name}: {error}") from error
        return head.to(self.device)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise BrokenModelError(f"{path} does not hold a JSON object.")
    return record


@lru_cache(maxsize=32)
def _read_labels(path: Path, changed: int, num_classes: int) -> Labels:  # noqa: ARG001 -- `changed` belongs to the key
    try:
        labels = Labels.from_records(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BrokenModelError(f"{path} does not hold labels: {error}") from error
    if len(labels) != num_classes:
        raise BrokenModelError(f"{path} holds {len(labels)} labels for {num_classes} classes.")
    return labels
