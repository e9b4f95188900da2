"""The layers of a network that can be looked into: their names, shapes and activations."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from app.vision.backbones import Backbone

_SKIPPED = (nn.Dropout, nn.Dropout2d)


class UnknownLayerError(LookupError):
    """No layer has this name, or its output is not spatial; `suggestions` holds the nearest names."""

    def __init__(self, message: str, suggestions: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.suggestions = tuple(suggestions)


@dataclass(frozen=True)
class Layer:
    """`shape` is `(C, H, W)` at the backbone's own input size; `stage` counts the backbone's stages from 0."""

    name: str
    shape: tuple[int, int, int]
    stage: int
    suggested: bool


def list_layers(backbone: Backbone) -> list[Layer]:
    """Every layer with an output of more than one pixel, in the order in which the network runs them.

    A convolution with a folded norm is left out: what it computes is found under the norm's name.
    """
    stages = backbone.card.stages
    layers: list[Layer] = []
    stage = 0
    for name, shape in _spatial_outputs(backbone):
        layers.append(Layer(name, shape, stage, suggested=name in stages))
        if name in stages:
            stage = min(stages.index(name) + 1, len(stages) - 1)
    return layers


def _spatial_outputs(backbone: Backbone) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Names and shapes; of modules that pass on the very same tensor (a container and its last child) only one."""
    found: list[tuple[str, Tensor]] = []

    def note(name: str) -> Any:  # noqa: ANN401 -- a hook
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] * output.shape[-2] > 1:
                found.append((name, output))

        return hook

    with ExitStack() as stack:
        for name, module in backbone.network.named_modules():
            if name and not isinstance(module, _SKIPPED):
                stack.callback(module.register_forward_hook(note(name)).remove)
        weight = next(backbone.network.parameters())
        size = backbone.fit.crop
        with torch.inference_mode():
            backbone(torch.zeros(1, 3, size, size, device=weight.device))
    preferred: dict[int, str] = {}
    for name, output in found:  # the tensors are alive, so that their ids differ
        if id(output) not in preferred or name in backbone.card.stages or _is_place_of_norm(backbone, name):
            preferred[id(output)] = name
    seen = set()
    for _, output in found:
        if id(output) not in seen:
            seen.add(id(output))
            channels, height, width = output.shape[1:]
            yield preferred[id(output)], (channels, height, width)


def _is_place_of_norm(backbone: Backbone, name: str) -> bool:
    return isinstance(backbone.network.get_submodule(name), nn.Identity)


@contextmanager
def capture(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within, each forward pass puts the activations `(N, C, H, W)` of these layers into the dictionary.

    Raises `UnknownLayerError` for a name that is not there, and in the forward pass for an output that is not spatial.
    """
    modules = dict(network.named_modules())
    activations: dict[str, Tensor] = {}

    def keep(name: str) -> Any:  # noqa: ANN401 -- a hook
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim != 4:
                raise UnknownLayerError(f"The layer {name!r} has no spatial output.")
            activations[name] = output

        return hook

    with ExitStack() as stack:
        for name in names:
            if not name or name not in modules:
                near = difflib.get_close_matches(name, modules, n=5, cutoff=0.3)
                raise UnknownLayerError(f"There is no layer {name!r}.", near)
            stack.callback(modules[name].register_forward_hook(keep(name)).remove)
        yield activations
