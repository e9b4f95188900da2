"""What makes a picture that excites a network look like a picture: priors that an objective can add."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.vision.networks.backbones import Backbone


def total_variation(pixels: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, of `(3, H, W)`; large for noise, zero for a flat picture."""
    down = (pixels[:, 1:] - pixels[:, :-1]).abs().mean()
    across = (pixels[:, :, 1:] - pixels[:, :, :-1]).abs().mean()
    variation: Tensor = down + across
    return variation


def gram_similarity(activations: Tensor, pictures: int) -> Tensor:
    """How alike each of some pictures is to the others in style and in what recurs: `(pictures,)`, each in -1..1.

    The mean cosine between its Gram matrix and theirs (Olah, Mordvintsev & Schubert 2017), of activations `(pictures ×
    views, C, H, W)` without the mean over all of them, which all share.
    """
    rows = activations.flatten(2)
    rows = rows - rows.mean((0, 2), keepdim=True)
    rows = rows.reshape(pictures, -1, *rows.shape[1:]).transpose(1, 2).flatten(2)
    grams = functional.normalize((rows @ rows.transpose(1, 2)).flatten(1), dim=1)
    alike = grams @ grams.detach().T
    others: Tensor = (alike.sum(1) - alike.diagonal()) / max(1, pictures - 1)
    return others


class NormPrior:
    """How far the activations of some views are from what the network saw in training, as its norms remember it.

    DeepInversion (Yin 2020), at the last norm of each block and at the first of all, with means and deviations relative
    to the remembered deviation. A network without norms has none: `layers` is empty.
    """

    def __init__(self, backbone: Backbone) -> None:
        norms = {name: module for name, module in backbone.network.named_modules() if hasattr(module, "norm_mean")}
        last = {name.rpartition(".")[0]: name for name in norms}
        chosen = {*last.values(), *list(norms)[:1]}
        self._norms: Mapping[str, nn.Module] = {name: norms[name] for name in norms if name in chosen}
        self.layers = tuple(self._norms)

    def distance(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The mean over the layers, for all views `(n, C, H, W)` together; 0 if they are as in training."""
        distances = [
            _StatisticsDistance.apply(activations[name], norm.norm_mean, norm.norm_std)
            for name, norm in self._norms.items()
        ]
        mean: Tensor = torch.stack(distances).mean()
        return mean


class _StatisticsDistance(torch.autograd.Function):
    """One pass backward; autograd's own takes 2.5 times as long for mean and deviation."""

    @staticmethod
    def forward(ctx: Any, activations: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:  # noqa: ANN401
        rows = _rows(activations)
        number = rows.shape[0]
        own_mean = rows.mean(0)
        squares = torch.linalg.vector_norm(rows, dim=0).square() / number
        own_deviation = (squares - own_mean * own_mean).clamp(min=1e-6).sqrt()
        alive = (deviation > 1e-3).float()
        wanted = deviation.clamp(min=1e-3)
        weight = alive / alive.sum()
        shift, stretch = (own_mean - mean) / wanted, own_deviation / wanted - 1
        by_shift = 2 * shift / wanted * weight / number
        by_stretch = 2 * stretch / own_deviation / wanted * weight / number
        ctx.save_for_backward(activations, by_shift - by_stretch * own_mean, by_stretch)
        distance: Tensor = ((shift * shift + stretch * stretch) * weight).sum()
        return distance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        activations, constant, slope = ctx.saved_tensors
        rows = torch.addcmul(constant * gradients[0], _rows(activations), slope * gradients[0])
        number, channels, height, width = activations.shape
        return rows.reshape(number, height, width, channels).permute(0, 3, 1, 2), None, None


def _rows(activations: Tensor) -> Tensor:
    """`(N * H * W, C)`: a view of what lies in memory as channels_last."""
    return activations.permute(0, 2, 3, 1).reshape(-1, activations.shape[1])
