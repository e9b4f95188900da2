import io
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from app.vision.image import ImageLimits, Picture, Preprocessing
from app.vision.networks.backbones import BACKBONES, UnknownBackboneError, find_weights, load_backbone
from app.vision.networks.efficientnet_lite import SameConv2d
from app.vision.networks.weights import MissingWeightsError, WeightsError

pytestmark = pytest.mark.slow

ILSVRC = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


def pixels(number: int = 2, size: int = 224) -> torch.Tensor:
    return torch.rand(number, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On a machine that others use too, threads of torch wait for each other: one was four times as quick as two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def squeezenet() -> torch.nn.Module:
    """With random weights: the smallest of torchvision's networks here."""
    from torchvision.models import get_model

    torch.manual_seed(0)
    network: torch.nn.Module = get_model("squeezenet1_1", weights=None)
    return network.eval()


def saved(network: torch.nn.Module, *, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(network.state_dict(), file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "least"),
    [("efficientnet_lite0", 68.5), ("mobilenet_v2", 66), ("squeezenet1_1", 55)],
)
def test_real_weights_classify_imagenet_as_well_as_they_should(shared_data: Path, name: str, least: float) -> None:
    backbone, head = load_backbone(name, shared_data / "weights")
    photos = [(path, ILSVRC[path.parent.name]) for path in (shared_data / "imagenet-val").glob("ilsvrc*/*/*")]
    assert len(photos) == 300
    right = 0
    for start in range(0, 300, 4):  # larger batches are slower: their memory is mapped anew each time
        batch = photos[start : start + 4]
        canvases = [
            Picture.read(path.read_bytes(), ImageLimits(), preprocessing=backbone.preprocessing).canvas(
                backbone.preprocessing
            )
            for path, _ in batch
        ]
        with torch.inference_mode():
            logits = head(backbone(torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2).float() / 255))
        right += sum(int(row.argmax()) == label for row, (_, label) in zip(logits, batch, strict=True))
    assert right / 3 >= least


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_the_packages_weights_load_strictly(name: str) -> None:
    backbone, head = load_backbone(name, None)
    with torch.inference_mode():
        features = backbone(pixels(size=backbone.preprocessing.crop))
    assert features.shape == (2, backbone.card.feature_size)
    assert (head.in_features, head.out_features) == (backbone.card.feature_size, 1000)
    assert not any(parameter.requires_grad for parameter in [*backbone.parameters(), *head.parameters()])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large", "squeezenet1_1"])
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


def test_the_table_agrees_with_torchvision_about_files_and_preprocessing() -> None:
    from torchvision.models import get_model_weights

    for card in BACKBONES.values():
        ours = {file.name: file for file in card.weights if file.source == "torchvision"}
        if not ours:
            continue
        published = {one.url.rpartition("/")[2]: one for one in get_model_weights(card.name)}
        for name, file in ours.items():
            theirs = published[name].transforms()
            assert file.preprocessing == Preprocessing(theirs.resize_size[0], theirs.crop_size[0]), name
            assert [*file.mean, *file.std] == [*theirs.mean, *theirs.std], name


@pytest.mark.parametrize(("size", "kernel", "before"), [(8, 3, 0), (9, 3, 1), (8, 5, 1), (9, 5, 2)])
def test_same_padding_is_tensorflows(size: int, kernel: int, before: int) -> None:
    convolution = SameConv2d(1, 1, kernel, 2, bias=False)
    torch.nn.init.ones_(convolution.weight)
    impulse = torch.zeros(1, 1, size, size)
    impulse[0, 0, 0, 0] = 1
    seen = convolution(impulse)[0, 0]
    assert seen.shape == ((size + 1) // 2,) * 2
    assert seen.count_nonzero() == (before // 2 + 1) ** 2  # windows that start at -before, 2 - before, ...
    impulse = impulse.flip(2, 3)
    after = max((seen.shape[0] - 1) * 2 + kernel - size, 0) - before
    assert convolution(impulse)[0, 0].count_nonzero() == (after // 2 + 1) ** 2


def test_same_padding_follows_the_size_in_a_traced_network_too() -> None:
    torch.manual_seed(0)
    network = BACKBONES["efficientnet_lite0"].build().eval()
    traced = torch.fx.symbolic_trace(network)
    with torch.inference_mode():
        for size in (64, 75):
            torch.testing.assert_close(traced(pixels(size=size)), network(pixels(size=size)))


def test_missing_weights_are_told_with_the_names_of_the_files_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"vgg16-397923af\.pth.*INKBLOT_WEIGHTS_DIR"):
        load_backbone("vgg16", None)
    with pytest.raises(MissingWeightsError, match=str(tmp_path)):
        load_backbone("vgg16", tmp_path)
    assert find_weights(BACKBONES["vgg16"], tmp_path) is None


@pytest.mark.parametrize(
    "name", ["resnet18-f37072fd.pth", "resnet18-F37072FD.pth", "resnet18-f37072fd5ca4.safetensors"]
)
def test_a_damaged_file_is_found_by_the_digits_in_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"damaged on the way")
    digits = Path(name).stem.rpartition("-")[2]
    found = sha256(b"damaged on the way").hexdigest()[: len(digits)]
    with pytest.raises(WeightsError, match=f"{name} is damaged.*{found}.*{digits}"):
        load_backbone("resnet18", tmp_path)


def test_what_only_looks_like_a_file_of_weights_is_none(tmp_path: Path) -> None:
    (tmp_path / "vgg16-old.pth").mkdir()
    (tmp_path / "vgg16_bn-6c64b313.pth").touch()
    (tmp_path / "vgg16.txt").touch()
    assert find_weights(BACKBONES["vgg16"], tmp_path) is None


@pytest.mark.parametrize(
    ("file", "mean", "same_padding"),
    [
        ("mobilenet_v2.pth", 0.485, False),
        ("mobilenet_v2-mine.pth", 0.485, False),
        ("mobilenet_v2-qat.pth", 0.5, True),
    ],
)
def test_a_file_beyond_the_table_is_prepared_for_as_its_namesake(
    tmp_path: Path, file: str, mean: float, same_padding: bool
) -> None:
    (tmp_path / file).write_bytes(saved(BACKBONES["mobilenet_v2"].build()))
    backbone, _ = load_backbone("mobilenet_v2", tmp_path)
    assert (backbone.weights.name, backbone.preprocessing) == (file, Preprocessing(256, 224))
    assert backbone.mean[0, 0, 0, 0].item() == pytest.approx(mean)
    assert any(isinstance(module, SameConv2d) for module in backbone.modules()) == same_padding


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_kept_in_half_precision_answer_in_float32(
    tmp_path: Path, squeezenet: torch.nn.Module, suffix: str
) -> None:
    half = {name: values.half() for name, values in squeezenet.state_dict().items()}
    path = tmp_path / f"squeezenet1_1{suffix}"
    torch.save(half, path) if suffix == ".pth" else save_file(half, path)
    backbone, head = load_backbone("squeezenet1_1", tmp_path)
    with torch.inference_mode():
        assert head(backbone(pixels(size=64))).dtype == torch.float32


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_ends_too_early_is_one_clear_error(
    tmp_path: Path, squeezenet: torch.nn.Module, legacy: bool
) -> None:
    whole = saved(squeezenet, legacy=legacy)
    for length in (0, 1, 30, 300, 3000, len(whole) // 2, len(whole) - 30):
        (tmp_path / "squeezenet1_1.pth").write_bytes(whole[:length])
        with pytest.raises(
            WeightsError, match=r"^squeezenet1_1\.pth does not hold the weights of this network: .{,99}$"
        ):
            load_backbone("squeezenet1_1", tmp_path)


def test_a_pickle_that_could_run_code_is_refused(tmp_path: Path, squeezenet: torch.nn.Module) -> None:
    torch.save(squeezenet, tmp_path / "squeezenet1_1.pth")
    with pytest.raises(WeightsError, match="cannot be read as a file of tensors"):
        load_backbone("squeezenet1_1", tmp_path)


def test_other_parameters_are_told_in_a_line_and_not_a_page(tmp_path: Path, squeezenet: torch.nn.Module) -> None:
    (tmp_path / "resnet18.pth").write_bytes(saved(squeezenet))
    with pytest.raises(WeightsError, match="Missing key") as refused:
        load_backbone("resnet18", tmp_path)
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


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


def test_the_default_backbone_comes_without_torchvision_timm_and_usage_reports(tmp_path: Path) -> None:
    code = """
import sys, pathlib, app.main
from app.vision.networks.backbones import load_backbone
from app.vision.serving.openvino_runtime import OpenVinoFeatureExtractor
backbone, _ = load_backbone("efficientnet_lite0", None)
OpenVinoFeatureExtractor(backbone, pathlib.Path(sys.argv[1]), threads=1)
print([name for name in ("torchvision", "timm") if name in sys.modules], sys.modules["openvino_telemetry"])
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "[] None"
