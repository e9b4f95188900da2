import pytest
import torch
from torch.nn import functional

from app.vision.transfer.evaluation import accuracy_interval, auroc, best_temperature, calibration_error, confusion


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
