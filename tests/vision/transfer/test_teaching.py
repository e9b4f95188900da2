import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.vision.ask import run_steps
from app.vision.image import ImageLimits, Picture
from app.vision.labels import Labels
from app.vision.models.model_folder import EXAMPLES, HEAD, LABELS, publish
from app.vision.models.repository import ModelRepository
from app.vision.serving.runtimes import TorchFeatureExtractor
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import NotEnoughImagesError
from app.vision.transfer.examples import Examples
from app.vision.transfer.teaching import Plan, TrainedModel, TransferContext, correct, teach
from app.vision.transfer.training import L2_PENALTIES
from tests.support.paths import ROOT, SAMPLES
from tests.support.pictures import shape, shapes, zipped

pytestmark = pytest.mark.slow

ODD = {
    **shapes(6), "red/copy.png": shape("red", 0), "blue/copy.png": shape("red", 1), "red/broken.png": b"GIF89a",
    "_strangers/dogs/1.png": (SAMPLES / "basenji.png").read_bytes(),
    "_strangers/dogs/2.png": (SAMPLES / "bernese.png").read_bytes(),
    "_strangers/cats/1.jpg": (SAMPLES / "cat.jpg").read_bytes(),
    "labels.json": json.dumps({"red": {"en": "red disc", "tr": "kırmızı daire", "imagenet": [417]}}).encode(),
}  # fmt: skip


@dataclass
class Counting:
    forward: TorchFeatureExtractor
    seen: list[int] = field(default_factory=list)
    name = "counting"
    best_batch = 8

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        self.seen.append(len(canvases))
        return self.forward(canvases)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelRepository:
    device, trained = torch.device("cpu"), tmp_path_factory.mktemp("models")
    return ModelRepository([ROOT / "models"], weights_dir=None, device=device, trained_dir=trained)


@pytest.fixture(scope="module")
def counting(models: ModelRepository) -> Counting:
    return Counting(TorchFeatureExtractor(models.backbone("efficientnet_lite0")[0], torch.device("cpu")))


@pytest.fixture(scope="module")
def context(models: ModelRepository, counting: Counting) -> Iterator[TransferContext]:
    backbone, original = models.backbone("efficientnet_lite0")
    threads = torch.get_num_threads()
    yield TransferContext(backbone, original, models.original_labels(), counting, threads=2)
    torch.set_num_threads(threads)


Teach = Callable[..., TrainedModel]


@pytest.fixture(scope="module")
def taught_of(context: TransferContext) -> Teach:
    def taught(files: dict[str, bytes], plan: Plan = Plan(), known: Examples | None = None) -> TrainedModel:  # noqa: B008
        with Archive(BytesIO(zipped(files))) as archive:
            return run_steps(teach(archive, plan, context, known=known))

    return taught


@pytest.fixture(scope="module")
def odd(taught_of: Teach) -> TrainedModel:
    return taught_of(ODD)


@pytest.fixture(scope="module")
def remembered(odd: TrainedModel, context: TransferContext, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    path = tmp_path_factory.mktemp("cache") / EXAMPLES
    path.write_bytes(odd.files[EXAMPLES])
    examples = Examples.read(path, context.backbone.weights.name)
    assert examples
    return examples


def test_new_pictures_are_told_apart(odd: TrainedModel, models: ModelRepository) -> None:
    assert models.trained_dir
    publish(models.trained_dir, "shapes", odd.record, odd.files)
    classifier = models.load("shapes")
    for label in ("red", "blue"):
        for number in (50, 51, 52):
            canvas = Picture.read(shape(label, number), ImageLimits()).canvas(classifier.backbone.preprocessing)
            pixels = torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 255
            assert classifier.labels[int(classifier.logits(pixels).argmax())].label == label
    assert [one.display_in("tr") for one in classifier.labels] == ["blue", "kırmızı daire"]


def test_the_record_tells_what_was_learned(odd: TrainedModel) -> None:
    training, metrics = odd.record["training"], odd.record["metrics"]
    assert training["counts"] == {"blue": 7, "red": 7}
    assert training["pictures"] == metrics["pictures_judged"] == 14
    assert sum(map(sum, metrics["confusion"])) == 14
    assert json.loads(json.dumps(odd.record, allow_nan=False)) == odd.record
    out_of_distribution = metrics["unknown"]["strangers"]
    assert {name: one["pictures"] for name, one in out_of_distribution.items()} == {"dogs": 2, "cats": 1, "noise": 16}
    assert all(one["auroc"] > 0.9 for one in out_of_distribution.values())
    assert json.loads(odd.files[LABELS])[1]["imagenet"] == [417]


def test_oddities_and_broken_pictures_are_told(odd: TrainedModel) -> None:
    told = {one.kind: one.pictures for one in odd.warnings}
    assert told["skipped"] == ("red/broken.png",)
    assert set(told["duplicates"]) == {"red/0.png", "red/copy.png"}
    assert set(told["same-picture-in-two-classes"]) == {"red/1.png", "blue/copy.png"}
    assert "few-pictures" in told


def test_the_same_seed_gives_the_same_head_and_known_pictures_are_not_looked_at(
    odd: TrainedModel, taught_of: Teach, remembered: Examples, counting: Counting
) -> None:
    assert taught_of(ODD).files[HEAD] == odd.files[HEAD]
    counting.seen.clear()
    assert taught_of(ODD, known=remembered).files[HEAD] == odd.files[HEAD]
    assert sum(counting.seen) == 3 + 16  # strangers and noise


def test_a_correction_needs_no_picture_again(
    odd: TrainedModel, remembered: Examples, context: TransferContext, counting: Counting
) -> None:
    labels = Labels.from_records(json.loads(odd.files[LABELS]))
    counting.seen.clear()
    found = run_steps(correct(remembered, {"blue/copy.png": "red", "red/0.png": None}, Plan(), context, labels))
    assert sum(counting.seen) == 16  # noise alone
    assert found.record["training"]["counts"] == {"blue": 6, "red": 7}
    assert "same-picture-in-two-classes" not in {one.kind for one in found.warnings}
    assert json.loads(found.files[LABELS]) == json.loads(odd.files[LABELS])
    assert labels[1].display["tr"] == "kırmızı daire"


def test_folders_called_like_imagenets_classes_are_measured_without_training(taught_of: Teach, dog: bytes) -> None:
    bernese = (SAMPLES / "bernese.png").read_bytes()
    files = {"basenji/1.png": dog, "basenji/2.png": dog, "Bernese_mountain_dog/1.png": bernese}
    found = taught_of({**files, "Bernese_mountain_dog/2.png": bernese})
    assert found.record["metrics"]["zero_shot_accuracy"] == 1
    assert all(record["display"]["tr"] for record in json.loads(found.files[LABELS]))


def test_numbers_are_names_and_no_classes_of_imagenet(taught_of: Teach) -> None:
    found = taught_of({name.replace("red", "1").replace("blue", "80s"): data for name, data in shapes(2).items()})
    assert [record["display"] for record in json.loads(found.files[LABELS])] == [{}, {}]
    assert found.record["metrics"]["zero_shot_accuracy"] is None


def test_a_class_that_is_broken_altogether_is_told_with_all_counts(taught_of: Teach) -> None:
    with pytest.raises(NotEnoughImagesError) as refused:
        taught_of({**shapes(2), "green/1.png": b"", "green/2.png": b"words"})
    assert refused.value.counts == {"blue": 2, "green": 0, "red": 2}


PARTS = {
    **{f"eğitim/{name}": data for name, data in shapes(8).items()},
    **{f"sınama/{label}/{number}.png": shape(label, number) for label in ("red", "blue") for number in range(20, 26)},
    "sınama/red/wrong.png": shape("blue", 30),
    "sınama/blue/copy.png": shape("blue", 0),
}


@pytest.fixture(scope="module")
def in_parts(taught_of: Teach) -> TrainedModel:
    return taught_of(PARTS)


def test_a_test_set_judges_and_is_not_learned_from(in_parts: TrainedModel, taught_of: Teach) -> None:
    training, metrics = in_parts.record["training"], in_parts.record["metrics"]
    assert (training["pictures"], training["counts"]) == (16, {"blue": 8, "red": 8})
    assert training["layout"]["name"] == "folders"
    assert training["layout"]["pictures"] == {"learning": 16, "test": 14}
    assert "eğitim is learned from (16), sınama judges and is not learned from (14)" in training["layout"]["detail"]
    assert metrics["validation"] == {"method": "test-set", "parts": 1, "pictures": 14}
    assert (metrics["pictures_judged"], metrics["confusion"]) == (14, [[7, 0], [1, 6]])
    assert metrics["accuracy"] == pytest.approx(13 / 14, abs=1e-4)
    assert [(one.name, one.true, one.predicted) for one in in_parts.worst] == [("sınama/red/wrong.png", "red", "blue")]
    assert in_parts.files[HEAD] == taught_of(shapes(8)).files[HEAD], "the same head as without the test set"


def test_copies_of_what_was_learned_that_judge_are_told(in_parts: TrainedModel) -> None:
    told = {one.kind: one.pictures for one in in_parts.warnings}
    assert told["test-pictures-learned"] == ("sınama/blue/copy.png",)


def test_a_correction_is_judged_by_the_same_test_set(
    in_parts: TrainedModel, context: TransferContext, tmp_path: Path
) -> None:
    (tmp_path / EXAMPLES).write_bytes(in_parts.files[EXAMPLES])
    examples = Examples.read(tmp_path / EXAMPLES, context.backbone.weights.name)
    assert examples
    labels, layout = Labels.from_records(json.loads(in_parts.files[LABELS])), in_parts.record["training"]["layout"]
    corrections = {"sınama/red/wrong.png": "blue", "eğitim/red/0.png": None}
    found = run_steps(correct(examples, corrections, Plan(), context, labels, layout=layout))
    assert found.record["metrics"]["confusion"] == [[8, 0], [0, 6]]
    assert found.record["training"]["layout"]["pictures"] == {"learning": 15, "test": 14}


def test_a_validation_set_chooses_and_the_head_is_learned_without_it(taught_of: Teach) -> None:
    choosing = {f"val/{label}/{number}.png": shape(label, number) for label in ("red", "blue") for number in (40, 41)}
    files = {name.replace("eğitim", "train").replace("sınama", "test"): data for name, data in PARTS.items()}
    found = taught_of({**files, **choosing})
    assert found.record["training"]["layout"]["pictures"] == {"learning": 16, "validation": 4, "test": 14}
    assert found.record["metrics"]["pictures_judged"] == 14
    assert found.record["metrics"]["l2_penalty"] in L2_PENALTIES


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sınama/green/1.png": shape("red", 1)}, "none to learn from, of these classes: green"),
        (
            {name: b"junk" for name in PARTS if name.startswith("sınama")},
            "None of the pictures can be read that are for test",
        ),
    ],
)
def test_a_test_set_that_cannot_judge_is_refused(taught_of: Teach, changed: dict[str, bytes], told: str) -> None:
    with pytest.raises(NotEnoughImagesError, match=told):
        taught_of(PARTS | changed)


def test_a_test_set_judges_a_network_that_was_tuned(taught_of: Teach) -> None:
    found = taught_of(PARTS, Plan(mode="fine_tune", epochs=1))
    assert found.record["metrics"]["validation"]["method"] == "test-set"
    assert found.record["metrics"]["pictures_judged"] == 14
    assert found.record["metrics"]["accuracy"] >= 13 / 14 - 1e-4


def test_fine_tuning_teaches_a_network_of_its_own(taught_of: Teach, models: ModelRepository) -> None:
    found = taught_of(shapes(3), Plan(mode="fine_tune", epochs=1))
    assert found.record["metrics"]["best_epoch"] in {0, 1}
    assert found.record["metrics"]["unknown"]["strangers"]["noise"]["found"] == 1
    assert models.trained_dir
    publish(models.trained_dir, "tuned", found.record, found.files)
    tuned = models.load("tuned")
    assert tuned.backbone is not models.backbone("efficientnet_lite0")[0]
    assert tuned.backbone.own_weights
