"""A frozen network does not need its BatchNorms: each is an affine map that the convolution before it can do."""

import copy

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _BatchNorm | nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


def fold_batchnorm(network: nn.Module) -> nn.Module:
    """A frozen copy in evaluation mode, each BatchNorm folded into the convolution that alone feeds it.

    Names stay: an `nn.Identity` takes the place of a folded norm, so that hooks there see what they saw before.
    The convolution keeps what its output looks like over natural pictures as `norm_mean` and `norm_std`,
    each `(channels,)`. Nothing works in place any more, since hooks and gradients need the values.
    """
    network = copy.deepcopy(network).eval()
    modules = dict(network.named_modules())
    for node in _Tracer().trace(network).nodes:
        if node.op != "call_module" or not isinstance(norm := modules[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) != 1:
            continue
        if not isinstance(convolution := modules[before.target], nn.Conv2d) or norm.running_mean is None:
            continue
        _fold(convolution, norm)
        parent, _, name = node.target.rpartition(".")
        setattr(network.get_submodule(parent), name, nn.Identity())
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return network.requires_grad_(requires_grad=False)


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    convolution.weight, bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    convolution.bias = bias
    convolution.register_buffer("norm_mean", norm.bias.detach().clone(), persistent=False)
    convolution.register_buffer("norm_std", norm.weight.detach().abs(), persistent=False)
