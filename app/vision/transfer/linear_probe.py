"""The head of a linear probe: logistic regression on standardised features, to the optimum."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_ITERATIONS: Final = 200
_MEMORY: Final = 12
_TOLERANCE: Final = 2e-6
_SUFFICIENT: Final = 1e-4


@dataclass(frozen=True)
class LinearHead:
    """`weight` is `(classes, dimensions)`, `bias` `(classes,)`."""

    weight: Tensor
    bias: Tensor

    def logits(self, rows: Tensor) -> Tensor:
        """Of rows `(n, features)`: `(n, classes)`."""
        return rows @ self.weight.T + self.bias


class Basis:
    """Coordinates `(n, r)` of rows `(n, dimensions)` along their principal axes, without those of no extent.

    The optimum lies in the span of the rows, so that nothing is lost, and few pictures make a small problem. There the
    curvature is nearly diagonal, which is what makes `fit_head` quick.
    """

    def __init__(self, rows: Tensor) -> None:
        number, dimensions = rows.shape
        gram = rows @ rows.T if number < dimensions else rows.T @ rows
        extents, axes = torch.linalg.eigh(gram.double())
        kept = extents > extents[-1] * 1e-7
        self.curvature = (extents[kept] / number).float()
        axes = axes[:, kept]
        if number < dimensions:
            axes = rows.T.double() @ axes / extents[kept].sqrt()
        self._axes = axes.float()
        self.coordinates = rows @ self._axes

    def in_full(self, weights: LinearHead) -> LinearHead:
        """In the coordinates of the rows that the basis was made of."""
        return LinearHead(weights.weight @ self._axes.T, weights.bias)


def fit_head(
    rows: Tensor, labels: Tensor, classes: int, *, l2_penalty: float, curvature: Tensor, start: LinearHead | None = None
) -> Iterator[LinearHead]:
    """Minimise the mean cross-entropy plus `l2_penalty` / 2 of the squared weights; yields after every iteration.

    `rows` are `(n, r)` coordinates of a `Basis`, `curvature` is the basis's. L-BFGS (Nocedal 1980) on all rows at once,
    preconditioned with Böhning's bound (1992) of the curvature; ours because creating an optimizer of torch.optim
    imports for 6 CPU-seconds.
    """
    number = len(rows)
    wanted = functional.one_hot(labels, classes).to(rows)
    scale = torch.cat([0.5 * curvature + l2_penalty, rows.new_tensor([0.5])])

    def slope(flat: Tensor) -> tuple[float, Tensor]:
        weight, bias = flat[:, :-1], flat[:, -1]
        logs = (rows @ weight.T + bias).log_softmax(1)
        error = (logs.exp() - wanted) / number
        loss = l2_penalty / 2 * weight.square().sum() - (logs * wanted).sum() / number
        return float(loss), torch.cat([error.T @ rows + l2_penalty * weight, error.sum(0)[:, None]], 1)

    first = torch.zeros(classes, rows.shape[1] + 1) if start is None else _flat(start)
    for flat in _descend(slope, first.to(rows), lambda gradient: gradient / scale):
        yield LinearHead(flat[:, :-1], flat[:, -1])


def _flat(weights: LinearHead) -> Tensor:
    return torch.cat([weights.weight, weights.bias[:, None]], 1)


def _descend(
    slope: Callable[[Tensor], tuple[float, Tensor]], x: Tensor, precondition: Callable[[Tensor], Tensor]
) -> Iterator[Tensor]:
    """L-BFGS with halved steps until the loss falls enough (Armijo 1966)."""
    steps: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=_MEMORY)
    loss, gradient = slope(x)
    for _ in range(_ITERATIONS):
        direction = -_two_loops(gradient, steps, precondition)
        descent = float((direction * gradient).sum())
        size = 1.0
        while True:
            moved = x + size * direction
            new_loss, new_gradient = slope(moved)
            if new_loss <= loss + _SUFFICIENT * size * descent or size < 1e-6:
                break
            size /= 2
        change, turn = moved - x, new_gradient - gradient
        if (curved := float((change * turn).sum())) > 1e-12:
            steps.append((change, turn, 1 / curved))
        x, loss, gradient = moved, new_loss, new_gradient
        yield x
        if -descent < _TOLERANCE or size < 1e-6:
            return


def _two_loops(
    gradient: Tensor, steps: deque[tuple[Tensor, Tensor, float]], precondition: Callable[[Tensor], Tensor]
) -> Tensor:
    left = gradient
    shares = []
    for change, turn, inverse in reversed(steps):
        share = inverse * float((change * left).sum())
        shares.append(share)
        left = left - share * turn
    direction = precondition(left)
    for (change, turn, inverse), share in zip(steps, reversed(shares), strict=True):
        direction = direction + change * (share - inverse * float((turn * direction).sum()))
    return direction
