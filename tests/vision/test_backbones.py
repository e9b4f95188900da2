import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from app.vision.backbones import (
    BACKBONES,
    MissingWeightsError,
    UnknownBackboneError,
    WeightsError,
    find_weights,
    load_backbone,
)
from app.vision.image import ImageLimits, Picture

ILSVRC = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


def pixels(number: int = 2, size: int = 224) -> torch.Tensor:
    return torch.rand(number, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "least"),
    [("efficientnet_lite0", 68.5), ("mobilenet_v2", 66), ("squeezenet1_1", 55)],
)
def test_real_weights_classify_imagenet_as_well_as_they_should(shared_data: Path, name: str, least: float) -> None:
    backbone, head = load_backbone(name, shared_data / "weights")
    photos = [(path, ILSVRC[path.parent.name]) for path in (shared_data / "imagenet-val").glob("ilsvrc*/*/*")]
    assert len(photos) == 300
    right = 0
    for start in range(0, 300, 20):
        batch = photos[start : start + 20]
        canvases = [
            Picture.read(path.read_bytes(), ImageLimits(), fit=backbone.fit).canvas(backbone.fit) for path, _ in batch
        ]
        with torch.inference_mode():
            logits = head(backbone(torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2).float() / 255))
        right += sum(int(row.argmax()) == label for row, (_, label) in zip(logits, batch, strict=True))
    assert right / 3 >= least


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_the_packages_weights_load_strictly(name: str) -> None:
    backbone, head = load_backbone(name, None)
    with torch.inference_mode():
        features = backbone(pixels(size=backbone.fit.crop))
    assert features.shape == (2, backbone.card.feature_size)
    assert (head.in_features, head.out_features) == (backbone.card.feature_size, 1000)
    assert not any(parameter.requires_grad for parameter in [*backbone.parameters(), *head.parameters()])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large"])
def test_torchvision_weights_give_torchvisions_answers(tmp_path: Path, name: str, suffix: str) -> None:
    from torchvision.models import get_model

    torch.manual_seed(0)
    plain = get_model(name, weights=None).eval()
    path = tmp_path / f"{name}{suffix}"
    if suffix == ".pth":
        torch.save(plain.state_dict(), path)
    else:
        save_file(plain.state_dict(), path)
    backbone, head = load_backbone(name, tmp_path)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = plain((pixels() - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        torch.testing.assert_close(head(backbone(pixels())), expected, atol=1e-4, rtol=1e-4)


def test_the_feature_size_stages_and_head_of_every_card_are_those_of_its_network() -> None:
    for card in BACKBONES.values():
        with torch.device("meta"):
            network = card.build()
        modules = dict(network.named_modules())
        assert set(card.stages) <= set(modules)
        if card.head:
            head = modules[card.head]
            assert isinstance(head, torch.nn.Linear)
            assert head.in_features == card.feature_size


def test_missing_weights_are_told_with_the_names_of_the_files_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"vgg16-397923af\.pth.*INKBLOT_WEIGHTS_DIR"):
        load_backbone("vgg16", None)
    with pytest.raises(MissingWeightsError, match=str(tmp_path)):
        load_backbone("vgg16", tmp_path)
    assert find_weights(BACKBONES["vgg16"], tmp_path) is None


def test_a_damaged_file_is_found_by_the_digits_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"damaged on the way")
    with pytest.raises(WeightsError, match="is damaged"):
        load_backbone("resnet18", tmp_path)


def test_a_file_that_holds_no_or_other_weights_is_one_clear_error(tmp_path: Path) -> None:
    junk = b"this is no checkpoint"
    (tmp_path / f"resnet18-{sha256(junk).hexdigest()[:8]}.pth").write_bytes(junk)
    with pytest.raises(WeightsError, match="does not hold the weights"):
        load_backbone("resnet18", tmp_path)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "squeezenet1_1.pth")
    with pytest.raises(WeightsError, match="does not hold the weights"):
        load_backbone("squeezenet1_1", tmp_path)
    (tmp_path / "vgg19.safetensors").write_bytes(junk)
    with pytest.raises(WeightsError, match="does not hold the weights"):
        load_backbone("vgg19", tmp_path)


def test_an_unknown_backbone_suggests_the_nearest() -> None:
    with pytest.raises(UnknownBackboneError) as refused:
        load_backbone("resnet81", None)
    assert "resnet18" in refused.value.suggestions


def test_the_default_backbone_comes_without_torchvision_optimizers_and_usage_reports() -> None:
    code = """
import sys, tempfile, pathlib, app.main
from app.vision.backbones import load_backbone
from app.vision.inference import OpenVinoForward
backbone, _ = load_backbone("efficientnet_lite0", None)
OpenVinoForward(backbone, pathlib.Path(tempfile.mkdtemp()), threads=1)
print([name for name in ("torchvision", "timm") if name in sys.modules], sys.modules["openvino_telemetry"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "[] None"
