from collections.abc import Callable
from typing import Any

from torch import Tensor

from app.vision.ask import Algorithm, Answer, Ask, answer
from app.vision.threads import one_for_each_operation


def asked_until(algorithm: Algorithm[Any], reached: Callable[[Ask], bool]) -> Ask:
    """The first ask of which this is true; on the way there it is answered as by `run`."""
    with one_for_each_operation():
        asked = next(algorithm)
        while not reached(asked):
            (answered,) = answer([asked])
            assert isinstance(answered, Answer)
            asked = algorithm.send(answered)
    return asked


def state_after(algorithm: Algorithm[Any], steps: int) -> dict[str, Tensor]:
    """As a checkpoint would keep it."""
    asked = asked_until(algorithm, lambda ask: bool(ask.state and ask.progress and ask.progress.step > steps))
    assert asked.state
    return {name: tensor.clone() for name, tensor in asked.state().items()}
