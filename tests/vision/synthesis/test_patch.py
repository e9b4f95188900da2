from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from app.vision.ask import run
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.pixels import pixels_of
from app.vision.synthesis import patch_attack
from app.vision.synthesis.adversarial_images import adversarial_image
from app.vision.synthesis.patch_attack import Place, disc_of, pasted
from app.vision.synthesis.scene import Criterion, Scene, Victim
from app.vision.synthesis.transformations import Passage

TABBY = 281


@pytest.fixture(scope="module")
def picture(dog: bytes) -> Canvas:
    return Picture.read(dog, ImageLimits()).pixels()


@pytest.fixture(scope="module")
def scene(imagenet: Classifier, picture: Canvas) -> Scene:
    passage = Passage("png", picture, imagenet.backbone.preprocessing, ImageLimits())
    return Scene(picture, [Victim(imagenet, Criterion(0, TABBY), {"png": passage})])


@pytest.mark.parametrize("turn", [0.0, 20.0, -20.0])
def test_what_is_optimised_is_what_is_pasted(scene: Scene, turn: float) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = functional.interpolate(torch.rand(1, 3, 5, 5, generator=generator), (96, 96), mode="bilinear")[0]
    place = Place(120.0, 170.0, 90.0, turn)
    (victim,) = scene.victims
    real = pixels_of(victim.passages["png"].canvas(pasted(scene.picture, disc_of(pixels), place)))
    (seen,) = patch_attack.overlaid(scene, victim, pixels, [place], torch.ones(1, 1, 1, 1))
    error = float((seen - real[0]).abs().mean())
    assert error < 0.004
    other_way = Place(place.x, place.y, place.diameter, turn + 10)
    (turned,) = patch_attack.overlaid(scene, victim, pixels, [other_way], torch.ones(1, 1, 1, 1))
    assert (turned - real[0]).abs().mean() > 2 * error


def test_places_lie_within_what_the_network_sees_and_are_spread(scene: Scene) -> None:
    left, top, right, bottom = scene.victims[0].classifier.backbone.preprocessing.box(*scene.picture.shape[1::-1])
    places = patch_attack.places_in(scene, 80.0, 32, seed=3)
    for place in places:
        assert left <= place.x - place.diameter / 2 <= place.x + place.diameter / 2 <= right
        assert top <= place.y - place.diameter / 2 <= place.y + place.diameter / 2 <= bottom
        assert 64 <= place.diameter <= 80
    assert np.ptp([place.x for place in places]) > (right - left) / 3
    assert all(one != next_one for one, next_one in pairwise(places))


@pytest.mark.parametrize(
    ("where", "across", "down"),
    [("center", 1, 1), ("top-left", 0, 0), ("top-right", 2, 0), ("bottom-left", 0, 2), ("bottom-right", 2, 2)],
)
def test_a_part_of_the_picture_has_its_own_places(
    scene: Scene, where: patch_attack.Whereabouts, across: int, down: int
) -> None:
    left, top, right, bottom = scene.victims[0].classifier.backbone.preprocessing.box(*scene.picture.shape[1::-1])
    places = patch_attack.places_in(scene, 80.0, 32, seed=3, where=where)
    columns = [(place.x - place.diameter / 2 - left) / (right - left - place.diameter) for place in places]
    rows = [(place.y - place.diameter / 2 - top) / (bottom - top - place.diameter) for place in places]
    for third, shares in ((across, columns), (down, rows)):
        assert third / 3 - 1e-6 <= min(shares) < max(shares) <= (third + 1) / 3 + 1e-6
        assert np.ptp(shares) > 0.2


@pytest.mark.slow
def test_a_patch_fools_wherever_it_is_put_and_can_be_printed(imagenet: Classifier, dog: bytes) -> None:
    found = run(adversarial_image(imagenet, dog, target=TABBY, method="patch", share=0.25, steps=30))
    assert found.success
    assert found.patch
    assert found.patch.places == 32
    assert found.patch.fooled > 16  # more steps and it is nearly everywhere
    assert not found.noise_fooled
    with Image.open(BytesIO(found.patch.printable)) as disc:
        assert disc.mode == "RGBA"
        assert min(disc.size) >= 1000
        assert disc.info["dpi"][0] > 200
        opaque = np.array(disc)[..., 3]
        assert (opaque[0, 0], opaque[disc.height // 2, disc.width // 2]) == (0, 255)
    before, after = (np.array(Image.open(BytesIO(data)).convert("RGB")) for data in (dog, found.adversarial))
    changed = (before != after).any(2)
    assert changed.mean() <= found.patch.share <= 0.25
    rows, columns = np.nonzero(changed)
    assert max(np.ptp(rows), np.ptp(columns)) <= found.patch.diameter
