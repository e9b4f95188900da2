from dataclasses import replace

import numpy as np
import pytest
import torch

from app.vision.ask import run_steps
from app.vision.transfer.cross_validation import CROSS_VALIDATED, split
from app.vision.transfer.dataset import NotEnoughImagesError
from app.vision.transfer.examples import Examples
from app.vision.transfer.report import oddities
from app.vision.transfer.training import Learned, classes_of, count_of_fits, learn


def examples_of(number: int, classes: int = 2, *, apart: float = 0.6, dimensions: int = 12) -> Examples:
    """Clouds that overlap, of which each picture has a hash of its own."""
    random = np.random.default_rng(0)
    labels = np.arange(number) % classes
    centres = apart * random.normal(size=(classes, dimensions))
    features = centres[labels] + random.normal(size=(number, dimensions))
    return Examples(
        features=torch.from_numpy(features).float(),
        mirrored=torch.zeros(0, 0),
        hashes=random.integers(0, 2**63, (number, 4)).astype(np.uint64),
        labels=tuple(f"class {label}" for label in labels),
        names=tuple(f"{index}.png" for index in range(number)),
        digests=tuple(str(index) for index in range(number)),
        thumbnails=tuple(str(index).encode() for index in range(number)),
        parts=tuple("learning" for _ in range(number)),
    )


def learned(examples: Examples) -> Learned:
    classes = classes_of(examples)
    return run_steps(learn(examples, classes, split(examples, classes, parts=5, seed=0), seed=0))


def test_the_numbers_agree_with_each_other() -> None:
    examples = examples_of(120, 3)
    found = learned(examples)
    metrics, table = found.metrics, np.array(found.metrics["confusion"])
    assert table.sum(1).tolist() == [40, 40, 40]
    assert metrics["pictures_judged"] == 120
    assert metrics["accuracy"] == pytest.approx(np.trace(table) / 120, abs=1e-4)
    low, high = metrics["accuracy_interval"]
    assert low < metrics["accuracy"] < high
    assert metrics["baseline_accuracy"] == pytest.approx(1 / 3, abs=1e-4)
    assert metrics["accuracy"] > metrics["baseline_accuracy"]
    for index, one in enumerate(metrics["per_class"]):
        assert one["recall"] == pytest.approx(table[index, index] / 40, abs=1e-4)
        assert one["precision"] == pytest.approx(table[index, index] / table[:, index].sum(), abs=1e-4)
    assert metrics["validation"] == {"method": "cross-validation", "parts": 5, "pictures": 120}
    assert min(120 - np.trace(table), 12) == len(found.worst)
    assert [one.score for one in found.worst] == sorted((one.score for one in found.worst), reverse=True)
    for one in found.worst:
        assert examples.labels[examples.names.index(one.name)] == one.true != one.predicted
        assert one.thumbnail == examples.thumbnails[examples.names.index(one.name)]


def test_of_many_pictures_one_part_judges() -> None:
    found = learned(examples_of(CROSS_VALIDATED + 2))
    assert found.metrics["validation"]["method"] == "hold-out"
    assert found.metrics["pictures_judged"] == pytest.approx((CROSS_VALIDATED + 2) / 5, abs=2)


def test_the_head_acts_on_raw_features_and_mirrored_pictures_count() -> None:
    examples = examples_of(60, apart=3)
    moved = replace(examples, features=100 + 7 * examples.features, mirrored=100 + 7 * examples.features)
    found = learned(moved)
    predicted = found.weights.logits(moved.features).argmax(1)
    assert [f"class {index}" for index in predicted.tolist()] == list(moved.labels)


def test_progress_is_never_backwards_and_ends_at_its_end() -> None:
    examples = examples_of(30)
    classes = classes_of(examples)
    course = learn(examples, classes, split(examples, classes, parts=5, seed=0), seed=0, done=30)
    told = [one.progress for one in course if one.progress]
    steps = [one.step for one in told]
    assert steps == sorted(steps)
    assert {one.steps for one in told} == {30 + count_of_fits(30, 5)}
    assert steps[-1] == told[-1].steps


def test_copies_lie_in_one_part_and_are_told() -> None:
    examples = examples_of(40)
    examples.hashes[[2, 4]] = examples.hashes[0]  # all of class 0
    examples.hashes[1] = examples.hashes[10]  # of class 1 and class 0
    divided = split(examples, classes_of(examples), parts=5, seed=0)
    assert len(set(divided.fold[[0, 2, 4]].tolist())) == 1
    assert divided.fold[1] == divided.fold[10]
    told = {one.kind: one.pictures for one in oddities(examples, divided)}
    assert set(told["duplicates"]) == {"0.png", "2.png", "4.png"}
    assert set(told["same-picture-in-two-classes"]) == {"1.png", "10.png"}
    assert "imbalance" not in told
    assert "few-pictures" not in told


def test_imbalance_and_few_pictures_are_told() -> None:
    examples = examples_of(60)
    few = examples.corrected(dict.fromkeys(examples.names[1::2][4:]))
    told = {one.kind: one.detail for one in oddities(few, split(few, classes_of(few), parts=5, seed=0))}
    assert "'class 0' has 30" in told["imbalance"]
    assert "'class 1' has only 4" in told["few-pictures"]


def test_nothing_but_copies_teaches_nothing_and_breaks_nothing() -> None:
    examples = examples_of(8)
    examples.hashes[:] = examples.hashes[0]
    found = learned(replace(examples, features=examples.features[:1].expand(8, -1)))
    assert found.metrics["accuracy"] == 0.5
    assert found.weights.weight.isfinite().all()
    assert found.distances.isfinite().all()


def test_too_few_pictures_are_told_with_all_counts() -> None:
    examples = examples_of(5)
    with pytest.raises(NotEnoughImagesError) as refused:
        classes_of(examples.corrected({"1.png": None}))
    assert refused.value.counts == {"class 0": 3, "class 1": 1}
    with pytest.raises(NotEnoughImagesError) as refused:
        classes_of(examples, ["none left", "class 1"])
    assert refused.value.counts == {"class 0": 3, "class 1": 2, "none left": 0}
    with pytest.raises(NotEnoughImagesError, match="none can be read"):
        classes_of(examples.corrected(dict.fromkeys(examples.names)))
