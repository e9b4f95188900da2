"""A frozen network with a way back to its input alone: what autograd does for a CPU, in fewer passes over memory.

A convolution and the rectifier after it are one operation of oneDNN. Of both, the way back needs the rectified output
alone, and is a convolution with the turned weights. As autograd has it, the rectifiers take a fifth of the time, and
padding as TensorFlow does another tenth.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import add, iadd
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from app.vision.networks.backbones import Backbone, once_a_backbone
from app.vision.networks.efficientnet_lite import SameConv2d, same_padding
from app.vision.networks.tracing import trace

FrozenNetwork = Callable[[Tensor], tuple[Tensor, ...]]
"""Pixels `(N, 3, H, W)` in [0, 1] to the features `(N, features)` and the activations of some layers, `(N, C, h, w)`
each; differentiable in the pixels.
"""

_RECTIFIERS: Final[dict[type[nn.Module], tuple[str, list[float]]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
"""What oneDNN calls them, and their bounds."""
_FEW: Final = 4
"""Channels, as a picture has."""
_SIZES: Final = 3
"""Sizes of canvases for which a backbone's weights are kept in the order of oneDNN's kernels, 25 MB each for Lite0,
there and back. An ideal image grows through three.
"""


@once_a_backbone
def frozen_network(backbone: Backbone, layers: tuple[str, ...]) -> FrozenNetwork | None:
    """The network, on a CPU, up to its features, and what these layers compute on the way; shares the weights.

    None where oneDNN cannot be had, or a layer is not one of the network's.
    """
    if not _has_onednn():
        return None
    graph, outputs = trace(backbone.network, leaves=(nn.Conv2d,))
    if not all(layer in outputs for layer in layers):
        return None
    modules: dict[str, nn.Module] = dict(backbone.network.named_modules())
    wanted = {outputs[layer] for layer in layers}
    ends: dict[fx.Node, fx.Node] = {}
    convolutions: dict[fx.Node, FrozenConvolution] = {}
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target is iadd:  # what it would change is given out, or needed again
            node.target = add
        convolution = _module(node, modules)
        if isinstance(convolution, nn.Conv2d) and _is_plain(convolution):
            end, rectifier = _rectified(node, modules, wanted)
            name = f"frozen_convolutions.{len(ends)}"  # not below its own name, where the network itself would keep it
            with graph.inserting_after(end):
                ends[end] = graph.call_module(name, node.args)
            kept = _ordered_weights(backbone, str(node.target))
            modules[name] = convolutions[ends[end]] = FrozenConvolution(convolution, rectifier, kept)
            end.replace_all_uses_with(ends[end])
    (output,) = graph.find_nodes(op="output")
    output.args = ((output.args[0], *(ends.get(outputs[layer], outputs[layer]) for layer in layers)),)
    for node, frozen in convolutions.items():  # what one convolution pulls back for this one alone may be changed
        frozen.owns_gradient = len(node.users) == 1 and next(iter(node.users)) in convolutions
    network = fx.GraphModule(modules, graph)
    network.graph.eliminate_dead_code()
    network.recompile()
    mean, std = backbone.mean, backbone.std
    return lambda pixels: network((pixels - mean) / std)


def _module(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """What the node calls, if that is a module."""
    return modules.get(str(node.target)) if node.op == "call_module" else None


def _has_onednn() -> bool:
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def _is_plain(convolution: nn.Conv2d) -> bool:
    return (
        convolution.padding_mode == "zeros"
        and convolution.dilation == (1, 1)
        and not isinstance(convolution.padding, str)
        and all(pad < size for pad, size in zip(convolution.padding, convolution.kernel_size, strict=True))
        and convolution.weight.dtype == torch.float32
        and not convolution.weight.requires_grad
    )


def _rectified(start: fx.Node, modules: dict[str, nn.Module], wanted: set[fx.Node]) -> tuple[fx.Node, nn.Module | None]:
    """Where a convolution's output has been rectified, if nobody wants to see it before; and what does that."""
    node = start
    while node not in wanted and len(node.users) == 1:
        (user,) = node.users
        module = _module(user, modules)
        if type(module) in _RECTIFIERS:
            return user, module
        if not isinstance(module, nn.Identity):
            break
        node = user
    return start, None


class FrozenConvolution(nn.Module):
    """A convolution whose weights get no gradient, and the rectifier after it: `(N, C, H, W)` to `(N, D, h, w)`."""

    def __init__(
        self, convolution: nn.Conv2d, rectifier: nn.Module | None, kept: "tuple[_Ordered, _Ordered] | None" = None
    ) -> None:
        """`kept` are the weights there and back, which networks of one backbone share."""
        super().__init__()
        self._convolution = convolution
        self.rectifier = rectifier
        self.owns_gradient = False
        """Whether nobody else gets the gradient that comes back to it, so that it may be changed."""
        self._how = ("none", []) if rectifier is None else _RECTIFIERS[type(rectifier)]
        self._forward_weights, self._backward_weights = kept or (_Ordered(), _Ordered())

    def forward(self, x: Tensor) -> Tensor:
        """Differentiable in `x`."""
        y: Tensor = _Convolved.apply(x, self)
        return y

    def convolved(self, x: Tensor) -> Tensor:
        """Without gradients."""
        own = self._convolution
        padding, front = self._padding(x.shape)

        def ordered() -> Tensor:
            weight = self._weight(front)
            return _reordered(weight, padding, own.stride, own.dilation, own.groups, x.shape)

        weight = self._forward_weights.get(x.shape[2:], ordered)
        name, bounds = self._how
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, own.bias, padding, own.stride, own.dilation, own.groups, name, bounds, ""
        )
        return y

    def pulled_back(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        """From the output before it is rectified to an input of this shape."""
        own = self._convolution
        padding, front = self._padding(shape)
        if own.stride == (1, 1):
            pads = [size - 1 - pad for size, pad in zip(own.kernel_size, padding, strict=True)]
            return self._turned_convolution(gradient, shape, pads, self._turned)
        if own.in_channels <= _FEW and own.groups == 1 and own.stride[0] == own.stride[1]:
            step = own.stride[0]
            height, width = shape[2:]
            missing = [
                max(0, -(-side // step) - have) for side, have in zip(shape[2:], gradient.shape[2:], strict=True)
            ]
            gradient = functional.pad(gradient, (0, missing[1], 0, missing[0]))
            taps = [_taps(*one, step) for one in zip(self._weight(front).shape[2:], padding, strict=True)]
            reach = max(abs(place) for some in taps for *_, place in some)
            spread = self._turned_convolution(gradient, shape, [reach] * 2, lambda: self._spread(front, taps, reach))
            return functional.pixel_shuffle(spread, step)[..., :height, :width]
        like = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last)
        pulled: Tensor = torch.ops.aten.convolution_backward(
            gradient, like, self._weight(front), None, own.stride, padding, own.dilation,
            False, (0, 0), own.groups, (True, False, False),
        )[0]  # fmt: skip
        return pulled

    def _turned_convolution(
        self, gradient: Tensor, shape: torch.Size, padding: Sequence[int], turned: Callable[[], Tensor]
    ) -> Tensor:
        ones, groups = (1, 1), self._convolution.groups
        weight = self._backward_weights.get(
            shape[2:], lambda: _reordered(turned(), padding, ones, ones, groups, gradient.shape)
        )
        pulled: Tensor = torch.ops.mkldnn._convolution_pointwise(
            gradient, weight, None, padding, ones, ones, groups, "none", [], ""
        )
        return pulled

    def _padding(self, shape: torch.Size) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """On both sides, and by how many zeros the kernel begins: so much more is padded at the end than before."""
        own = self._convolution
        if not isinstance(own, SameConv2d):
            assert not isinstance(own.padding, str), "it is plain"
            return own.padding, (0, 0)
        pads = [same_padding(*one) for one in zip(shape[2:], own.kernel_size, own.stride, strict=True)]
        return tuple(after for _, after in pads), tuple(after - before for before, after in pads)

    def _weight(self, front: Sequence[int]) -> Tensor:
        weight = functional.pad(self._convolution.weight, (front[1], 0, front[0], 0))
        return weight.contiguous(memory_format=torch.channels_last)

    def _turned(self) -> Tensor:
        own = self._convolution
        by_group = own.weight.reshape(own.groups, -1, *own.weight.shape[1:])
        weight = by_group.transpose(1, 2).flatten(0, 1).flip(2, 3)
        return weight.contiguous(memory_format=torch.channels_last)

    def _spread(self, front: Sequence[int], taps: Sequence[Sequence[tuple[int, int, int]]], reach: int) -> Tensor:
        """Weights that give to each place of the gradient, as channels, all the pixels that it stands for: for few
        channels quicker than oneDNN's own way back, which rounds differently in other company.
        """
        weight, (down, across) = self._weight(front), self._convolution.stride
        channels_out, channels_in = weight.shape[:2]
        spread = weight.new_zeros(channels_in, down, across, channels_out, 2 * reach + 1, 2 * reach + 1)
        rows, columns = taps
        for row, tap, place in rows:
            for column, other_tap, other_place in columns:
                spread[:, row, column, :, reach + place, reach + other_place] = weight[:, :, tap, other_tap].T
        return spread.flatten(0, 2).contiguous(memory_format=torch.channels_last)


def _taps(size: int, padding: int, stride: int) -> list[tuple[int, int, int]]:
    """Of a kernel, along one side: to which of `stride` neighbouring inputs each tap leads, and from how many outputs
    further on.
    """
    return [
        (rest, tap, (rest + padding - tap) // stride)
        for rest in range(stride)
        for tap in range(size)
        if (rest + padding - tap) % stride == 0
    ]


class _Ordered:
    """A convolution's weights in the order of those kernels that oneDNN takes for inputs of a size, for the last sizes.

    In the order for another size they are reordered in each call, which makes a network up to twelve times slower.
    Several threads may ask at once; now and then two of them make the same.
    """

    def __init__(self) -> None:
        self._kept: dict[torch.Size, Tensor] = {}

    def get(self, size: torch.Size, ordered: Callable[[], Tensor]) -> Tensor:
        weight = self._kept.pop(size, None)
        if weight is None:
            weight = ordered()
        self._kept[size] = weight  # at the end: the first is the one that was not asked for longest
        for oldest in list(self._kept)[:-_SIZES]:
            self._kept.pop(oldest, None)
        return weight


@once_a_backbone
def _ordered_weights(_backbone: Backbone, _convolution: str) -> tuple[_Ordered, _Ordered]:
    """Of a convolution of this name, there and back: the same for whatever layers are looked at."""
    return _Ordered(), _Ordered()


def _reordered(
    weight: Tensor,
    padding: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    shape: torch.Size,
) -> Tensor:
    ordered: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, padding, stride, dilation, groups, shape)
    return ordered


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, convolution: FrozenConvolution) -> Tensor:  # noqa: ANN401
        y = convolution.convolved(x)
        ctx.convolution, ctx.shape = convolution, x.shape
        if convolution.rectifier is not None:
            ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        (gradient,) = gradients
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        into = gradient if ctx.convolution.owns_gradient else torch.empty_like(gradient)
        match ctx.convolution.rectifier:
            case nn.ReLU6():
                gradient = torch.ops.aten.hardtanh_backward(gradient, *ctx.saved_tensors, 0.0, 6.0, grad_input=into)
            case nn.ReLU():
                gradient = torch.ops.aten.threshold_backward(gradient, *ctx.saved_tensors, 0.0, grad_input=into)
        return ctx.convolution.pulled_back(gradient, ctx.shape), None
