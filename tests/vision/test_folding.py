import pytest
import torch
from torch import nn

from app.vision.backbones import load_backbone
from app.vision.folding import fold_batchnorm
from app.vision.layers import capture


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


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "mobilenet_v3_large"])
def test_a_folded_network_has_the_plain_ones_output_and_gradient(name: str) -> None:
    from torchvision.models import get_model

    torch.manual_seed(0)
    plain = with_statistics(get_model(name, weights=None))
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
