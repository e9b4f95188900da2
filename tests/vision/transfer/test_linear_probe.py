import pytest
import torch
from torch import Tensor
from torch.nn import functional

from app.vision.transfer.linear_probe import Basis, LinearHead, fit_head


def points(number: int, dimensions: int, classes: int) -> tuple[Tensor, Tensor]:
    """Clouds that overlap, their features of very different extents."""
    generator = torch.Generator().manual_seed(number)
    labels = torch.arange(number) % classes
    centres = torch.randn(classes, dimensions, generator=generator)
    extents = torch.logspace(0.5, -1.5, dimensions)
    return (centres[labels] + 2 * torch.randn(number, dimensions, generator=generator)) * extents, labels


def loss_of(flat: Tensor, rows: Tensor, labels: Tensor, l2_penalty: float) -> Tensor:
    weight, bias = flat[:, :-1], flat[:, -1]
    return functional.cross_entropy(rows @ weight.T + bias, labels) + l2_penalty / 2 * weight.square().sum()


def optimum(rows: Tensor, labels: Tensor, classes: int, l2_penalty: float) -> float:
    """By Newton's method in double precision, in all dimensions."""

    def loss(flat: Tensor) -> Tensor:
        return loss_of(flat.view(classes, -1), rows.double(), labels, l2_penalty)

    flat = torch.zeros(classes * (rows.shape[1] + 1), dtype=torch.float64)
    ridge = 1e-9 * torch.eye(len(flat), dtype=torch.float64)  # biases may all grow alike
    for _ in range(30):
        slope = torch.autograd.functional.jacobian(loss, flat)  # type: ignore[no-untyped-call]
        curvature = torch.autograd.functional.hessian(loss, flat)  # type: ignore[no-untyped-call]
        step = torch.linalg.solve(curvature + ridge, slope)
        while loss(flat - step) > loss(flat) and step.norm() > 1e-12:
            step = step / 2
        flat = flat - step
    assert float(slope.norm()) < 1e-6
    return float(loss(flat))


def fitted(
    rows: Tensor, labels: Tensor, classes: int, l2_penalty: float, start: LinearHead | None = None
) -> list[LinearHead]:
    """Every iterate, in the coordinates of the basis."""
    basis = Basis(rows)
    return list(
        fit_head(basis.coordinates, labels, classes, l2_penalty=l2_penalty, curvature=basis.curvature, start=start)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "dimensions", "classes"), [(30, 60, 3), (300, 20, 4), (60, 60, 2)])
@pytest.mark.parametrize("l2_penalty", [1.0, 0.01, 0.001])
def test_ends_at_the_optimum_of_the_regularised_logistic_regression(
    number: int, dimensions: int, classes: int, l2_penalty: float
) -> None:
    rows, labels = points(number, dimensions, classes)
    basis = Basis(rows)
    full = basis.in_full(fitted(rows, labels, classes, l2_penalty)[-1])
    flat = torch.cat([full.weight, full.bias[:, None]], 1).double().requires_grad_()
    loss = loss_of(flat, rows.double(), labels, l2_penalty)
    (slope,) = torch.autograd.grad(loss, flat)
    assert float(loss.detach()) == pytest.approx(optimum(rows, labels, classes, l2_penalty), abs=4e-4)
    assert float(slope.norm()) < 5e-3


@pytest.mark.parametrize(("number", "dimensions"), [(30, 200), (200, 30)])
def test_a_basis_loses_nothing(number: int, dimensions: int) -> None:
    rows, _ = points(number, dimensions, 2)
    rows = torch.cat([rows, rows[:5], rows[:1] * 0])  # copies add no axis, and neither does nothing
    basis = Basis(rows)
    assert basis.coordinates.shape == (number + 6, min(number, dimensions))
    assert torch.allclose(basis.coordinates @ basis.coordinates.T, rows @ rows.T, rtol=1e-3, atol=1e-2)
    weights = LinearHead(torch.randn(3, basis.coordinates.shape[1]), torch.randn(3))
    assert torch.allclose(basis.in_full(weights).logits(rows), weights.logits(basis.coordinates), atol=1e-2)


def test_a_warm_start_ends_at_the_same_place_sooner() -> None:
    rows, labels = points(200, 60, 3)
    cold = fitted(rows, labels, 3, 0.01)
    warm = fitted(rows, labels, 3, 0.01, start=fitted(rows, labels, 3, 0.02)[-1])
    assert len(warm) < len(cold)
    one_end, other_end = (one[-1].logits(Basis(rows).coordinates).softmax(1) for one in (warm, cold))
    assert torch.allclose(one_end, other_end, atol=0.01)
    assert len(fitted(rows, labels, 3, 0.01, start=cold[-1])) <= 2


def test_the_larger_the_strength_the_smaller_the_weights() -> None:
    rows, labels = points(100, 30, 2)
    sizes = [float(fitted(rows, labels, 2, l2_penalty)[-1].weight.norm()) for l2_penalty in (1.0, 0.1, 0.01, 0.001)]
    assert sizes == sorted(sizes)


def test_classes_far_apart_end_with_finite_weights_that_are_right() -> None:
    rows = torch.cat([torch.full((5, 8), -50.0), torch.full((5, 8), 50.0)]) + torch.eye(10)[:, :8]
    labels = torch.arange(10) // 5
    weights = fitted(rows, labels, 2, 1e-6)[-1]
    assert weights.weight.isfinite().all()
    assert weights.logits(Basis(rows).coordinates).argmax(1).tolist() == labels.tolist()


def test_features_that_never_change_leave_the_bias_alone() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    basis = Basis(torch.zeros(4, 6))
    weights = fitted(torch.zeros(4, 6), labels, 2, 0.1)[-1]
    assert basis.coordinates.shape == (4, 0)
    assert weights.logits(basis.coordinates).softmax(1)[0].tolist() == pytest.approx([0.75, 0.25], abs=2e-3)


def test_a_class_without_pictures_becomes_unlikely_and_no_pictures_at_all_decide_nothing() -> None:
    rows, labels = points(40, 10, 2)
    scores = fitted(rows, labels, 3, 0.01)[-1].logits(Basis(rows).coordinates).softmax(1)
    assert scores.isfinite().all()
    assert float(scores[:, 2].max()) < 0.1
    nothing = list(fit_head(torch.zeros(0, 10), labels[:0], 3, l2_penalty=0.01, curvature=torch.ones(10)))
    assert not nothing[-1].weight.any()
    assert not nothing[-1].bias.any()
