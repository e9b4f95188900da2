"""One look into a network: what its layers make of a canvas, and how a class's logit would rise with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from app.vision.networks.layers import capture
from app.vision.networks.partial_network import partial_network
from app.vision.pixels import to_pixels

if TYPE_CHECKING:
    from app.vision.classifier import Classifier
    from app.vision.image import Canvas
    from app.vision.serving.runtimes import StagedFeatureExtractor


@dataclass(frozen=True, eq=False)
class Insight:
    """`logits` are `(classes,)`; by layer, activations and the target logit's gradient by them, `(C, H, W)` each.

    All of it lies on the CPU. `unknown`: how surely the picture is of none of the classes, 0..1.
    """

    logits: Tensor
    unknown: float | None
    target: int
    activations: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]

    @property
    def score(self) -> float:
        """Probability of the target."""
        return float(self.logits.softmax(0)[self.target])

    def contributions(self, layer: str) -> Tensor:
        """Of each channel, `(C,)`: gradient × activation, summed; to first order, its part of the target's logit."""
        return (self.gradients[layer] * self.activations[layer]).sum((1, 2))


def look_into(
    classifier: "Classifier",
    canvas: "Canvas",
    layers: Sequence[str],
    target: int | None = None,
    *,
    forward: "StagedFeatureExtractor | None" = None,
) -> Insight:
    """At these layers, for this class (default: the likeliest).

    With a `forward`, the end of a stage comes from there, and PyTorch computes the gradient of what follows alone: half
    the time, and numbers that agree to about 1e-4. Raises `UnknownLayerError`.
    """
    if forward and len(layers) == 1 and layers[0] in classifier.backbone.card.stages:
        tail = partial_network(classifier.backbone, layers[0])
        if tail:
            activations = forward.stage(canvas, layers[0]).clone(memory_format=torch.channels_last).requires_grad_()
            return _insight(classifier, tail(activations), {layers[0]: activations}, target)
    backbone = classifier.backbone
    pixels = to_pixels(canvas[None], backbone.mean.device).requires_grad_()
    with capture(backbone.network, layers) as captured:
        features = backbone(pixels)
    return _insight(classifier, features, captured, target)


def _insight(
    classifier: "Classifier", features: Tensor, activations: Mapping[str, Tensor], target: int | None
) -> Insight:
    logits = classifier.head(features)[0]
    chosen = int(logits.argmax()) if target is None else target
    gradients = torch.autograd.grad(logits[chosen], list(activations.values()))
    return Insight(
        logits=logits.detach().cpu(),
        unknown=classifier.unknown(features.detach())[0],
        target=chosen,
        activations={name: values.detach()[0].cpu() for name, values in activations.items()},
        gradients={name: values[0].cpu() for name, values in zip(activations, gradients, strict=True)},
    )
