"""The models there are: one folder each, read when asked for, so that a new one serves without a restart."""

import difflib
import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

import torch
from torch import nn

from app.vision.classifier import Classifier, ModelCard
from app.vision.labels import Labels
from app.vision.models.model_folder import (
    CARD,
    HEAD,
    LABELS,
    NAME,
    OWN_WEIGHTS,
    BrokenModelError,
    delete,
    file_of,
    publish,
    read_card,
    read_head,
    read_labels,
)
from app.vision.networks.backbones import BACKBONES, Backbone, find_weights, load_backbone

log = logging.getLogger(__name__)

_FRESH_S: Final = 0.2
"""A list of the models is not older where several machines share them: less than a job takes to say that it is done."""

_KEPT_MODELS: Final = 64
"""Heads stay in memory, with the space that tells unknown pictures: 1.4 MB each, and 8 ms to read again."""
_KEPT_NETWORKS: Final = 6
"""Fine-tuned networks stay in memory: 50 MB each in a service, and a second to read and convert again."""


class UnknownModelError(LookupError):
    """No model has this name; `suggestions` holds the nearest names."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        super().__init__(f"There is no model {name!r}.")
        self.suggestions = tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.4))


class ShippedModelError(PermissionError):
    """The model ships with Inkblot, and is not to be changed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The model {name!r} ships with Inkblot.")


class SharedModels(Protocol):
    """Models that several machines share; `trained_dir` of each holds copies of them."""

    def publish(self, name: str, record: Mapping[str, Any], files: Mapping[str, bytes], *, replace: bool) -> int:
        """As `model_folder.publish`, for all machines."""

    def delete(self, name: str) -> None:
        """Also the copy here; the other machines follow."""

    def find(self, name: str) -> None:
        """Copy this model if it is there, but not here. Raises nothing."""

    def pull(self, *, older_than: float = 0.0) -> None:
        """Make the copies equal to the models, unless that was done within these seconds. Raises nothing."""


class ModelRepository:
    """Folders of models (see `model_folder`), and the ImageNet classifier of every further backbone with weights.

    `folders` hold what ships, `trained_dir` what was taught here, or on any machine that has the same `shared` ones.
    Loaded classifiers are kept, of many the ones last used; classifiers of one backbone share it. May be used from
    several threads.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        weights_dir: Path | None,
        device: torch.device,
        trained_dir: Path | None = None,
        shared: SharedModels | None = None,
    ) -> None:
        self._folders = (*folders, trained_dir) if trained_dir else tuple(folders)
        self.trained_dir, self.weights_dir, self.device = trained_dir, weights_dir, device
        self._shared = shared
        # Never changed, but replaced: whoever is just reading one goes on with it.
        self._classifiers: Mapping[str, tuple[int, Classifier]] = {}
        self._backbones: Mapping[str, tuple[Backbone, nn.Linear]] = {}
        self._loading = Lock()
        self._uses = itertools.count()
        self._last_use: dict[str, int] = {}

    def cards(self) -> list[ModelCard]:
        """All models, those with a folder first; a broken folder is logged and left out."""
        self.refresh(older_than=_FRESH_S)
        return self._cards()

    def refresh(self, *, older_than: float = 0.0) -> None:
        """Learn what other machines have taught and deleted, unless that was done within these seconds."""
        if self._shared:
            self._shared.pull(older_than=older_than)

    def _cards(self) -> list[ModelCard]:
        found: dict[str, ModelCard] = {}
        for _, card in self._readable():
            found.setdefault(card.name, card)
        originals = {card.backbone for card in found.values() if card.original_head}
        for name, backbone in BACKBONES.items():
            if originals and name not in originals and name not in found and find_weights(backbone, self.weights_dir):
                found[name] = ModelCard(
                    name=name,
                    version=1,
                    backbone=name,
                    num_classes=1000,
                    original_head=True,
                    description={
                        "en": f"{name} with its original ImageNet head",
                        "tr": f"{name}, ImageNet için eğitilmiş sınıflandırma katmanıyla",
                    },
                )
        return list(found.values())

    def card(self, name: str) -> ModelCard:
        """Raises `UnknownModelError`, or `BrokenModelError` if the folder is there but cannot be read."""
        self._find(name)
        return self._card(name)

    def _card(self, name: str) -> ModelCard:
        if path := self._path(name):
            return self._read_card(path)
        cards = self._cards()
        for card in cards:
            if card.name == name:
                return card
        raise UnknownModelError(name, [card.name for card in cards])

    def labels(self, name: str) -> Labels:
        """The classes of a model, without loading its network."""
        card = self.card(name)
        path = self._path(name) or self._path_of_original()
        file = file_of(path, card.version, LABELS)
        return read_labels(file, path.stat().st_mtime_ns, card.num_classes, is_imagenet=card.original_head)

    def original_labels(self) -> Labels:
        """The classes of ImageNet; raises `BrokenModelError` where no model has its original head."""
        path = self._path_of_original()
        number = self._read_card(path).num_classes
        return read_labels(path.with_name(LABELS), path.stat().st_mtime_ns, number, is_imagenet=True)

    def loaded(self, name: str) -> Classifier | None:
        """The classifier, to be used, if it is loaded and its folder has not changed since; costs one look at the file
        system.
        """
        classifier = self.peek(name)
        if classifier:
            self._last_use[name] = next(self._uses)
        return classifier

    def peek(self, name: str) -> Classifier | None:
        """As `loaded`, for whoever only tells of it."""
        changed, classifier = self._classifiers.get(name, (0, None))
        return classifier if classifier and changed == self.changed(name) else None

    def load(self, name: str) -> Classifier:
        """The classifier on its device; slow the first time. Raises also what `load_backbone` raises."""
        self._find(name)
        with self._loading:
            if classifier := self.loaded(name):
                return classifier
            changed = self.changed(name)  # before the card, so that a newer one is noticed at the next use
            card = self._card(name)
            path = self._path(name)
            backbone, original = self._backbone_of(card, path)
            if path is None or card.original_head:
                classifier = Classifier(card, backbone, original, self.labels(name))
            else:
                head, space = read_head(file_of(path, card.version, HEAD), card, backbone)
                classifier = Classifier(card, backbone, head, self.labels(name), space)
            self._last_use[name] = next(self._uses)
            self._classifiers = self._kept({**self._classifiers, name: (changed, classifier)})
            self._last_use = {one: self._last_use[one] for one in self._classifiers}
            return classifier

    def _kept(self, classifiers: Mapping[str, tuple[int, Classifier]]) -> Mapping[str, tuple[int, Classifier]]:
        """Those that are as they were read, and of them the last that were asked for."""
        kept: dict[str, tuple[int, Classifier]] = {}
        networks = 0
        for name in sorted(classifiers, key=lambda one: self._last_use[one], reverse=True):
            changed, classifier = classifiers[name]
            has_own_network = classifier.backbone.own_weights is not None
            networks += has_own_network
            is_one_too_many = len(kept) == _KEPT_MODELS or (has_own_network and networks > _KEPT_NETWORKS)
            if not is_one_too_many and changed == self.changed(name):
                kept[name] = changed, classifier
        return kept

    def backbone(self, name: str) -> tuple[Backbone, nn.Linear]:
        """A frozen backbone and its ImageNet head, shared by all models that stand on it. Raises as `load_backbone`."""
        with self._loading:
            return self._backbone(name)

    def backbones(self) -> set[Backbone]:
        """Those that are in memory."""
        classifiers = self._classifiers.values()
        return {backbone for backbone, _ in self._backbones.values()} | {one.backbone for _, one in classifiers}

    def file(self, name: str, file: str) -> Path | None:
        """Where this file of a model lies; None for a model without a folder."""
        path = self._path(name)
        return file_of(path, self._read_card(path).version, file) if path else None

    def publish(
        self, name: str, record: Mapping[str, Any], files: Mapping[str, bytes], *, replace: bool = False
    ) -> int:
        """Let a model serve, on every machine that shares the models; `replace` makes its next version.

        Returns the version. Raises `ModelExistsError`.
        """
        if self._shared:
            return self._shared.publish(name, record, files, replace=replace)
        assert self.trained_dir
        return publish(self.trained_dir, name, record, files, replace=replace)

    def delete(self, name: str) -> None:
        """Forget a model that was taught here; raises `UnknownModelError` or `ShippedModelError`."""
        self._find(name)
        path = self._path(name)
        if path is None:
            self._card(name)
            raise ShippedModelError(name)
        if self.trained_dir is None or path.parent.parent != self.trained_dir:
            raise ShippedModelError(name)
        if self._shared:
            self._shared.delete(name)
        else:
            delete(self.trained_dir, name)

    def _find(self, name: str) -> None:
        """It may have been taught on another machine a moment ago."""
        if self._shared and name not in BACKBONES and NAME.fullmatch(name) and not self._path(name):
            self._shared.find(name)

    def _backbone_of(self, card: ModelCard, path: Path | None) -> tuple[Backbone, nn.Linear]:
        own = file_of(path, card.version, OWN_WEIGHTS) if path else None
        if own is None or not own.is_file():
            return self._backbone(card.backbone)
        backbone, original = load_backbone(card.backbone, self.weights_dir, own_weights=own)
        return backbone.to(self.device), original.to(self.device)

    def _backbone(self, name: str) -> tuple[Backbone, nn.Linear]:
        if name not in self._backbones:
            backbone, original = load_backbone(name, self.weights_dir)
            self._backbones = {**self._backbones, name: (backbone.to(self.device), original.to(self.device))}
        return self._backbones[name]

    def _readable(self) -> Iterator[tuple[Path, ModelCard]]:
        """The cards in the folders, and where they lie; a broken one is logged and left out."""
        paths = (path for folder in self._folders for path in sorted(folder.glob(f"*/{CARD}")))
        for path in paths:
            if path.parent.name.startswith("."):  # a draft
                continue
            try:
                yield path, self._read_card(path)
            except BrokenModelError as error:
                log.warning("%s", error)

    def _read_card(self, path: Path) -> ModelCard:
        return read_card(path, is_trained=path.parent.parent == self.trained_dir)

    def _path(self, name: str) -> Path | None:
        if not NAME.fullmatch(name):  # a name is never a path
            return None
        paths = (folder / name / CARD for folder in self._folders)
        return next((path for path in paths if path.is_file()), None)

    def _path_of_original(self) -> Path:
        """Raises `BrokenModelError` where no model has its original head."""
        found = next((path for path, card in self._readable() if card.original_head), None)
        if found is None:
            raise BrokenModelError(
                "No model here has the original head of its backbone: the folder `imagenet` is missing."
            )
        return found

    def changed(self, name: str) -> int:
        """When the card was last written; 0 for a model without a folder. On every request's way, hence no `Path`."""
        if not NAME.fullmatch(name):
            return 0
        for folder in self._folders:
            with suppress(OSError):
                return os.stat(f"{folder}/{name}/{CARD}").st_mtime_ns  # noqa: PTH116
        return 0
