from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from app.vision.ask import Activity, Algorithm, Answer, Ask, answer, run
from app.vision.classifier import Classifier
from app.vision.image import ImageLimits, Picture
from app.vision.labels import UnknownLabelError
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of
from app.vision.synthesis.descent import Schedule, SpectrumDescent
from app.vision.synthesis.ideal_images import IdealImage, Preset, ideal_image
from app.vision.synthesis.objectives import ChannelObjective, ClassObjective, channel_objective, prototype_objective
from app.vision.synthesis.parametrizations import Spectrum
from app.vision.synthesis.priors import NormPrior, total_variation
from tests.support.asking import asked_until, state_after
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

ZEBRA, JELLYFISH, DOGS = 340, 107, range(151, 269)


@pytest.fixture(scope="module")
def models() -> ModelRepository:
    return ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def classifier(models: ModelRepository) -> Classifier:
    return models.load("imagenet")


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def probability(classifier: Classifier, data: bytes, index: int) -> float:
    canvas = Picture.read(data, ImageLimits()).canvas(classifier.backbone.preprocessing)
    return float(classifier.logits(pixels_of(canvas)).softmax(1)[0, index])


def test_a_stranger_sees_in_the_saved_file_what_was_asked_for(models: ModelRepository, classifier: Classifier) -> None:
    stranger = models.load("efficientnet_lite1")
    found = run(ideal_image(classifier, ClassObjective(JELLYFISH), preset="clear", others=[stranger]))
    assert found.success
    assert found.png_score == pytest.approx(probability(classifier, found.final, JELLYFISH), abs=1e-4)
    assert found.png_score > 0.9 > found.start
    (check,) = found.checks
    assert check.agrees
    assert check.taken.score == pytest.approx(probability(stranger, found.final, JELLYFISH), abs=1e-4)


def test_the_raw_picture_convinces_its_own_network_alone(models: ModelRepository, classifier: Classifier) -> None:
    stranger = models.load("efficientnet_lite1")
    found = run(ideal_image(classifier, ClassObjective(ZEBRA), preset="raw", others=[stranger]))
    assert found.success
    assert found.score > 0.99
    assert found.png_score > 0.9
    assert not found.checks[0].agrees


def test_a_picture_of_several_networks_convinces_all_and_one_that_took_no_part(models: ModelRepository) -> None:
    first, second, held_out = (models.load(name) for name in ("imagenet", "efficientnet_lite1", "efficientnet_lite2"))
    found = run(ideal_image(first, ClassObjective(JELLYFISH), preset="quick", partners=[second], others=[held_out]))
    assert found.success
    assert [(check.classifier.card.name, check.took_part, check.agrees) for check in found.checks] == [
        ("efficientnet_lite1", True, True),
        ("efficientnet_lite2", False, True),
    ]


def test_several_networks_draw_a_class_that_all_have_and_nothing_else(models: ModelRepository) -> None:
    imagenet, lite1, pets = (models.load(name) for name in ("imagenet", "efficientnet_lite1", "pets"))
    with pytest.raises(ValueError, match="only a class"):
        run(ideal_image(imagenet, ChannelObjective("_blocks.4", 7), partners=[lite1]))
    with pytest.raises(ValueError, match="one network"):
        run(ideal_image(imagenet, ClassObjective(ZEBRA), preset="raw", partners=[lite1]))
    with pytest.raises(UnknownLabelError):
        run(ideal_image(imagenet, ClassObjective(ZEBRA), partners=[pets]))


def test_no_network_outvotes_another(models: ModelRepository) -> None:
    """One whose score is a thousand times as steep moves the picture no further."""
    members = [(models.load(name), ClassObjective(ZEBRA)) for name in ("imagenet", "efficientnet_lite1")]
    pictures = []
    for factor in (1.0, 1000.0):
        descent = SpectrumDescent(members, Schedule(2, views=1), seed=0, size=64)
        views = descent.look(1)
        generator = torch.Generator().manual_seed(0)
        slopes = [torch.randn(view.canvas.shape, generator=generator) for view in views]
        descent.descend(1, views, [slopes[0], slopes[1] * factor])
        pictures.append(descent.render(64))
    assert torch.allclose(pictures[0], pictures[1], atol=1e-3)


def test_the_whole_picture_is_optimised_though_the_network_sees_its_middle(classifier: Classifier) -> None:
    found = run(ideal_image(classifier, ClassObjective(ZEBRA), preset="lesson", steps=40))
    levels = np.array(opened(found.final)).astype(float)
    assert levels[:10].std() > levels[60:-60, 60:-60].std() / 4


def test_the_variation_loss_makes_the_lesson_smooth(classifier: Classifier) -> None:
    raw, lesson = (run(ideal_image(classifier, ClassObjective(ZEBRA), preset=preset)) for preset in ("raw", "lesson"))
    roughness = [
        float(total_variation(torch.from_numpy(np.array(opened(one.final))).permute(2, 0, 1).float() / 255))
        for one in (raw, lesson)
    ]
    assert roughness[1] < roughness[0] / 2


@pytest.mark.parametrize("size", [64, 100, 151, 300])
def test_a_picture_has_the_asked_size_and_an_animation(classifier: Classifier, size: int) -> None:
    found = run(ideal_image(classifier, ClassObjective(ZEBRA), steps=2, size=size))
    assert opened(found.final).size == (size, size)
    assert opened(found.animation).n_frames >= 2  # type: ignore[attr-defined]
    assert opened(found.animation).size == (min(size, 192) // 2 * 2,) * 2


def test_a_larger_picture_is_the_same_picture() -> None:
    spectrum = Spectrum(64)
    coefficients = spectrum.noise(1, torch.Generator().manual_seed(0)) * 50
    small, large = spectrum.render(coefficients, 64), spectrum.render(coefficients, 128)
    assert torch.allclose(large[..., ::2, ::2], small, atol=0.02)


def test_a_channel_is_excited_and_a_neuron_too(classifier: Classifier) -> None:
    layer = "_blocks.4"
    for aim in (ChannelObjective(layer, 7), ChannelObjective(layer, 7, x=3, y=10)):
        found = run(ideal_image(classifier, aim, steps=12))
        assert found.success
        assert found.png_score > found.start
        assert found.checks == []


def test_the_neuron_that_is_meant_is_the_one_in_that_place() -> None:
    activations = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    seen = Activity(torch.empty(0), torch.empty(0), {"layer": activations})
    assert channel_objective(ChannelObjective("layer", 1, x=2, y=3))(seen).tolist() == activations[:, 1, 3, 2].tolist()
    assert torch.equal(channel_objective(ChannelObjective("layer", 1))(seen), activations[:, 1].mean((1, 2)))


def test_a_picture_of_two_networks_goes_on_between_the_two(models: ModelRepository, classifier: Classifier) -> None:
    def drawing(resume: dict[str, Tensor] | None = None) -> Algorithm[IdealImage]:
        partners = [models.load("efficientnet_lite1")]
        return ideal_image(classifier, ClassObjective(ZEBRA), steps=4, seed=5, partners=partners, resume=resume)

    def is_third_of_partner(ask: Ask) -> bool:
        return bool(ask.progress and ask.progress.step == 3 and ask.classifier is not classifier)

    whole, asked = run(drawing()), asked_until(drawing(), is_third_of_partner)
    assert asked.state
    resumed = run(drawing(resume={name: tensor.clone() for name, tensor in asked.state().items()}))
    assert resumed.final == whole.final
    assert resumed.animation == whole.animation


@pytest.mark.parametrize("preset", ["quick", "lesson"])
def test_a_resumed_picture_ends_with_the_same_files(classifier: Classifier, preset: str) -> None:
    whole = run(ideal_image(classifier, ClassObjective(ZEBRA), preset=preset, steps=7, seed=5))  # type: ignore[arg-type]
    state = state_after(ideal_image(classifier, ClassObjective(ZEBRA), preset=preset, steps=7, seed=5), 4)  # type: ignore[arg-type]
    resumed = run(ideal_image(classifier, ClassObjective(ZEBRA), preset=preset, steps=7, seed=5, resume=state))  # type: ignore[arg-type]
    assert resumed.final == whole.final
    assert resumed.animation == whole.animation


@pytest.mark.parametrize("preset", ["quick", "raw"])
def test_what_did_not_become_it_says_what_it_became(classifier: Classifier, preset: Preset) -> None:
    found = run(ideal_image(classifier, ClassObjective(ZEBRA), preset=preset, steps=1, size=64))
    assert not found.success
    assert found.hint is not None
    assert repr(classifier.labels[found.taken.index].label) in found.hint
    assert "preset=clear" in found.hint


@pytest.mark.parametrize("preset", ["quick", "raw"])
def test_the_very_first_state_can_be_kept(classifier: Classifier, preset: Preset) -> None:
    """A slow machine keeps it before the first step is over; safetensors refuses tensors that share memory."""
    asked = next(ideal_image(classifier, ClassObjective(ZEBRA), preset=preset, size=64))
    assert asked.state is not None
    assert load(save(dict(asked.state())))["step"] == 1


def test_another_seed_is_another_picture(classifier: Classifier) -> None:
    one, other = (run(ideal_image(classifier, ClassObjective(ZEBRA), steps=3, seed=seed)) for seed in (1, 2))
    assert one.final != other.final


def test_the_prior_is_small_for_photos_and_large_for_noise(classifier: Classifier, dog: bytes) -> None:
    prior = NormPrior(classifier.backbone)
    photo = pixels_of(Picture.read(dog, ImageLimits()).canvas(classifier.backbone.preprocessing)).expand(2, -1, -1, -1)
    noise = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))

    def distance(canvas: Tensor) -> float:
        def minus_distance(seen: Activity) -> Tensor:
            return -prior.distance(seen.layers).expand(2)

        (answered,) = answer([Ask(classifier, canvas, minus_distance, layers=prior.layers)])
        assert isinstance(answered, Answer)
        return -float(answered.scores[0])

    assert distance(photo) < distance(noise) / 2


def test_the_fused_gradient_of_the_prior_is_that_of_autograd() -> None:
    from app.vision.synthesis.priors import _StatisticsDistance

    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(2, 4, 5, 6, generator=generator, dtype=torch.float64)
    activations = activations.contiguous(memory_format=torch.channels_last).requires_grad_()
    mean, deviation = torch.randn(4, generator=generator).double(), torch.rand(4, generator=generator).double() + 0.5
    found = _StatisticsDistance.apply(activations, mean, deviation)
    own_mean, own_deviation = activations.mean((0, 2, 3)), activations.std((0, 2, 3), correction=0)
    expected = (((own_mean - mean) / deviation) ** 2 + (own_deviation / deviation - 1) ** 2).mean()
    assert float(found.detach()) == pytest.approx(float(expected.detach()))
    (one,), (other,) = (torch.autograd.grad(value, activations) for value in (found, expected))
    assert torch.allclose(one, other)


def test_networks_without_norms_draw_too(shared_data: Path) -> None:
    models = ModelRepository([ROOT / "models"], weights_dir=shared_data / "weights", device=torch.device("cpu"))
    for name in ("squeezenet1_1", "mobilenet_v2"):
        classifier = models.load(name)
        assert bool(NormPrior(classifier.backbone).layers) == (name == "mobilenet_v2")
        found = run(ideal_image(classifier, ClassObjective(JELLYFISH), preset="quick", steps=40))
        assert found.score > found.start


def test_a_learned_head_is_drawn_towards_the_prototype_of_its_class(models: ModelRepository) -> None:
    pets = models.load("cats-vs-dogs")
    assert pets.space
    space, generator = pets.space, torch.Generator().manual_seed(0)
    for index in range(2):
        features = torch.randn(4, 1280, generator=generator).abs().requires_grad_()
        scores = prototype_objective(space, index)(Activity(torch.empty(0), features, {}))
        (slope,) = torch.autograd.grad(scores.sum(), features)

        def cosine(rows: Tensor, index: int = index) -> Tensor:
            return torch.cosine_similarity(space.standardised(rows), space.prototypes[index][None])

        before, after = cosine(features.detach()), cosine(features.detach() + 0.1 * slope / slope.norm(dim=1)[:, None])
        assert (after > before).all()
    drawn = run(ideal_image(pets, ClassObjective(0), preset="quick", steps=16))
    assert drawn.score > drawn.start


def test_a_network_that_took_no_part_sees_a_dog_in_an_ideal_breed(models: ModelRepository) -> None:
    pets, held_out = models.load("pets"), models.load("efficientnet_lite1")
    beagle = pets.labels.find("beagle").index
    found = run(ideal_image(pets, ClassObjective(beagle), preset="clear", others=[held_out]))
    assert found.success
    assert found.checks[0].taken.index in DOGS
