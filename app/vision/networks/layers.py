"""The layers of a network that can be looked into: their names, shapes and activations."""

import difflib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import torch
from torch import Tensor, nn

from app.vision.networks.backbones import Backbone, once_a_backbone

_SKIPPED: Final = (nn.Dropout, nn.Dropout2d)
_NOT_SPATIAL: Final = (*_SKIPPED, nn.Linear, nn.Flatten)


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


@once_a_backbone
def list_layers(backbone: Backbone) -> tuple[Layer, ...]:
    """Every layer with an output of more than one pixel, in the order in which the network runs them.

    Runs the network once, at the first call for a backbone. A convolution with a folded norm is left out: what it
    computes is found under the norm's name.
    """
    stages = backbone.card.stages
    layers: list[Layer] = []
    stage = 0
    for name, shape in _spatial_outputs(backbone):
        layers.append(Layer(name, shape, stage, suggested=name in stages))
        if name in stages:
            stage = min(stages.index(name) + 1, len(stages) - 1)
    return tuple(layers)


def find_layer(backbone: Backbone, name: str) -> tuple[int, Layer]:
    """A layer and its place in the list of layers; raises `UnknownLayerError`."""
    layers = list_layers(backbone)
    for index, layer in enumerate(layers):
        if layer.name == name:
            return index, layer
    module = dict(backbone.network.named_modules()).get(name)
    message = f"There is no layer {name!r}."
    if hasattr(module, "norm_mean"):
        message = f"The norm after {name!r} is folded into it: what both compute is found under the norm's name."
    elif module:
        message = f"The layer {name!r} has no spatial output."
    raise UnknownLayerError(message, nearest_layers(name, [layer.name for layer in layers]))


def _spatial_outputs(backbone: Backbone) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Names and shapes; of modules that pass on the very same tensor (a container and its last child) only one."""
    network = backbone.network
    found: dict[str, Tensor] = {}
    thread = threading.get_ident()

    def note(name: str) -> Any:  # noqa: ANN401 -- a hook
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if threading.get_ident() != thread:  # the network answers others meanwhile
                return
            found.pop(name, None)  # of a module that runs more than once, the last output counts, as in `capture`
            if is_spatial(output):
                found[name] = output

        return hook

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name and not isinstance(module, _SKIPPED):
                stack.callback(module.register_forward_hook(note(name)).remove)
        weight = next(network.parameters())
        size = backbone.preprocessing.crop
        with torch.inference_mode():
            backbone(torch.zeros(1, 3, size, size, device=weight.device))
    names: dict[int, str] = {}
    for name, output in found.items():  # the tensors are alive, so that their ids differ
        present = names.setdefault(id(output), name)
        if name in backbone.card.stages or _takes_place(network.get_submodule(name), network.get_submodule(present)):
            names[id(output)] = name
    outputs = {id(output): output for output in found.values()}
    for identity, output in outputs.items():
        channels, height, width = output.shape[1:]
        yield names[identity], (channels, height, width)


def _takes_place(module: nn.Module, before: nn.Module) -> bool:
    """Whether this is where a norm was that is folded into the convolution before it."""
    return isinstance(module, nn.Identity) and hasattr(before, "norm_mean")


def is_spatial(output: object) -> TypeGuard[Tensor]:
    return isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[-2:]) > 1


@contextmanager
def capture(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within, each forward pass puts the activations `(N, C, H, W)` of these layers into the dictionary.

    Gradients reach them. Of a module that runs more than once it is the last activation; passes of other threads are
    not looked at. Raises `UnknownLayerError` for a name that is not there, and in the forward pass for an output that
    is not spatial.
    """
    modules = dict(network.named_modules())
    activations: dict[str, Tensor] = {}
    thread = threading.get_ident()

    def keep(name: str) -> Any:  # noqa: ANN401 -- a hook
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            if threading.get_ident() != thread:
                return None
            if not is_spatial(output):
                raise UnknownLayerError(f"The layer {name!r} has no spatial output.", _nearest(name, modules))
            activations[name] = output
            return output.clone()  # the network goes on with a copy: ResNet adds to it in place

        return hook

    with ExitStack() as stack:
        for name in names:
            if not name or name not in modules:
                raise UnknownLayerError(f"There is no layer {name!r}.", _nearest(name, modules))
            stack.callback(modules[name].register_forward_hook(keep(name)).remove)
        yield activations


def _nearest(name: str, modules: Mapping[str, nn.Module]) -> list[str]:
    others = [other for other, module in modules.items() if other != name and not isinstance(module, _NOT_SPATIAL)]
    return nearest_layers(name, others)


def nearest_layers(name: str, layers: Iterable[str]) -> list[str]:
    """The names that look most like this one, the nearest first."""
    return difflib.get_close_matches(name, list(layers), n=5, cutoff=0.3)
