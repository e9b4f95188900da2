import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional

from app.vision.ask import run
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture, preprocess
from app.vision.inspection.activations import look_into
from app.vision.inspection.explanations import attributions, blurred, grad_cam, integrated_gradients, occlusion
from app.vision.pixels import pixels_of

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
LAST = "_blocks.15"
CATS, DOGS = range(281, 286), range(151, 269)


def hottest(heat: Tensor) -> tuple[int, int]:
    """Column and row on a canvas of 224 pixels."""
    row, column = divmod(int(upright(heat).argmax()), 224)
    return column, row


def upright(heat: Tensor) -> Tensor:
    return functional.interpolate(heat[None, None], size=224, mode="bicubic", align_corners=False)[0, 0]


def rank_correlation(one: Tensor, two: Tensor) -> float:
    """Spearman's; equal values share their mean rank."""
    ranks = []
    for heat in (one, two):
        _, places, counts = np.unique(heat.numpy(), return_inverse=True, return_counts=True)
        ranks.append((counts.cumsum() - (counts - 1) / 2)[places.flatten()])
    return float(torch.corrcoef(torch.from_numpy(np.stack(ranks)))[0, 1])


class Pair:
    """A cat at the left and a dog at the right of one canvas; the classes are what each photo is taken for alone."""

    def __init__(self, classifier: Classifier, photos: tuple[Path, Path]) -> None:
        images = [Picture.read(photo.read_bytes(), ImageLimits()).image for photo in photos]
        square = Image.new("RGB", (448, 448))
        for side, image in enumerate(images):
            square.paste(ImageOps.fit(image, (224, 448), Image.Resampling.BICUBIC), (224 * side, 0))
        preprocessing = classifier.backbone.preprocessing
        self.canvas = preprocess(np.asarray(square), preprocessing)
        self.classes = []
        for image, classes in zip(images, (CATS, DOGS), strict=True):
            logits = classifier.logits(pixels_of(preprocess(np.asarray(image), preprocessing)))[0]
            self.classes.append(classes[int(logits[list(classes)].argmax())])


@pytest.fixture(scope="module")
def pairs(imagenet: Classifier, cats_and_dogs: list[tuple[Path, Path]]) -> list[Pair]:
    return [Pair(imagenet, photos) for photos in cats_and_dogs]


def each_animal(pairs: list[Pair]) -> Iterator[tuple[Canvas, int, bool]]:
    """A canvas, the class that is asked for, and whether its animal is at the right."""
    return ((pair.canvas, target, bool(side)) for pair in pairs for side, target in enumerate(pair.classes))


def test_grad_cam_is_hottest_on_the_animal_that_is_asked_for(imagenet: Classifier, pairs: list[Pair]) -> None:
    hits = 0
    for canvas, target, is_right in each_animal(pairs):
        heat = grad_cam(look_into(imagenet, canvas, [LAST], target), LAST).heat_map
        hits += (hottest(heat)[0] >= 112) == is_right
    assert hits >= 38


def test_occlusion_finds_the_animals_where_grad_cam_does(imagenet: Classifier, pairs: list[Pair]) -> None:
    agree, cases = 0, list(each_animal(pairs[:3]))
    for canvas, target, _ in cases:
        occluded = hottest(run(occlusion(imagenet, pixels_of(canvas), target)).heat_map)
        heat = upright(grad_cam(look_into(imagenet, canvas, [LAST], target), LAST).heat_map)
        agree += bool(heat[occluded[1], occluded[0]] >= 0.5)
    assert agree >= 0.8 * len(cases)


def test_integrated_gradients_are_complete_to_two_percent(imagenet: Classifier, pairs: list[Pair]) -> None:
    for canvas, target, _ in each_animal(pairs[:2]):
        pixels = pixels_of(canvas)
        attributed, told = run(attributions(imagenet, pixels, blurred(pixels), target))
        with torch.inference_mode():
            difference = (imagenet.logits(pixels) - imagenet.logits(blurred(pixels)))[0, target]
        error = abs(float(attributed.sum() - difference)) / abs(float(difference))
        assert error <= 0.02
        assert error == pytest.approx(told, abs=1e-3)


def test_another_head_gives_other_maps(imagenet: Classifier, pairs: list[Pair]) -> None:
    """Of Adebayo's checks (2018) the one that a method fails which only draws the edges of the picture."""
    weights = imagenet.head.weight.detach()
    order = torch.randperm(weights.numel(), generator=torch.Generator().manual_seed(0))
    shuffled = nn.Linear(imagenet.head.in_features, imagenet.head.out_features)
    with torch.no_grad():
        shuffled.weight.copy_(weights.flatten()[order].view_as(weights))
    other = Classifier(imagenet.card, imagenet.backbone, shuffled.requires_grad_(requires_grad=False), imagenet.labels)
    alike = []
    for canvas, target, _ in each_animal(pairs):
        maps = (grad_cam(look_into(one, canvas, [LAST], target), LAST).heat_map for one in (imagenet, other))
        alike.append(rank_correlation(*maps))
    assert statistics.mean(alike) < 0.5
    canvas, target, _ = next(each_animal(pairs))
    attributed = (run(integrated_gradients(one, pixels_of(canvas), target, most=40)) for one in (imagenet, other))
    assert rank_correlation(*(one.heat_map for one in attributed)) < 0.5


def test_grad_cam_agrees_with_captum(imagenet: Classifier, cat_canvas: Canvas) -> None:
    network = nn.Sequential(imagenet.backbone, imagenet.head)
    layer = imagenet.backbone.network.get_submodule(LAST)
    theirs = LayerGradCam(network, layer).attribute(pixels_of(cat_canvas), target=281, relu_attributions=True)[0, 0]
    ours = grad_cam(look_into(imagenet, cat_canvas, [LAST], 281), LAST).heat_map
    torch.testing.assert_close(ours, theirs.detach() / theirs.max(), atol=1e-5, rtol=1e-4)


def test_integrated_gradients_agree_with_captum(imagenet: Classifier, cat_canvas: Canvas) -> None:
    network, pixels = nn.Sequential(imagenet.backbone, imagenet.head), pixels_of(cat_canvas)
    baseline = blurred(pixels)
    theirs = IntegratedGradients(network, multiply_by_inputs=True).attribute(
        pixels, baseline, target=281, n_steps=96, method="riemann_trapezoid", internal_batch_size=8
    )[0]
    ours, _ = run(attributions(imagenet, pixels, baseline, 281))
    assert float(torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten().float()]))[0, 1]) > 0.97
    assert float(ours.sum()) == pytest.approx(float(theirs.sum()), rel=0.03)


class MeanColour(nn.Module):
    """A backbone whose features are the mean red, green and blue."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.mean((2, 3))


@pytest.fixture
def colours(imagenet: Classifier) -> Classifier:
    """The classes are red, green and blue, and a logit is 10 times the mean of its colour."""
    backbone = type(imagenet.backbone)(imagenet.backbone.card, imagenet.backbone.weights, MeanColour())
    backbone.mean.zero_()
    backbone.std.fill_(1)
    head = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3) * 10)
    return Classifier(imagenet.card, backbone, head.requires_grad_(requires_grad=False), imagenet.labels)


@pytest.fixture
def red_corner() -> Tensor:
    pixels = torch.zeros(1, 3, 64, 64)
    pixels[0, 0, 8:24, 40:56] = 1
    return pixels


def test_integrated_gradients_of_a_linear_network_are_exact(colours: Classifier, red_corner: Tensor) -> None:
    attributed, error = run(attributions(colours, red_corner, torch.zeros_like(red_corner), 0))
    assert error < 1e-4
    torch.testing.assert_close(attributed, red_corner[0] * 10 / 64**2, atol=1e-7, rtol=1e-4)


def test_occlusion_is_hottest_where_the_colour_is_and_cold_for_another(colours: Classifier, red_corner: Tensor) -> None:
    heat = run(occlusion(colours, red_corner, 0)).heat_map
    column, row = (place * 64 // 224 for place in hottest(heat))
    assert 40 <= column < 56
    assert 8 <= row < 24
    assert not run(occlusion(colours, torch.zeros_like(red_corner), 1)).heat_map.any()


def test_a_path_without_a_difference_ends(colours: Classifier) -> None:
    flat = torch.full((1, 3, 64, 64), 0.5)
    evidence = run(integrated_gradients(colours, flat, 0))
    assert np.isfinite(evidence.heat_map.numpy()).all()


def test_where_there_is_nothing_to_see_nothing_is_hot(imagenet: Classifier) -> None:
    """Rounding alone made a corner of a white picture the hottest, after all gradients that there may be."""
    white = torch.ones(1, 3, 224, 224)
    for algorithm in (integrated_gradients, occlusion):
        evidence = run(algorithm(imagenet, white, 281))
        assert not evidence.heat_map.any()
        assert evidence.completeness_error is None or evidence.completeness_error <= 0.01


def test_occlusion_does_not_prefer_the_edges(imagenet: Classifier, cat_canvas: Canvas) -> None:
    """With its windows within the canvas a strip of empty floor at the edge was hot, the value of single windows."""
    column, row = hottest(run(occlusion(imagenet, pixels_of(cat_canvas), 281)).heat_map)
    assert 24 <= column < 200, "on the cat"
    assert 24 <= row < 200
