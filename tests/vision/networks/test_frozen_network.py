from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.vision.networks import frozen_network as frozen_networks
from app.vision.networks.backbones import BACKBONES, Backbone
from app.vision.networks.batchnorm_folding import fold_batchnorm_
from app.vision.networks.frozen_network import FrozenConvolution, _Ordered, frozen_network
from app.vision.networks.layers import capture

CANVAS = 64


class Everything(nn.Module):
    """What networks do with convolutions: two readers of one output, a sum in place, rectifiers of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, stride=2, padding=3)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.relu6 = nn.ReLU6()
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.uneven = nn.Conv2d(8, 8, (1, 5), padding=(0, 2), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        y = self.relu6(self.grouped(x))
        y += x
        y = y + self.uneven(y).relu()
        pooled: Tensor = self.dilated(y).mean((2, 3))
        return pooled


def untrained(name: str) -> Backbone:
    card = BACKBONES[name]
    torch.manual_seed(0)
    network = fold_batchnorm_(card.build())
    if card.head:
        parent, _, head = card.head.rpartition(".")
        setattr(network.get_submodule(parent), head, nn.Identity())
    return Backbone(card, card.weights[0], network).eval().to(memory_format=torch.channels_last)


def looked_into(backbone: Backbone, pixels: Tensor, layers: tuple[str, ...]) -> tuple[Tensor, ...]:
    with capture(backbone.network, layers) as captured:
        features = backbone(pixels)
    return features, *(captured[layer] for layer in layers)


def canvases(number: int, size: int = CANVAS) -> Tensor:
    pixels = torch.rand(number, 3, size, size, generator=torch.Generator().manual_seed(1))
    return pixels.contiguous(memory_format=torch.channels_last).requires_grad_()


def assert_same(backbone: Backbone, layers: tuple[str, ...], size: int = CANVAS) -> None:
    """In what it computes and in the gradient of all of that by the pixels."""
    frozen = frozen_network(backbone, layers)
    assert frozen is not None
    pixels = canvases(2, size)
    expected, found = looked_into(backbone, pixels, layers), frozen(pixels)
    chance = torch.Generator().manual_seed(2)
    slopes = [torch.randn(one.shape, generator=chance) / one.detach().abs().mean() for one in expected]
    (by_autograd,) = torch.autograd.grad(expected, pixels, slopes)
    (own,) = torch.autograd.grad(found, pixels, slopes)
    for one, other in zip(expected, found, strict=True):
        assert (one - other).norm() <= 1e-4 * one.norm()
    assert (by_autograd - own).norm() <= 1e-3 * by_autograd.norm()


@pytest.fixture
def everything() -> Backbone:
    torch.manual_seed(0)
    network = fold_batchnorm_(Everything())
    card = BACKBONES["resnet18"]
    return Backbone(card, card.weights[0], network).eval().to(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [64, 70, 33])
def test_lite_has_the_gradient_of_autograd_at_even_and_odd_sizes(size: int) -> None:
    backbone = untrained("efficientnet_lite0")
    assert_same(backbone, ("_conv_stem", "_blocks.3._project_conv", "_blocks.10", "_conv_head"), size)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "mobilenet_v3_large", "squeezenet1_1"])
def test_networks_of_torchvision_have_the_gradient_of_autograd(name: str) -> None:
    backbone = untrained(name)
    assert_same(backbone, backbone.card.stages[-2:])


def test_all_kinds_of_convolutions_have_the_gradient_of_autograd(everything: Backbone) -> None:
    assert_same(everything, ("grouped", "relu", "relu6"))
    assert_same(everything, ())


def test_the_gradient_is_the_same_the_second_time(everything: Backbone) -> None:
    frozen = frozen_network(everything, ("relu",))
    assert frozen is not None
    pixels = canvases(3)
    first, second = (torch.autograd.grad([one.sum() for one in frozen(pixels)], pixels)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_rectifiers_are_one_operation_with_the_convolution_unless_somebody_looks_between() -> None:
    backbone = untrained("efficientnet_lite0")
    kept: list[int] = []

    def keep(saved: Tensor) -> Tensor:
        kept.append(saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        frozen = frozen_network(backbone, ())
        assert frozen is not None
        frozen(canvases(1))
        frozen_values = sum(kept)
        kept.clear()
        backbone(canvases(1))
    assert frozen_values < sum(kept) / 2, "of a convolution and its rectifier, the output alone is kept"


@pytest.mark.parametrize("size", [31, 32, 33, 34])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 0), (7, 2, 3), (4, 2, 1), (5, 3, 1), (1, 2, 0)])
def test_a_strided_convolution_of_a_picture_is_turned_exactly(
    kernel: int, stride: int, padding: int, size: int
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 8, kernel, stride, padding).requires_grad_(requires_grad=False)
    pixels = canvases(2, size)
    expected = convolution(pixels)
    slope = torch.randn_like(expected)
    found = FrozenConvolution(convolution, None)(pixels)
    (by_autograd,) = torch.autograd.grad(expected, pixels, slope)
    (own,) = torch.autograd.grad(found, pixels, slope)
    assert torch.allclose(own, by_autograd, atol=1e-5)


def test_weights_are_in_the_order_for_each_size_and_kept_for_the_last_three() -> None:
    """oneDNN takes other kernels for other sizes, and weights in another's order cost ten times as much."""
    kept, made = _Ordered(), []

    def ordered(side: int) -> Tensor:
        def make() -> Tensor:
            made.append(side)
            return torch.tensor(side)

        return kept.get(torch.Size([side, side]), make)

    assert [int(ordered(side)) for side in (1, 2, 3, 1, 2, 3)] == [1, 2, 3, 1, 2, 3]
    assert made == [1, 2, 3]
    ordered(1)
    ordered(4)  # 2 goes, which was not asked for longest
    assert [int(ordered(side)) for side in (3, 1, 4, 2)] == [3, 1, 4, 2]
    assert made == [1, 2, 3, 4, 2]


def test_networks_of_one_backbone_share_weights_whatever_layers_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = untrained("efficientnet_lite0")
    made: list[torch.Size] = []
    reordered = frozen_networks._reordered

    def noted(weight: Tensor, *how: Any) -> Tensor:
        made.append(weight.shape)
        return reordered(weight, *how)

    monkeypatch.setattr(frozen_networks, "_reordered", noted)
    assert_same(backbone, ())
    number = len(made)
    assert number > 90, "there and back"
    assert_same(backbone, ("_blocks.3", "_blocks.5._project_conv"))
    assert len(made) == number


def test_a_network_sees_the_same_at_a_size_whatever_sizes_came_before() -> None:
    backbone = untrained("efficientnet_lite0")
    for size in (64, 96, 80, 112, 64):
        assert_same(backbone, (), size)


def test_the_network_itself_stays_as_it_is(everything: Backbone) -> None:
    before = [name for name, _ in everything.named_modules()]
    assert frozen_network(everything, ()) is not frozen_network(everything, ("relu",))
    assert [name for name, _ in everything.named_modules()] == before


def test_a_layer_that_is_not_there_is_for_others_to_refuse(everything: Backbone) -> None:
    assert frozen_network(everything, ("nothing",)) is None


def test_what_it_is_asked_without_gradients_keeps_nothing(everything: Backbone) -> None:
    frozen = frozen_network(everything, ())
    assert frozen is not None
    with torch.no_grad():
        (features,) = frozen(canvases(1))
    assert features.grad_fn is None


def test_weights_that_are_learned_go_on_getting_gradients(everything: Backbone) -> None:
    weight = everything.network.get_parameter("grouped.weight").requires_grad_()
    frozen = frozen_network(everything, ())
    assert frozen is not None
    (found,) = torch.autograd.grad(frozen(canvases(1))[0].sum(), weight)
    (expected,) = torch.autograd.grad(everything(canvases(1)).sum(), weight)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
