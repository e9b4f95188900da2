"""A frozen network does not need its BatchNorms: each is an affine map that the convolution before it can do."""

import copy
from collections import Counter

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from app.vision.networks.tracing import trace


def fold_batchnorm(network: nn.Module) -> nn.Module:
    """A frozen copy in evaluation mode, each BatchNorm folded into the convolution that alone feeds it.

    Names stay: an `nn.Identity` takes the place of a folded norm, so that hooks there see what they saw before.
    The convolution keeps what its output looks like over natural pictures as `norm_mean` and `norm_std`,
    each `(channels,)`. Nothing works in place any more, since hooks and gradients need the values.
    A norm stays where folding would change another place too: where it or its convolution is used twice.
    """
    return fold_batchnorm_(copy.deepcopy(network))


def fold_batchnorm_(network: nn.Module) -> nn.Module:
    """`fold_batchnorm` of the network itself: for whoever alone has it, since a copy of VGG takes 553 MB."""
    network.eval()
    modules = dict(network.named_modules())
    graph, _ = trace(network, leaves=(_BatchNorm, nn.Conv2d))
    nodes = graph.nodes
    calls = Counter(node.target for node in nodes if node.op == "call_module")
    for node in nodes:
        if calls[node.target] != 1 or type(norm := modules[node.target]) is not nn.BatchNorm2d:
            continue  # a subclass may do more than normalize
        (before,) = node.all_input_nodes
        if calls[before.target] != 1 or len(before.users) != 1 or norm.running_mean is None:
            continue
        if not isinstance(convolution := modules[before.target], nn.Conv2d):
            continue
        _fold(convolution, norm)
        parent, _, name = node.target.rpartition(".")
        setattr(network.get_submodule(parent), name, nn.Identity())
    return keep_activations(network).requires_grad_(requires_grad=False)


def keep_activations(network: nn.Module) -> nn.Module:
    """Let no module work in place, so that what it got is still there for hooks and gradients."""
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return network


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.ones_like(norm.running_mean) if norm.weight is None else norm.weight.detach()
    shift = torch.zeros_like(norm.running_mean) if norm.bias is None else norm.bias.detach()
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, scale, shift
    )
    convolution.register_buffer("norm_mean", shift.clone(), persistent=False)
    convolution.register_buffer("norm_std", scale.abs(), persistent=False)
