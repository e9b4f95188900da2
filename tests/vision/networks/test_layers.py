import gc
import weakref

import pytest
import torch
from torch import nn

from app.vision.networks.backbones import BACKBONES, Backbone, load_backbone
from app.vision.networks.batchnorm_folding import fold_batchnorm
from app.vision.networks.layers import UnknownLayerError, capture, list_layers
from app.vision.networks.partial_network import partial_network


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("efficientnet_lite0", None)[0]


@pytest.fixture(scope="module", params=["resnet18", "mobilenet_v3_large", "squeezenet1_1"])
def random_backbone(request: pytest.FixtureRequest) -> Backbone:
    """Networks that reuse one activation module, add in place, or rectify in place."""
    torch.manual_seed(0)
    card = BACKBONES[request.param]
    return Backbone(card, card.weights[0], fold_batchnorm(card.build()))


def test_layers_are_listed_in_the_order_in_which_they_run_with_their_shapes(backbone: Backbone) -> None:
    layers = {layer.name: layer for layer in list_layers(backbone)}
    assert layers["_blocks.0"].shape == (16, 112, 112)
    assert layers["_blocks.15"].shape == (320, 7, 7)
    assert layers["_relu1"].shape == (1280, 7, 7)
    sizes = [layer.shape[1] for layer in layers.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert len(layers) == len(list_layers(backbone))


def test_one_layer_of_each_stage_is_suggested(backbone: Backbone) -> None:
    layers = list_layers(backbone)
    assert [layer.name for layer in layers if layer.suggested] == list(backbone.card.stages)
    assert [layer.stage for layer in layers if layer.suggested] == [0, 1, 2, 3, 4]


def test_a_convolution_with_a_folded_norm_is_found_under_the_norms_name(backbone: Backbone) -> None:
    names = {layer.name for layer in list_layers(backbone)}
    assert "_blocks.3._bn1" in names
    assert "_blocks.3._depthwise_conv" not in names


def test_capture_leaves_no_hook_behind_even_when_the_network_fails() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())
    with pytest.raises(RuntimeError), capture(network, ["0"]):
        network(torch.zeros(1, 5, 4, 4))
    assert not network[0]._forward_hooks
    with capture(network, ["0"]) as activations:
        network(torch.zeros(1, 3, 4, 4))
    assert activations["0"].shape == (1, 2, 4, 4)


def test_what_cannot_be_looked_into_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())
    with pytest.raises(UnknownLayerError, match="no spatial output"), capture(network, ["1"]):
        network(torch.zeros(1, 3, 4, 4))
    with pytest.raises(UnknownLayerError, match="There is no layer"), capture(network, ["2"]):
        pass
    with pytest.raises(UnknownLayerError, match="no spatial output"), capture(network, ["0"]):
        network(torch.zeros(1, 3, 1, 1))  # a single pixel shows nothing either


def test_an_unknown_layer_suggests_the_nearest_that_can_be_looked_into(backbone: Backbone) -> None:
    with pytest.raises(UnknownLayerError) as refused, capture(backbone.network, ["_blocks.15._bn3"]):
        pass
    assert "_blocks.15._bn2" in refused.value.suggestions
    with pytest.raises(UnknownLayerError) as refused, capture(backbone.network, ["_fc"]):
        backbone(torch.zeros(1, 3, 64, 64))
    assert "_fc" not in refused.value.suggestions


def test_every_listed_layer_is_listed_once_and_captured_with_its_shape(random_backbone: Backbone) -> None:
    layers = list_layers(random_backbone)
    names = [layer.name for layer in layers]
    assert len(set(names)) == len(names)
    assert [layer.name for layer in layers if layer.suggested] == list(random_backbone.card.stages)
    size = random_backbone.preprocessing.crop
    with torch.inference_mode(), capture(random_backbone.network, names) as activations:
        random_backbone(torch.zeros(1, 3, size, size))
    assert {name: tuple(activation.shape[1:]) for name, activation in activations.items()} == {
        layer.name: layer.shape for layer in layers
    }


def test_what_is_remembered_of_a_backbone_goes_with_it() -> None:
    card = BACKBONES["squeezenet1_1"]
    backbone = Backbone(card, card.weights[0], card.build())
    assert list_layers(backbone) is list_layers(backbone)
    assert partial_network(backbone, card.stages[-1]) is partial_network(backbone, card.stages[-1])
    network = weakref.ref(backbone.network)
    del backbone
    gc.collect()
    assert network() is None


def test_captured_activations_are_what_the_layer_gave_out(random_backbone: Backbone) -> None:
    network = random_backbone.network
    names = [layer.name for layer in list_layers(random_backbone)]
    given: dict[str, torch.Tensor] = {}
    pixels = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    plain = network(pixels)
    with capture(network, names) as activations:
        for name in names:  # these copies are made before anything can be done in place
            network.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name: given.update({name: output.clone()})
            )
        torch.testing.assert_close(network(pixels), plain)
    for name in names:
        network.get_submodule(name)._forward_hooks.clear()
        assert torch.equal(activations[name], given[name]), name


def test_gradients_reach_captured_activations() -> None:
    torch.manual_seed(0)
    network = fold_batchnorm(BACKBONES["resnet18"].build())
    pixels = torch.rand(1, 3, 64, 64).requires_grad_()
    with capture(network, ["layer2.0.bn2", "layer3"]) as activations:
        score = network(pixels)[0, 7]
    early, late = torch.autograd.grad(score, [activations["layer2.0.bn2"], activations["layer3"]])
    assert early.abs().sum() > 0
    assert late.abs().sum() > 0
