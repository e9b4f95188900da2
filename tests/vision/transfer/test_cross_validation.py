import numpy as np
import pytest

from app.vision.transfer.cross_validation import folds


def alone(number: int) -> np.ndarray:
    return np.arange(number)


@pytest.mark.parametrize("number", [2, 5])
def test_every_class_and_every_fold_is_as_even_as_it_can_be(number: int) -> None:
    labels = np.repeat([0, 1, 2, 3], [2, 33, 100, 7])
    fold = folds(labels, alone(len(labels)), number, seed=3)
    for label in range(4):
        counts = np.bincount(fold[labels == label], minlength=number)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(fold, minlength=number)
    assert len(sizes) == number
    assert sizes.max() - sizes.min() <= 2


def test_a_group_is_never_divided_and_the_rest_makes_up_for_it() -> None:
    random = np.random.default_rng(0)
    labels, groups = random.integers(0, 5, 1000), random.integers(0, 600, 1000)
    fold = folds(labels, groups, 5, seed=0)
    for group in np.unique(groups):
        assert len(np.unique(fold[groups == group])) == 1
    for label in range(5):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 3


def test_one_large_group_fills_a_fold_and_the_others_share_what_is_left() -> None:
    groups = np.append(np.zeros(40, np.int64), np.arange(1, 61))
    fold = folds(np.zeros(100, np.int64), groups, 3, seed=0)
    assert sorted(np.bincount(fold)) == [30, 30, 40]


def test_the_seed_decides() -> None:
    labels = np.repeat([0, 1], 50)
    first, again, other = (folds(labels, alone(100), 5, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_fewer_pictures_than_folds_leave_folds_empty() -> None:
    assert sorted(folds(np.array([7, 7, 9]), alone(3), 5, seed=0)) == [0, 1, 2]
    assert len(folds(alone(0), alone(0), 5, seed=0)) == 0


def test_thousands_of_classes_and_pictures_are_spread_evenly() -> None:
    labels = np.random.default_rng(0).integers(0, 1000, 20_000)
    fold = folds(labels, alone(20_000), 5, seed=0)
    held = np.zeros((5, 1000), np.int64)
    np.add.at(held, (fold, labels), 1)
    assert (held.max(axis=0) - held.min(axis=0)).max() <= 1
