"""Algorithms that need many answers of a network do not call it: they ask, and whoever runs them answers.

So one forward and backward pass serves many algorithms at once, and progress, previews, cancelling and deadlines are
the runner's affair: it just does not answer the next ask. `run` is the runner for notebooks and tests.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch
from torch import Tensor

from app.vision.classifier import Classifier
from app.vision.networks.frozen_network import frozen_network
from app.vision.networks.layers import capture, is_spatial
from app.vision.openmp import sleep_while_waiting
from app.vision.threads import all_for_each_operation, each, one_for_each_operation, side_by_side, threads_at_hand

if TYPE_CHECKING:
    from app.vision.networks.backbones import Backbone

Result = TypeVar("Result")

_PASS: Final = {"cpu": 8 * 224 * 224}
"""Pixels in one pass: on a CPU more is no quicker, and takes memory."""
_KEPT: Final = {"cpu": 4 * 224 * 224}
"""Where the activations of layers are kept, too: eight ideal images at once take 120 MB, twice as many pixels 320."""
_PART: Final = 224 * 224
"""Pixels that are worth a thread of their own: with fewer, threads wait for each other longer than they work."""
_PASS_ELSEWHERE: Final = 96 * 224 * 224


@dataclass(frozen=True)
class Progress:
    step: int
    steps: int
    score: float | None = None
    """Of what is being optimised; a probability in 0..1 where there is one."""
    loss: float | None = None


@dataclass(frozen=True, eq=False)
class Activity:
    """What an objective gets to see of the network, `n` being the canvases of its ask.

    Logits are `(n, classes)`, pooled features `(n, features)`, the asked layers' activations `(n, C, H, W)`.
    """

    logits: Tensor
    features: Tensor
    layers: Mapping[str, Tensor]


Objective = Callable[[Activity], Tensor]
"""Scores `(n,)`, one for each canvas; the more, the better."""


@dataclass(frozen=True, eq=False)
class Ask:
    """What does `classifier` answer to these canvases, `(n, 3, H, W)` in [0, 1], and how does the objective rise?

    Without an objective it is the answer alone, at a third of the cost. If it `verifies`, the canvases are of whole
    grey levels, and what serves uploads answers. What the two functions return is read before the ask is answered:
    `preview` a picture `(3, H, W)` in [0, 1] of how far it has come, `state` all the tensors that the algorithm needs
    to go on from this very ask (its `resume` argument).
    """

    classifier: Classifier
    canvas: Tensor
    objective: Objective | None = None
    layers: tuple[str, ...] = ()
    verifies: bool = False
    progress: Progress | None = None
    preview: Callable[[], Tensor] | None = None
    state: Callable[[], Mapping[str, Tensor]] | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """Logits `(n, classes)`, pooled features `(n, features)`, scores `(n,)`, and the gradient of each score by its
    canvas, `(n, 3, H, W)`.

    Scores and gradient are empty without an objective. All lie on the device of the canvas.
    """

    logits: Tensor
    features: Tensor
    scores: Tensor = field(default_factory=lambda: torch.empty(0))
    gradient: Tensor = field(default_factory=lambda: torch.empty(0))


Algorithm = Generator[Ask, Answer, Result]


@dataclass(frozen=True, eq=False)
class Pause:
    """Where an algorithm that runs networks by itself can be told about, stopped, and gone on from.

    `metric` is worth keeping for a curve; `state` as in `Ask`.
    """

    progress: Progress | None = None
    metric: Mapping[str, float | int | str] | None = None
    state: Callable[[], Mapping[str, Tensor]] | None = None


Steps = Generator[Pause, None, Result]
"""Pauses are to be short of a second apart."""


def run_steps(steps: Steps[Result]) -> Result:
    """Let it run to its end, for notebooks and tests."""
    sleep_while_waiting()
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: Result = end.value
        return result


def run(algorithm: Algorithm[Result]) -> Result:
    """Answer all that an algorithm asks, and return what it returns. Raises what answering an ask raises."""
    sleep_while_waiting()
    try:
        with one_for_each_operation():
            asked = next(algorithm)
            while True:
                (answered,) = answer([asked])
                if isinstance(answered, Exception):
                    raise answered
                asked = algorithm.send(answered)
    except StopIteration as end:
        result: Result = end.value
        return result


Serving = Callable[[Classifier, Tensor], Tensor | None]
"""Features `(n, features)` of canvases as what serves sees them; None where that is PyTorch in float32, or as good."""


def answer(asks: Sequence[Ask], serving: Serving = lambda *_: None) -> list[Answer | Exception]:
    """Answer each ask, with one pass for all that share backbone and canvas size.

    An ask gets the same bits in any company: heads and objectives run for each by itself, and the backbone never runs
    a batch of one with several CPU threads, where its kernels round differently. An ask that cannot be answered gets
    the exception, and the others their answers.
    """
    answers: dict[int, Answer | Exception] = {}
    for index, ask in enumerate(asks):
        if ask.verifies and (verified := _verified(ask, serving)):
            answers[index] = verified
    rest = [index for index in range(len(asks)) if index not in answers]
    for places in _passes([asks[index] for index in rest]):
        indices = [rest[place] for place in places]
        together = [asks[index] for index in indices]
        answers.update(zip(indices, _answer_as_many_as_possible(together), strict=True))
    return [answers[index] for index in range(len(asks))]


def _verified(ask: Ask, serving: Serving) -> Answer | Exception | None:
    try:
        (features,) = all_for_each_operation(partial(serving, ask.classifier), [ask.canvas])
    except Exception as error:  # this ask's alone
        return error
    if features is None:
        return None
    with torch.inference_mode():
        logits = ask.classifier.head(features)
    device = ask.canvas.device
    return Answer(logits.to(device), features.to(device))


def _answer_as_many_as_possible(asks: Sequence[Ask]) -> list[Answer | Exception]:
    """A pass that fails, for want of memory or for one ask's layer, is tried again with each ask by itself."""
    try:
        return _answer_pass(asks)
    except Exception as error:
        if len(asks) == 1:
            return [error]
    return [_answer_as_many_as_possible([ask])[0] for ask in asks]  # when the error holds no memory any more


def _passes(asks: Sequence[Ask]) -> Iterator[list[int]]:
    alike: dict[tuple[Backbone, torch.Size, bool, bool], list[int]] = defaultdict(list)
    for index, ask in enumerate(asks):
        alike[ask.classifier.backbone, ask.canvas.shape[2:], ask.objective is None, bool(ask.layers)].append(index)
    for (backbone, size, _, keeps), indices in alike.items():
        room = (_KEPT if keeps else _PASS).get(backbone.mean.device.type, _PASS_ELSEWHERE) // size.numel()
        pass_: list[int] = []
        canvases = 0
        for index in indices:
            number = len(asks[index].canvas)
            if pass_ and canvases + number > room:
                yield pass_
                pass_, canvases = [], 0
            pass_.append(index)
            canvases += number
        yield pass_


def _answer_pass(asks: Sequence[Ask]) -> list[Answer | Exception]:
    backbone = asks[0].classifier.backbone
    canvases = torch.cat([ask.canvas.detach().to(backbone.mean.device) for ask in asks])
    wants_gradient = asks[0].objective is not None
    names = tuple(dict.fromkeys(name for ask in asks for name in ask.layers))
    parts, every = _spread(canvases.contiguous(memory_format=torch.channels_last))

    def see(part: Tensor) -> list[Tensor]:
        with torch.set_grad_enabled(wants_gradient):
            return _seen(backbone, part.requires_grad_(wants_gradient), names)

    seen = every(see, parts)
    # Attached, a slice would be a step of the way back, and held until its end.
    columns = ([part.detach() for part in column] for column in zip(*seen, strict=True))
    looks = list(zip(asks, _regrouped(columns, (len(ask.canvas) for ask in asks)), strict=True))
    if canvases.device.type == "cpu":
        with one_for_each_operation():
            leaves = each(lambda look: _Leaves(look[0], names, look[1]), looks)
    else:
        leaves = [_Leaves(ask, names, part) for ask, part in looks]
    if wants_gradient:
        _pull_back(parts, seen, leaves, every)
    return [leaf.answer() for leaf in leaves]


_Every = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]


def _spread(canvases: Tensor) -> tuple[list[Tensor], _Every]:
    """In parts for threads that go on beside each other, and what lets them; where most threads would have none, all of
    them share the whole instead.
    """
    threads = threads_at_hand() if canvases.device.type == "cpu" else 1
    number = min(threads, len(canvases), max(1, canvases[:, 0].numel() // _PART))
    if 1 < threads <= 2 * number:
        return list(canvases.tensor_split(number)), side_by_side
    if threads > 1 and len(canvases) == 1:
        canvases = canvases.expand(2, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    return [canvases], all_for_each_operation


def _seen(backbone: "Backbone", canvases: Tensor, layers: tuple[str, ...]) -> list[Tensor]:
    """The features, and the activations of these layers; raises `UnknownLayerError`."""
    if canvases.device.type == "cpu" and (frozen := frozen_network(backbone, layers)):
        seen = frozen(canvases)
        if all(is_spatial(activations) for activations in seen[1:]):
            return list(seen)
    with capture(backbone.network, layers) as captured:
        features = backbone(canvases)
    return [features, *(captured[layer] for layer in layers)]


def _regrouped(columns: Iterable[Sequence[Tensor]], numbers: Iterable[int]) -> Iterator[list[Tensor]]:
    """Of each column of tensors, as many rows at a time as the numbers say."""
    columns, start = list(columns), 0
    for number in numbers:
        yield [_rows(column, start, start + number) for column in columns]
        start += number


def _rows(tensors: Sequence[Tensor], start: int, stop: int) -> Tensor:
    """The rows `start..stop` of tensors that follow each other; copied where they lie in several."""
    found: list[Tensor] = []
    for tensor in tensors:
        if start < len(tensor) and stop > 0:
            found.append(tensor[max(start, 0) : stop])
        start, stop = start - len(tensor), stop - len(tensor)
    if not found:  # nobody forbids an ask without canvases
        return tensors[0][:0]
    return found[0] if len(found) == 1 else torch.cat(found)


class _Leaves:
    """What one ask sees, cut off from the network, so that its head and objective have a small graph of their own."""

    def __init__(self, ask: Ask, names: Sequence[str], parts: Sequence[Tensor]) -> None:
        self._ask = ask
        self._failure: Exception | None = None
        self._scores = self._gradient = torch.empty(0)
        self.leaves = [part.detach().requires_grad_(ask.objective is not None) for part in parts]
        self.gradients: list[Tensor] = []
        activations = dict(zip(names, self.leaves[1:], strict=True))
        with torch.set_grad_enabled(ask.objective is not None):
            self._logits = ask.classifier.head(self.leaves[0])
            if ask.objective is None:
                return
            found: Sequence[Tensor | None] = [None] * len(self.leaves)
            try:
                scores = ask.objective(Activity(self._logits, self.leaves[0], activations))
                found = torch.autograd.grad(scores.sum(), self.leaves, allow_unused=True)
                self._scores = scores.detach()
            except Exception as error:  # the objective of one must not fail the others
                self._failure = error
        both = zip(found, self.leaves, strict=True)
        self.gradients = [torch.zeros_like(leaf) if one is None else one for one, leaf in both]

    def take(self, gradient: Tensor) -> None:
        self._gradient = gradient.to(self._ask.canvas.device)

    def answer(self) -> Answer | Exception:
        device = self._ask.canvas.device
        if self._failure:
            return self._failure
        logits, features = (one.detach().to(device) for one in (self._logits, self.leaves[0]))
        return Answer(logits, features, self._scores.to(device), self._gradient)


def _pull_back(
    parts: Sequence[Tensor], seen: Sequence[Sequence[Tensor]], leaves: Sequence[_Leaves], every: _Every
) -> None:
    """One backward pass, from what every ask sees to its canvases."""
    columns = list(zip(*(leaf.gradients for leaf in leaves), strict=True))
    if padding := sum(map(len, parts)) - sum(map(len, columns[0])):
        columns = [(*column, column[0].new_zeros((padding, *column[0].shape[1:]))) for column in columns]
    back = zip(seen, parts, _regrouped(columns, map(len, parts)), strict=True)
    found = every(lambda one: torch.autograd.grad(*one)[0], list(back))
    numbers = (len(leaf.leaves[0]) for leaf in leaves)
    for leaf, (gradient,) in zip(leaves, _regrouped([found], numbers), strict=True):
        leaf.take(gradient)
