import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from app.vision.classifier import Classifier
from app.vision.models.model_folder import (
    HEAD,
    LABELS,
    BrokenModelError,
    ModelExistsError,
    delete,
    file_of,
    publish,
    read_card,
    write,
)
from app.vision.models.repository import ModelRepository, ShippedModelError, UnknownModelError
from tests.support.models import RECORD, files, tensors
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def shipped() -> ModelRepository:
    """Loads the backbone once for all tests."""
    models = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))
    models.backbone("efficientnet_lite0")
    return models


@pytest.fixture
def models(tmp_path: Path, shipped: ModelRepository) -> ModelRepository:
    device = torch.device("cpu")
    ours = ModelRepository([ROOT / "models"], weights_dir=None, device=device, trained_dir=tmp_path / "models")
    ours._backbones = shipped._backbones
    return ours


@pytest.fixture
def folder(models: ModelRepository) -> Path:
    assert models.trained_dir
    return models.trained_dir


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def answer_of(classifier: Classifier) -> list[float]:
    logits: list[float] = classifier.head(torch.ones(1, 1280))[0].tolist()
    return logits


def test_what_is_published_serves_at_once_and_leaves_no_draft(models: ModelRepository, folder: Path) -> None:
    assert publish(folder, "shapes", RECORD, files()) == 1
    classifier = models.load("shapes")
    assert classifier.card.is_trained
    assert [one.label for one in classifier.labels] == ["red", "blue"]
    assert torch.equal(classifier.head.weight, tensors()["weight"])
    assert classifier.space
    assert classifier.space.threshold == 0.7
    assert classifier.space.references.dtype is torch.float16
    assert hidden(folder) == []
    assert folder.joinpath("shapes").stat().st_mode & 0o777 == 0o700


def test_a_name_that_is_taken_is_refused_and_nothing_changes(models: ModelRepository, folder: Path) -> None:
    publish(folder, "shapes", RECORD, files())
    first = models.load("shapes")
    with pytest.raises(ModelExistsError):
        publish(folder, "shapes", RECORD, files(1))
    assert models.load("shapes") is first
    assert hidden(folder) == []


def test_a_replacement_is_the_next_version_and_the_loaded_one_goes_on(models: ModelRepository, folder: Path) -> None:
    publish(folder, "shapes", RECORD, files(), replace=True)
    first, before = models.load("shapes"), models.card("shapes")
    answer = answer_of(first)
    assert publish(folder, "shapes", RECORD, files(1), replace=True) == 2
    assert models.loaded("shapes") is None
    second = models.load("shapes")
    assert second.card.version == 2
    assert answer_of(first) == answer != answer_of(second)
    card = folder / "shapes" / "model.json"
    assert file_of(card, before.version, HEAD).read_bytes() == files()[HEAD]  # who read the first card still can
    assert models.file("shapes", HEAD) == folder / "shapes" / "v2" / HEAD
    assert publish(folder, "shapes", RECORD, files(2), replace=True) == 3
    assert sorted(path.name for path in (folder / "shapes").iterdir()) == ["model.json", "v2", "v3"]
    assert hidden(folder) == []


def test_a_replacement_that_was_killed_half_way_does_not_stop_the_next(models: ModelRepository, folder: Path) -> None:
    publish(folder, "shapes", RECORD, files())
    (folder / "shapes" / "v2").mkdir()
    (folder / "shapes" / "v2" / HEAD).write_bytes(b"of a process that was killed before it wrote the card")
    version = publish(folder, "shapes", RECORD, files(1), replace=True)
    assert torch.equal(models.load("shapes").head.weight, tensors(1)["weight"])
    assert models.card("shapes").version == version


def test_of_many_that_replace_one_name_at_once_each_makes_a_version_and_the_last_counts(
    models: ModelRepository, folder: Path
) -> None:
    contents = [files(seed) for seed in range(8)]
    for name in ("shapes", "letters", "digits"):  # thrice the moment in which there is no model yet
        together = threading.Barrier(8)

        def replace(seed: int, name: str = name, together: threading.Barrier = together) -> int:
            together.wait()
            return publish(folder, name, RECORD, contents[seed], replace=True)

        with ThreadPoolExecutor(8) as pool:
            versions = list(pool.map(replace, range(8)))
        assert sorted(versions) == list(range(1, 9))
        assert models.card(name).version == 8
        assert file_of(folder / name / "model.json", 8, HEAD).read_bytes() == contents[versions.index(8)][HEAD]
        assert sorted(path.name for path in (folder / name).iterdir()) == ["model.json", "v7", "v8"]
    assert hidden(folder) == []


def test_of_many_that_publish_one_name_exactly_one_wins(models: ModelRepository, folder: Path) -> None:
    together = threading.Barrier(8)

    def try_to(seed: int) -> int | None:
        contents = files(seed)
        together.wait()
        try:
            publish(folder, "shapes", RECORD, contents)
        except ModelExistsError:
            return None
        return seed

    contents = {seed: files(seed) for seed in range(8)}
    with ThreadPoolExecutor(8) as pool:
        (winner,) = [seed for seed in pool.map(try_to, contents) if seed is not None]
    assert (folder / "shapes" / "v1" / LABELS).is_file()
    assert models.load("shapes").head.weight.isfinite().all()
    assert winner in contents
    assert hidden(folder) == []


def test_deleting_what_is_loaded_is_safe(models: ModelRepository, folder: Path) -> None:
    publish(folder, "shapes", RECORD, files())
    loaded = models.load("shapes")
    answer = answer_of(loaded)
    models.delete("shapes")
    assert models.loaded("shapes") is None
    with pytest.raises(UnknownModelError):
        models.load("shapes")
    with pytest.raises(UnknownModelError):
        models.delete("shapes")
    delete(folder, "shapes")  # somebody else was quicker
    assert list(folder.iterdir()) == []
    assert answer_of(loaded) == answer
    publish(folder, "shapes", RECORD, files(1))
    assert answer_of(models.load("shapes")) != answer


@pytest.mark.parametrize("name", ["imagenet", "cats-vs-dogs", "efficientnet_lite1"])
def test_what_ships_is_not_deleted(models: ModelRepository, name: str) -> None:
    with pytest.raises(ShippedModelError):
        models.delete(name)
    assert models.card(name)


@pytest.mark.parametrize("name", ["../models/shapes", "shapes/v1", ".", "", "SHAPES", "shapes\n", "şekil"])
def test_a_hostile_name_deletes_nothing(models: ModelRepository, folder: Path, name: str) -> None:
    publish(folder, "shapes", RECORD, files())
    with pytest.raises(UnknownModelError):
        models.delete(name)
    assert models.load("shapes")


def test_drafts_and_broken_folders_do_not_stop_the_others(models: ModelRepository, folder: Path) -> None:
    publish(folder, "shapes", RECORD, files())
    for name, text in {
        ".draft-1": json.dumps(RECORD), "UPPER": json.dumps(RECORD), "a": "[" * 100_000, "b": '{"version": 1e999}',
        "c": json.dumps({**RECORD, "unknown": [1]}), "d": json.dumps({**RECORD, "backbone": "none"}), "e": "\udcff",
    }.items():  # fmt: skip
        (folder / name).mkdir()
        (folder / name / "model.json").write_bytes(text.encode(errors="surrogateescape"))
    names = [card.name for card in models.cards()]
    assert "shapes" in names
    assert not {".draft-1", "UPPER", "a", "b", "c", "d", "e"} & set(names)


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        ({"weights": "efficientnet-lite0-other.pth"}, {}),
        ({"num_classes": 10**12}, {}),
        ({"num_classes": -1}, {}),
        ({}, {"weight": torch.zeros(3, 1280)}),
        ({}, {"mean": torch.zeros(7)}),
        ({}, {"prototypes": torch.zeros(3, 1280)}),
        ({}, {"references": torch.zeros(0, 1280)}),
        ({}, {"references": torch.zeros(4, 7)}),
        ({}, {"references": torch.zeros(1280)}),
    ],
)
def test_a_head_that_does_not_fit_is_broken(
    models: ModelRepository, folder: Path, record: dict[str, Any], changes: dict[str, torch.Tensor]
) -> None:
    publish(folder, "shapes", {**RECORD, **record}, {**files(), HEAD: save({**tensors(), **changes})})
    with pytest.raises(BrokenModelError):
        models.load("shapes")


def test_damaged_and_missing_files_are_broken(models: ModelRepository, folder: Path) -> None:
    whole = files()
    damaged = {
        "cut": {**whole, HEAD: whole[HEAD][:-100]},
        "headless": {LABELS: whole[LABELS]},
        "nameless": {HEAD: whole[HEAD]},
        "deep": {**whole, LABELS: b"[" * 100_000},
        "spaceless": {**whole, HEAD: save({name: tensors()[name] for name in ("weight", "bias")})},
    }
    for name, contents in damaged.items():
        publish(folder, name, RECORD, contents)
        with pytest.raises(BrokenModelError):
            models.load(name)


def test_a_card_keeps_labels_that_look_like_lists_and_a_row_of_numbers_on_one_line(tmp_path: Path) -> None:
    counts = {"[1,2]": 3, "[ 7 ]": 4}
    record = {**RECORD, "training": {"counts": counts}, "metrics": {"confusion": [[3, 0], [1, 3]]}}
    write(tmp_path / "odd", record, files())
    card = read_card(tmp_path / "odd" / "model.json", is_trained=False)
    assert card.training["counts"] == counts
    assert card.metrics["confusion"] == [[3, 0], [1, 3]]
    assert "      [1, 3]\n" in (tmp_path / "odd" / "model.json").read_text()
    assert file_of(tmp_path / "odd" / "model.json", 1, HEAD) == tmp_path / "odd" / HEAD
