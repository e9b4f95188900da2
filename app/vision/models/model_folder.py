"""A model as a folder: how it is read, and how it is written so that no reader ever sees half of one.

`<name>/model.json` is the card and `labels.json` the classes; the head lies in `head.safetensors` (`weight`, `bias`,
and what `FeatureSpace` needs) or is, with `"head": "original"`, the backbone's own. A fine-tuned backbone's weights are
`backbone.safetensors`, the features of the pictures that were learned `examples.safetensors`. What was taught here lies
in a folder for each version, `v1`, `v2` …, and replacing the card makes the next version the one that counts;
`origin.json` beside it tells of a model that many machines share what it is a copy of.
"""

import fcntl
import filecmp
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from app.vision.classifier import ModelCard
from app.vision.feature_space import FeatureSpace
from app.vision.labels import Labels
from app.vision.networks.backbones import BACKBONES, Backbone
from app.vision.networks.weights import read_tensors

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
CARD: Final = "model.json"
LABELS: Final = "labels.json"
HEAD: Final = "head.safetensors"
OWN_WEIGHTS: Final = "backbone.safetensors"
EXAMPLES: Final = "examples.safetensors"
ORIGIN: Final = "origin.json"
_ORIGINAL: Final = "original"
_NUMBERS: Final = re.compile(r"\[\n[\d\s.,]+\]")
"""A list in indented JSON; the label `[1,2]` has no line break."""


class BrokenModelError(RuntimeError):
    """The folder of a model does not hold what its `model.json` promises."""


class ModelExistsError(ValueError):
    """There is a model of this name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a model {name!r} already.")


def file_of(card_path: Path, version: int, name: str) -> Path:
    """Where a file of this version of a model lies, if it has it."""
    own = card_path.parent / f"v{version}"
    return (own if own.is_dir() else card_path.parent) / name


def read_card(path: Path, *, is_trained: bool) -> ModelCard:
    """Raises `BrokenModelError`."""
    record = read_record(path)
    try:
        unknown = record.get("unknown") or {}
        card = ModelCard(
            name=path.parent.name,
            version=int(record.get("version", 1)),
            backbone=str(record["backbone"]),
            num_classes=int(record["num_classes"]),
            original_head=record.get("head") == _ORIGINAL,
            description=dict(record.get("description", {})),
            licence=record.get("licence"),
            source=record.get("source"),
            weights=record.get("weights"),
            threshold=float(unknown["threshold"]) if unknown else None,
            spread=float(unknown.get("spread", 1.0)),
            training=dict(record.get("training", {})),
            metrics=dict(record.get("metrics", {})),
            is_trained=is_trained,
            owner=record.get("owner"),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise BrokenModelError(f"{path} is not a model card: {error!r}") from error
    if card.backbone not in BACKBONES or not NAME.fullmatch(card.name):
        raise BrokenModelError(f"{path} names a backbone or has a name that cannot be: {card.backbone}, {card.name}")
    return card


@lru_cache(maxsize=32)
def read_labels(
    path: Path,
    changed: int,  # noqa: ARG001 -- it belongs to the key
    num_classes: int,
    *,
    is_imagenet: bool,
) -> Labels:
    """Raises `BrokenModelError`."""
    try:
        labels = Labels.from_records(json.loads(path.read_text(encoding="utf-8")), is_imagenet=is_imagenet)
    except (OSError, ValueError, AttributeError, RecursionError, TypeError) as error:
        raise BrokenModelError(f"{path} does not hold labels: {error}") from error
    if len(labels) != num_classes:
        raise BrokenModelError(f"{path} holds {len(labels)} labels for {num_classes} classes.")
    return labels


def read_head(file: Path, card: ModelCard, backbone: Backbone) -> tuple[nn.Linear, FeatureSpace | None]:
    """On the backbone's device. Raises `BrokenModelError`, also for other weights than the head was learned on."""
    if card.weights and card.weights != backbone.weights.name:
        raise BrokenModelError(
            f"The head of {card.name} was learned on {card.weights}, and the weights here are {backbone.weights.name}."
        )
    device = backbone.mean.device
    try:
        tensors = dict(read_tensors(file))
        head = nn.Linear(backbone.card.feature_size, card.num_classes).requires_grad_(requires_grad=False)
        head.load_state_dict({name: tensors.pop(name) for name in ("weight", "bias")})
        space = None if card.threshold is None else _space(tensors, card, backbone)
    except (KeyError, RuntimeError, ValueError) as error:
        raise BrokenModelError(f"{file} is not the head of {card.name}: {error}") from error
    return head.to(device), space.to(device) if space else None


def _space(tensors: Mapping[str, Tensor], card: ModelCard, backbone: Backbone) -> FeatureSpace:
    assert card.threshold is not None
    space = FeatureSpace.from_tensors(tensors, threshold=card.threshold, spread=card.spread)
    features = backbone.card.feature_size
    shapes = {"mean": (features,), "std": (features,), "prototypes": (card.num_classes, features)}
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} has the shape {tuple(tensors[name].shape)}, not {shape}")
    if space.references.ndim != 2 or space.references.shape[1] != features or not len(space.references):
        raise ValueError(f"references has the shape {tuple(space.references.shape)}")
    return space


def write(folder: Path, record: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """A model that is to ship: its one version lies beside the card."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    _write_card(folder / CARD, record, 1)


def publish(
    models: Path, name: str, record: Mapping[str, Any], files: Mapping[str, bytes], *, replace: bool = False
) -> int:
    """Write a model, or with `replace` its next version, in one step that every process sees. Returns the version.

    Of many that replace one name at once, its first models included, each makes a version, and the last one counts.
    Raises `ModelExistsError` if the name is taken and not to be replaced.
    """
    folder = models / name
    with open_draft(models) as draft:
        write_files(draft / "new", files)
        with _changing(models):
            if not folder.exists():
                (draft / "new").rename(draft / "v1")
                _write_card(draft / CARD, record, 1)
                draft.rename(folder)
                return 1
            if replace and (folder / CARD).is_file():
                return _replace(folder, draft, record)
    raise ModelExistsError(name)


@contextmanager
def _changing(models: Path) -> Iterator[None]:
    """Of all threads and processes one at a time publishes or deletes here; whoever reads is not held up."""
    folder = os.open(models, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def open_draft(models: Path) -> Iterator[Path]:
    """A folder that no reader looks into; it is gone afterwards, unless it has become a model."""
    models.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=models, prefix=".draft-"))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def install(draft: Path, folder: Path, record: Mapping[str, Any], version: int, origin: Mapping[str, Any]) -> None:
    """Let what lies in `v<version>` of the draft be this version of a model that was published elsewhere.

    Every process sees it in one step; several may install the same. Raises `OSError` if the model is deleted meanwhile.
    """
    _write_card(draft / CARD, record, version)
    (draft / ORIGIN).write_text(json.dumps(origin), encoding="utf-8")
    new, there = draft / f"v{version}", folder / f"v{version}"
    if there.is_dir() and not _equal(new, there):  # the model was deleted there, and another taught under its name
        delete(folder.parent, folder.name)
    with suppress(OSError):
        draft.rename(folder)
        return
    with suppress(OSError):  # another process may have put it there
        new.rename(there)
    counted = max((number for number in _versions(folder) if number < version), default=version)
    (draft / CARD).replace(folder / CARD)
    (draft / ORIGIN).replace(folder / ORIGIN)
    _forget_before(folder, counted)


def delete(models: Path, name: str) -> None:
    """Whoever has it loaded can go on with it."""
    grave = Path(tempfile.mkdtemp(dir=models, prefix=".deleted-"))
    with _changing(models), suppress(FileNotFoundError):  # somebody else was quicker
        (models / name).rename(grave / name)
    shutil.rmtree(grave, ignore_errors=True)


def _replace(folder: Path, draft: Path, record: Mapping[str, Any]) -> int:
    before = int(read_record(folder / CARD).get("version", 1))
    # A replacement that was killed may have left a version that no card ever counted.
    version = max([before, *_versions(folder)]) + 1
    (draft / "new").rename(folder / f"v{version}")
    _write_card(draft / CARD, record, version)
    (draft / CARD).replace(folder / CARD)
    _forget_before(folder, before)
    return version


def _forget_before(folder: Path, version: int) -> None:
    """That one stays for whoever has just read its card."""
    for number, old in _versions(folder).items():
        if number < version:
            shutil.rmtree(old, ignore_errors=True)


def _versions(folder: Path) -> dict[int, Path]:
    return {int(path.name[1:]): path for path in folder.glob("v*") if path.name[1:].isdecimal()}


def _equal(one: Path, other: Path) -> bool:
    names = {path.name for path in one.iterdir()}
    _, different, unreadable = filecmp.cmpfiles(one, other, names, shallow=False)
    return names == {path.name for path in other.iterdir()} and not different and not unreadable


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into the folder, each by its name."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _write_card(path: Path, record: Mapping[str, Any], version: int) -> None:
    text = json.dumps({"version": version, **record}, indent=2, ensure_ascii=False)
    # A row of the confusion on one line.
    text = _NUMBERS.sub(lambda row: "".join(row[0].split()).replace(",", ", "), text)
    with path.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_record(path: Path) -> dict[str, Any]:
    """A card as it was written. Raises `BrokenModelError`."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise BrokenModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise BrokenModelError(f"{path} does not hold a JSON object.")
    return record


def head_tensors(weight: Tensor, bias: Tensor, space: FeatureSpace) -> dict[str, Tensor]:
    """What `read_head` reads: `weight` `(classes, features)`, `bias` `(classes,)` and the tensors of the space."""
    tensors = {"weight": weight, "bias": bias, **space.tensors()}
    return {name: tensor.detach().to(torch.device("cpu")).contiguous() for name, tensor in tensors.items()}
