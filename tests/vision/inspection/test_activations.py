import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from app.vision.classifier import Classifier
from app.vision.image import Canvas
from app.vision.inspection.activations import look_into
from app.vision.networks.backbones import BACKBONES, Backbone, load_backbone
from app.vision.networks.batchnorm_folding import fold_batchnorm
from app.vision.networks.layers import UnknownLayerError, capture, find_layer, list_layers
from app.vision.networks.partial_network import partial_network
from app.vision.pixels import to_pixels
from app.vision.serving.openvino_runtime import OpenVinoFeatureExtractor
from app.vision.serving.runtimes import TorchFeatureExtractor

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.mark.parametrize("layer", ["_blocks.0", "_blocks.3._bn1", "_blocks.15", "_relu1"])
def test_activations_are_those_of_a_plain_hook(imagenet: Classifier, cat_canvas: Canvas, layer: str) -> None:
    seen: list[torch.Tensor] = []
    module = imagenet.backbone.network.get_submodule(layer)
    hook = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    with torch.inference_mode():
        imagenet.logits(to_pixels(cat_canvas[None], CPU))
    hook.remove()
    torch.testing.assert_close(
        look_into(imagenet, cat_canvas, [layer]).activations[layer], seen[0][0], atol=1e-4, rtol=0
    )


def test_the_quick_way_agrees_with_the_plain_one(imagenet: Classifier, cat_canvas: Canvas, tmp_path: Path) -> None:
    quick = OpenVinoFeatureExtractor(imagenet.backbone, tmp_path, threads=1)
    for layer in imagenet.backbone.card.stages:
        plain = look_into(imagenet, cat_canvas, [layer])
        for forward in (quick, TorchFeatureExtractor(imagenet.backbone, CPU)):
            found = look_into(imagenet, cat_canvas, [layer], forward=forward)
            assert found.target == plain.target
            torch.testing.assert_close(found.activations[layer], plain.activations[layer], atol=1e-3, rtol=1e-4)
            torch.testing.assert_close(found.contributions(layer), plain.contributions(layer), atol=1e-3, rtol=1e-2)


def test_contributions_are_the_change_that_a_channel_makes(imagenet: Classifier, cat_canvas: Canvas) -> None:
    """Of a small part, since they hold to first order: one channel made a thousandth weaker."""
    insight = look_into(imagenet, cat_canvas, ["_blocks.15"])
    tail = partial_network(imagenet.backbone, "_blocks.15")
    assert tail is not None
    activations = insight.activations["_blocks.15"][None]
    for channel in insight.contributions("_blocks.15").abs().topk(3).indices.tolist():
        weaker = activations.clone()
        weaker[:, channel] *= 0.999
        with torch.inference_mode():
            change = imagenet.head(tail(activations)) - imagenet.head(tail(weaker))
        expected = insight.contributions("_blocks.15")[channel] / 1000
        assert float(change[0, insight.target]) == pytest.approx(float(expected), rel=0.05, abs=2e-5)


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "mobilenet_v2", "mobilenet_v3_large", "squeezenet1_1"])
def test_each_stage_of_every_kind_of_network_has_a_tail_that_ends_in_the_same_features(name: str) -> None:
    torch.manual_seed(0)
    card = BACKBONES[name]
    with torch.device("meta"):
        network = card.build()
    network.to_empty(device="cpu")
    for values in network.state_dict().values():
        if values.is_floating_point():
            torch.nn.init.normal_(values, std=0.02) if values.ndim > 1 else torch.nn.init.ones_(values)
    backbone = Backbone(card, card.weights[0], fold_batchnorm(network)).eval()
    size = backbone.preprocessing.crop
    pixels = torch.rand(1, 3, size, size)
    with torch.inference_mode(), capture(backbone.network, card.stages) as activations:
        features = backbone(pixels)
    for stage in card.stages:
        tail = partial_network(backbone, stage)
        assert tail is not None, stage
        with torch.inference_mode():
            torch.testing.assert_close(tail(activations[stage]), features)


def test_within_a_residual_block_there_is_no_tail(imagenet: Classifier) -> None:
    assert partial_network(imagenet.backbone, "_blocks.3._bn1") is not None  # the first of its stage adds nothing
    assert partial_network(imagenet.backbone, "_blocks.6._bn1") is None
    assert partial_network(imagenet.backbone, "no such layer") is None


def test_layers_are_found_by_name_or_the_nearest_are_told(imagenet: Classifier) -> None:
    index, layer = find_layer(imagenet.backbone, "_blocks.15")
    assert list_layers(imagenet.backbone)[index] is layer
    with pytest.raises(UnknownLayerError, match="There is no layer") as refused:
        find_layer(imagenet.backbone, "_block.15")
    assert "_blocks.15" in refused.value.suggestions
    with pytest.raises(UnknownLayerError, match="no spatial output"):
        find_layer(imagenet.backbone, "_fc")


def test_networks_are_cut_beside_others_that_run() -> None:
    """A trace patches every module of the process, and hooks see every pass of a network."""
    before = torch.nn.Module.__call__, torch.nn.Module.__getattr__
    backbones = [load_backbone("efficientnet_lite0", None)[0] for _ in range(2)]
    alone = load_backbone("efficientnet_lite0", None)[0]
    layers = list_layers(alone)
    pixels = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = alone(pixels)
    ended = threading.Event()

    def run(backbone: Backbone) -> int:
        passes = 0
        while not ended.is_set() or passes < 2:
            with torch.inference_mode():
                torch.testing.assert_close(backbone(pixels), features, atol=1e-3, rtol=1e-3)
            passes += 1
        return passes

    def cut(backbone: Backbone) -> None:
        for stage in backbone.card.stages:
            assert partial_network(backbone, stage) is not None
        assert list_layers(backbone) == layers

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(run, backbone) for backbone in (*backbones, alone)]
        cutting = [pool.submit(cut, backbone) for backbone in backbones for _ in range(2)]
        try:
            for one in cutting:
                one.result()
        finally:
            ended.set()
        assert all(one.result() >= 2 for one in running)
    assert (torch.nn.Module.__call__, torch.nn.Module.__getattr__) == before
    assert [name for one in backbones for name in dir(one.network) if "constant" in name] == []
