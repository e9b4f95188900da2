import pytest
import torch
from torch import nn

from app.vision.backbones import Backbone, load_backbone
from app.vision.layers import UnknownLayerError, capture, list_layers


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("efficientnet_lite0", None)[0]


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
