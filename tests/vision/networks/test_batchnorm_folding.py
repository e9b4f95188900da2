import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from app.vision.networks.backbones import BACKBONES, load_backbone
from app.vision.networks.batchnorm_folding import fold_batchnorm
from app.vision.networks.layers import capture


def with_statistics(network: nn.Module) -> nn.Module:
    """Random running statistics and affine parameters, as training would leave them."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            with torch.no_grad():
                module.weight.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
                module.bias.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
    return network.eval()


class Twice(nn.Module):
    """Two convolutions and two norms, called in the order that `calls` says."""

    def __init__(self, *calls: str) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.norm, self.other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.calls = calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for call in self.calls:
            x = self.get_submodule(call)(input=x)
        return x


class RectifiedNorm(nn.BatchNorm2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).relu()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v2", "mobilenet_v3_large"])
def test_a_folded_network_has_the_plain_ones_output_and_gradient(name: str) -> None:
    torch.manual_seed(0)
    plain = with_statistics(BACKBONES[name].build())
    folded = fold_batchnorm(plain)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    gradients = []
    for network in (plain, folded):
        pixels = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)).requires_grad_()
        network(pixels)[:, 7].sum().backward()
        gradients.append(pixels.grad)
    with torch.inference_mode():
        torch.testing.assert_close(folded(pixels), plain(pixels), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-3)


def test_hooks_at_a_folded_norm_see_what_they_saw_before() -> None:
    plain, _ = load_backbone("efficientnet_lite0", None, fold=False)
    folded, _ = load_backbone("efficientnet_lite0", None)
    names = ["_bn0", "_blocks.3._bn1", "_blocks.10", "_blocks.15._bn2"]
    pixels = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), capture(plain.network, names) as before, capture(folded.network, names) as after:
        plain(pixels)
        folded(pixels)
    for name in names:
        torch.testing.assert_close(after[name], before[name], atol=1e-3, rtol=1e-3)


def test_the_convolution_keeps_what_its_output_looks_like() -> None:
    network = with_statistics(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    norm = network.get_submodule("1")
    assert isinstance(norm, nn.BatchNorm2d)
    folded = fold_batchnorm(network)
    torch.testing.assert_close(folded.get_submodule("0").norm_mean, norm.bias.detach())
    torch.testing.assert_close(folded.get_submodule("0").norm_std, norm.weight.detach().abs())


def test_a_norm_that_no_convolution_feeds_stays() -> None:
    network = with_statistics(nn.Sequential(nn.ReLU(inplace=True), nn.BatchNorm2d(3)))
    folded = fold_batchnorm(network)
    assert isinstance(folded.get_submodule("1"), nn.BatchNorm2d)
    assert not folded.get_submodule("0").inplace


@pytest.mark.parametrize(
    ("network", "left"),
    [
        (Twice("a", "norm", "b", "other"), 0),
        (Twice("a", "norm", "a", "other"), 2),  # one convolution cannot be both
        (Twice("a", "norm", "b", "norm"), 2),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), 0),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), 1),
        (nn.Sequential(nn.Conv2d(3, 4, 3), RectifiedNorm(4)), 1),
    ],
)
def test_a_norm_is_folded_only_where_the_answer_stays(network: nn.Module, left: int) -> None:
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
    network.eval()
    names = [name for name, _ in network.named_modules()]
    folded = fold_batchnorm(network)
    pixels = torch.rand(2, 3, 16, 16, generator=generator)
    with torch.inference_mode():
        torch.testing.assert_close(folded(pixels), network(pixels), atol=1e-4, rtol=1e-4)
    assert [name for name, _ in folded.named_modules()] == names
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == left


def test_the_network_that_was_given_stays_as_it_was() -> None:
    network = with_statistics(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)))
    before = {name: values.clone() for name, values in network.state_dict().items()}
    fold_batchnorm(network)
    assert isinstance(network.get_submodule("1"), nn.BatchNorm2d)
    assert network.get_submodule("2").inplace
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


def test_a_network_is_folded_beside_others_that_run() -> None:
    """A trace patches every module of the process: what other threads call meanwhile is let through."""
    running, ended = fold_batchnorm(BACKBONES["resnet18"].build()), threading.Event()
    pixels = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = running(pixels)

    def run() -> int:
        passes = 0
        while not ended.is_set():
            with torch.inference_mode():
                torch.testing.assert_close(running(pixels), expected)
            passes += 1
        return passes

    before = nn.Module.__call__, nn.Module.__getattr__
    networks = [with_statistics(BACKBONES["mobilenet_v2"].build()) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        beside = [pool.submit(run) for _ in range(2)]
        folding = [pool.submit(fold_batchnorm, network) for network in networks]
        try:
            folded = [one.result() for one in folding]
        finally:
            ended.set()
        assert all(one.result() for one in beside)
    assert (nn.Module.__call__, nn.Module.__getattr__) == before
    assert not any(isinstance(module, nn.BatchNorm2d) for network in folded for module in network.modules())
