import pytest
import torch
from torch.nn import functional

from app.vision.statistics import (
    accuracy_interval,
    auroc,
    balanced_accuracy,
    best_temperature,
    brier_score,
    calibration_bins,
    calibration_error,
    class_figures,
    confusion,
    expected_calibration_error,
    mcnemar_p,
)


@pytest.mark.parametrize(
    ("right", "number", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998
        (15, 148, 0.0624, 0.1605),
    ],
)
def test_the_interval_is_wilsons(right: int, number: int, low: float, high: float) -> None:
    assert accuracy_interval(right, number) == pytest.approx((low, high), abs=1e-4)


def test_rows_are_what_the_pictures_are() -> None:
    labels, predicted = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 1, 1, 1, 0])
    assert confusion(predicted, labels, 3) == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]


def opinions(number: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels that are drawn by their own probabilities: perfectly calibrated."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(number, 4, generator=generator)
    return logits, logits.softmax(1).multinomial(1, generator=generator)[:, 0]


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_the_temperature_undoes_a_scaling(scale: float) -> None:
    logits, labels = opinions()
    temperature = best_temperature(scale * logits, labels)
    assert temperature == pytest.approx(scale, rel=0.1)
    assert calibration_error(scale * logits / temperature, labels) < 0.03


@pytest.mark.parametrize(("number", "surest"), [(12, 0.96), (1000, 0.9995)])
def test_the_fewer_right_answers_the_less_certain(number: int, surest: float) -> None:
    labels = torch.arange(number) % 2
    logits = 5.0 * functional.one_hot(labels, 2)
    scores = (logits / best_temperature(logits, labels)).softmax(1).max(1).values
    assert scores.max() == pytest.approx(surest, abs=0.01)


def test_honest_scores_have_no_calibration_error_and_boasts_do() -> None:
    logits, labels = opinions()
    honest, boasting = calibration_error(logits, labels), calibration_error(20 * logits, labels)
    right = float((logits.argmax(1) == labels).float().mean())
    assert honest < 0.025
    assert boasting == pytest.approx(1 - right, abs=0.03)


def test_a_score_of_one_is_in_the_last_bin() -> None:
    logits = torch.tensor([[200.0, 0.0], [200.0, 0.0]])
    assert calibration_error(logits, torch.tensor([0, 0])) == 0
    assert calibration_error(logits, torch.tensor([0, 1])) == pytest.approx(0.5)


def test_ties_count_half() -> None:
    generator = torch.Generator().manual_seed(0)
    known = torch.randint(0, 6, (37,), generator=generator).float()
    out_of_distribution = torch.randint(2, 9, (23,), generator=generator).float()
    above = (out_of_distribution[:, None] > known[None]).double() + 0.5 * (
        out_of_distribution[:, None] == known[None]
    ).double()
    assert auroc(known, out_of_distribution) == pytest.approx(float(above.mean()))
    assert auroc(known, known) == pytest.approx(0.5)
    assert auroc(known, known + 10) == 1
    assert auroc(known, known - 10) == 0


def test_the_figures_of_a_class_are_those_by_hand() -> None:
    table = [[8, 1, 1], [2, 6, 0], [0, 0, 0]]  # of the second 2 were taken for the first; of the third there are none
    first, second, third = class_figures(table)
    assert (first.number, first.precision, first.recall) == (10, 8 / 10, 8 / 10)
    assert first.f1 == pytest.approx(0.8)
    assert (second.number, second.precision, second.recall) == (8, 6 / 7, 6 / 8)
    assert second.f1 == pytest.approx(12 / 15)
    assert (third.number, third.precision, third.recall, third.f1) == (0, 0.0, None, 0.0)
    assert balanced_accuracy(table) == pytest.approx((0.8 + 0.75) / 2)


def test_a_class_that_is_neither_there_nor_named_has_no_figures() -> None:
    assert class_figures([[3, 0], [0, 0]])[1].f1 is None
    assert balanced_accuracy([[0]]) == 0.0


def test_the_bins_tell_how_sure_and_how_often_right() -> None:
    confidences = torch.tensor([0.61, 0.65, 0.98, 1.0])
    low, high = calibration_bins(confidences, torch.tensor([True, False, True, True]))
    assert (low.number, high.number, low.accuracy, high.accuracy) == (2, 2, 0.5, 1.0)
    assert (low.start, low.end, high.end) == (9 / 15, 10 / 15, 1.0)
    assert (low.confidence, high.confidence) == pytest.approx((0.63, 0.99))
    assert expected_calibration_error((low, high)) == pytest.approx((0.13 + 0.01) / 2)
    assert expected_calibration_error(()) == 0.0


def test_the_brier_score_is_the_squared_distance() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    by_hand = (0.3**2 + 0.2**2 + 0.1**2) + 0.0 + 2.0
    assert brier_score(probabilities, torch.tensor([0, 1, 0])) == pytest.approx(by_hand / 3)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 6, 2 / 64), (3, 4, 1.0), (39, 0, 2 / 2**39)],
)
def test_mcnemars_test_is_exact(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar_p(only_first, only_second) == pytest.approx(p)
