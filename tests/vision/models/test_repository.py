import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.vision.models.model_folder import BrokenModelError
from app.vision.models.repository import ModelRepository, UnknownModelError
from app.vision.networks.backbones import load_backbone
from tests.support.class_names import NO_CLASS_NAMES
from tests.support.models import write_model
from tests.support.paths import ROOT


def repository(*folders: Path, weights_dir: Path | None = None) -> ModelRepository:
    return ModelRepository(folders, weights_dir=weights_dir, device=torch.device("cpu"))


def test_the_shipped_models_come_first_and_other_backbones_follow() -> None:
    names = [card.name for card in repository(ROOT / "models").cards()]
    assert names[:3] == ["cats-vs-dogs", "imagenet", "pets"]
    assert {"efficientnet_lite1", "efficientnet_lite2"} <= set(names)
    assert "vgg16" not in names
    assert "efficientnet_lite0" not in names  # that is imagenet


@pytest.mark.slow
def test_a_backbone_whose_weights_are_put_there_becomes_a_model(tmp_path: Path) -> None:
    models = repository(ROOT / "models", weights_dir=tmp_path)
    with pytest.raises(UnknownModelError):
        models.card("resnet18")
    from torchvision.models import resnet18

    torch.save(resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    assert models.load("resnet18").labels.find("tabby").index == 281


def test_a_trained_head_is_loaded_and_shares_its_backbone(tmp_path: Path) -> None:
    write_model(tmp_path)
    models = repository(ROOT / "models", tmp_path)
    trained, original = models.load("colours"), models.load("imagenet")
    assert trained.backbone is original.backbone
    assert [label.label for label in trained.labels] == ["warm", "cold"]
    assert trained.logits(torch.rand(1, 3, 224, 224)).shape == (1, 2)
    assert models.loaded("colours") is trained


def test_of_many_models_those_stay_in_memory_that_were_asked_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.vision.models.repository._KEPT_MODELS", 3)
    names = ["one", "two", "three", "four"]
    for name in names:
        write_model(tmp_path).rename(tmp_path / name)
    models = repository(ROOT / "models", tmp_path)
    loaded = {name: models.load(name) for name in names[:3]}
    assert models.loaded("one") is loaded["one"]
    models.load("four")
    assert [name for name in names if models.loaded(name)] == ["one", "three", "four"]
    assert models.load("two").backbone is loaded["two"].backbone, "a network that models share stays"


def test_few_fine_tuned_networks_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.vision.models.repository._KEPT_NETWORKS", 1)
    write_model(tmp_path)
    network, _ = load_backbone("efficientnet_lite0", None, fold=False)
    for name in ("first", "second"):
        path = write_model(tmp_path)
        save_file(
            {key: one.contiguous() for key, one in network.network.state_dict().items()}, path / "backbone.safetensors"
        )
        path.rename(tmp_path / name)
    write_model(tmp_path)
    models = repository(ROOT / "models", tmp_path)
    shared, first, second = (models.load(name) for name in ("colours", "first", "second"))
    assert len({shared.backbone, first.backbone, second.backbone}) == 3
    assert models.loaded("first") is None
    assert models.loaded("second") is second
    assert models.loaded("colours") is shared
    assert models.backbones() == {shared.backbone, second.backbone}, "what serves lets the first go"


def test_a_model_serves_as_soon_as_its_folder_is_there_and_until_it_is_gone(tmp_path: Path) -> None:
    models = repository(ROOT / "models", tmp_path)
    with pytest.raises(UnknownModelError) as refused:
        models.card("colors")
    assert refused.value.suggestions == ()
    path = write_model(tmp_path)
    with pytest.raises(UnknownModelError) as refused:
        models.card("colors")
    assert refused.value.suggestions == ("colours",)
    first = models.load("colours")
    assert models.card("colours").version == 3
    shutil.rmtree(path)
    assert models.loaded("colours") is None
    with pytest.raises(UnknownModelError):
        models.load("colours")
    assert first.logits(torch.rand(1, 3, 224, 224)).shape == (1, 2)  # whoever has it may go on


def test_a_new_version_replaces_the_old_one(tmp_path: Path) -> None:
    write_model(tmp_path)
    models = repository(tmp_path)
    first = models.load("colours")
    path = write_model(tmp_path, version=4)
    import os

    os.utime(path / "model.json", ns=(1, 1))
    second = models.load("colours")
    assert second is not first
    assert second.card.version == 4


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.json", "not json"),
        ("model.json", "[]"),
        ("model.json", "{}"),
        ("model.json", '{"backbone": "none", "num_classes": 2}'),
        ("labels.json", "not json"),
        ("labels.json", '[{"label": "only one"}]'),
        ("labels.json", '["warm", "cold"]'),
        *(("labels.json", json.dumps([{"label": "warm"}, {"label": name}])) for name in NO_CLASS_NAMES),
        ("labels.json", r'[{"label": "warm"}, {"label": "cold", "display": {"tr": "\u001b[2J"}}]'),
        ("head.safetensors", "not tensors"),
    ],
)
def test_a_broken_folder_does_not_stop_the_others(tmp_path: Path, file: str, content: str) -> None:
    (write_model(tmp_path, "broken") / file).write_text(content)
    write_model(tmp_path)
    models = repository(tmp_path)
    assert "colours" in [card.name for card in models.cards()]
    with_original = repository(tmp_path, ROOT / "models")  # the broken folder is looked at first
    assert with_original.labels("efficientnet_lite1").find("tabby").index == 281
    assert models.load("colours").card.num_classes == 2
    with pytest.raises(BrokenModelError):
        models.load("broken")


def test_a_head_of_another_shape_is_broken(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    save_file({"weight": torch.zeros(2, 7), "bias": torch.zeros(2)}, path / "head.safetensors")
    with pytest.raises(BrokenModelError, match="is not the head"):
        repository(tmp_path).load("colours")


@pytest.mark.parametrize("name", ["../imagenet", "imagenet/../imagenet", "", ".", "IMAGENET", "a" * 99])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(UnknownModelError):
        repository(ROOT / "models").load(name)


def test_without_an_original_head_its_labels_are_missed_by_name(tmp_path: Path) -> None:
    write_model(tmp_path)
    with pytest.raises(BrokenModelError, match="original head"):
        repository(tmp_path).original_labels()
