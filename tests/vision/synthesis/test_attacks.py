import threading
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from app.vision.ask import run
from app.vision.classifier import Classifier
from app.vision.image import ImageLimits, InvalidImageError, Picture, Preprocessing
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of
from app.vision.synthesis import field
from app.vision.synthesis.adversarial_images import TargetIsSourceError, adversarial_image
from app.vision.synthesis.attacks import Method
from app.vision.synthesis.direction import part_of
from app.vision.synthesis.field import Computed, Field, by_bands
from app.vision.synthesis.perturbation import difference_of, measure, noise_like
from app.vision.synthesis.quantization import norm_of, round_to_norm, signed_step
from app.vision.synthesis.resize import ResizeOperator
from app.vision.synthesis.scene import Criterion, Scene, Victim
from app.vision.synthesis.transformations import Passage, canvases_through, ways_of
from app.vision.threads import each, use_threads
from tests.support.asking import state_after
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

TABBY = 281


@pytest.fixture(scope="module")
def models() -> ModelRepository:
    return ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def classifier(models: ModelRepository) -> Classifier:
    return models.load("imagenet")


def photo(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth and colourful, with all grey levels."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def taken_for(classifier: Classifier, data: bytes) -> int:
    preprocessing = classifier.backbone.preprocessing
    canvas = Picture.read(data, ImageLimits(), preprocessing=preprocessing).canvas(preprocessing)
    return int(classifier.logits(pixels_of(canvas)).argmax())


@pytest.mark.parametrize("size", [(500, 375), (91, 300), (40, 30), (1000, 700)])
def test_the_matrices_are_pillows_own_resize(size: tuple[int, int]) -> None:
    picture = photo(*size)
    resize = ResizeOperator(picture, Preprocessing(256, 224))
    rows, columns = resize.region
    pixels = torch.from_numpy(picture).permute(2, 0, 1).float()
    difference = resize.project(pixels[:, rows, columns]).clamp(0, 255) - torch.from_numpy(
        resize.canvas(picture)
    ).permute(2, 0, 1)
    assert difference.abs().max() <= 1.5  # Pillow rounds after each of the two passes


def test_the_gradient_that_comes_back_is_that_of_the_resize() -> None:
    picture = photo(300, 300)
    resize = ResizeOperator(picture, Preprocessing(224, 224))
    gradient = torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(0))
    pixels = torch.from_numpy(picture).permute(2, 0, 1).float().requires_grad_()
    resized = functional.interpolate(pixels[None], (224, 224), mode="bicubic", antialias=True)[0]
    (expected,) = torch.autograd.grad(resized, pixels, gradient)
    assert torch.allclose(resize.pull_back(gradient), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(500, 375), (321, 402)])
@pytest.mark.parametrize("way", ways_of(["messenger", "edit"]))
def test_a_small_change_does_to_the_canvas_what_the_gradient_says(way: str, size: tuple[int, int]) -> None:
    picture = photo(*size) // 2 + 64  # far from black and white, where a change would be cut
    passage = Passage(way, picture, Preprocessing(256, 224), ImageLimits())
    ramp = torch.linspace(0, 1, 224)
    gradient = (ramp[:, None] * ramp**2).expand(3, -1, -1)  # every place counts differently
    rows, columns = passage.region
    step = torch.zeros(3, *picture.shape[:2])
    step[:, size[1] // 4 : size[1] // 3, size[0] // 2 : size[0] * 2 // 3] = 8.0
    weights = gradient.permute(1, 2, 0).numpy()
    up, down = (
        float((passage.canvas((picture + sign * step.permute(1, 2, 0).numpy()).astype(np.uint8)) * weights).sum())
        for sign in (1, -1)
    )
    pulled = torch.zeros_like(step[:, rows, columns])
    passage.add_pulled_back_(pulled, gradient)
    expected = float((pulled * step[:, rows, columns]).sum())
    assert (up - down) / 2 == pytest.approx(expected, rel=0.03)


def test_what_comes_back_on_ways_of_one_geometry_may_be_added_up_on_the_canvas() -> None:
    picture = photo(500, 375)
    ways = ways_of(["messenger", "edit"])
    passages = [Passage(way, picture, Preprocessing(256, 224), ImageLimits()) for way in ways]
    alike = [passage for passage in passages if passage.geometry == passages[0].geometry]
    assert [passage.way for passage in alike] == list(ways_of(["messenger"]))
    gradients = torch.randn(len(alike), 3, 224, 224, generator=torch.Generator().manual_seed(0))
    region = alike[0].region
    one_by_one, together = (torch.zeros(3, *picture[region].shape[:2]) for _ in range(2))
    for passage, gradient in zip(alike, gradients, strict=True):
        assert passage.region == region
        passage.add_pulled_back_(one_by_one, gradient)
    alike[0].add_pulled_back_(together, gradients.sum(0))
    assert torch.allclose(one_by_one, together, atol=1e-5)


def test_ways_of_one_geometry_bring_a_gradient_to_the_same_pixels() -> None:
    for size, usual in (((500, 375), Preprocessing(256, 224)), ((224, 224), Preprocessing(256, 224))):
        picture = photo(*size)
        ways = [Passage(way, picture, usual, ImageLimits()) for way in ways_of(["messenger", "edit"])]
        if size == (224, 224):  # the canvas itself, as it is saved where that is what is changed
            ways.append(Passage("png", picture, None, ImageLimits()))
        gradient = torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(0))
        for one, other in product(ways, ways):
            if one.geometry == other.geometry:
                assert one.region == other.region
                first, second = (torch.zeros(3, *picture[one.region].shape[:2]) for _ in range(2))
                one.add_pulled_back_(first, gradient)
                other.add_pulled_back_(second, gradient)
                assert torch.equal(first, second)


def test_momentum_comes_back_with_the_same_bits_after_a_pause_and_in_any_order(imagenet: Classifier) -> None:
    picture = photo(321, 402)
    ways = ways_of(["messenger", "edit"])
    passages = {way: Passage(way, picture, Preprocessing(256, 224), ImageLimits()) for way in ways}
    scene = Scene(picture, [Victim(imagenet, Criterion(0, 281), passages)])
    keys = list(dict.fromkeys((0, passage.geometry) for passage in passages.values()))
    gradients = dict(
        zip(keys, torch.randn(len(keys), 3, 224, 224, generator=torch.Generator().manual_seed(0)), strict=True)
    )
    found = []
    for order in (keys, keys[::-1], keys[2:] + keys[:2]):
        velocity = scene.direction({})
        for key in order:
            velocity = velocity.times(0.9).plus(scene.direction({key: gradients[key]}))
        again = scene.direction({}).restored("velocity", velocity.state("velocity"))
        assert torch.equal(again.rows(slice(0, 50)), velocity.rows(slice(0, 50)))
        found.append(scene.direction({key: gradients[key] for key in order}).rows(slice(0, 50)))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.slow
@pytest.mark.parametrize("label", ["tabby", "goldfish"])
def test_the_small_canvas_is_changed_little_too(imagenet: Classifier, dog: bytes, label: str) -> None:
    """Of a picture that goes to its network as it is, and through a resize on all other ways."""
    target = imagenet.labels.find(label).index
    found = run(adversarial_image(imagenet, dog, target=target, space="model", seed=1))
    assert all(found.verified.values())
    assert found.perturbation.linf <= 6


def test_what_comes_back_band_by_band_is_what_comes_back_to_the_whole_picture(
    imagenet: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photo(321, 402)
    passages = {way: Passage(way, picture, Preprocessing(256, 224), ImageLimits()) for way in ways_of(["edit"])}
    scene = Scene(picture, [Victim(imagenet, Criterion(0, 281), passages)])
    ways = {(0, passage.geometry): passage for passage in passages.values()}
    gradients = torch.randn(len(ways), 3, 224, 224, generator=torch.Generator().manual_seed(0))
    whole = torch.zeros(scene.start().shape)
    for passage, gradient in zip(ways.values(), gradients, strict=True):
        passage.add_pulled_back_(part_of(whole, scene.region, passage.region), gradient)
    monkeypatch.setattr(field, "_BAND", 50 * whole.shape[2])
    direction = scene.direction(dict(zip(ways, gradients, strict=True)))
    bands = by_bands(direction.rows, *whole.shape[1:])
    assert len(bands) == -(-whole.shape[1] // 50)
    assert torch.allclose(torch.cat(bands, dim=1), whole, atol=1e-5)
    assert direction.norm == pytest.approx(float(whole.norm()), rel=1e-5)
    assert direction.largest == pytest.approx(float(whole.abs().max()), rel=1e-5)
    assert direction.mean == pytest.approx(float(whole.abs().mean()), rel=1e-5)
    assert direction.times(-3).norm == pytest.approx(3 * direction.norm, rel=1e-5)


@pytest.mark.parametrize("size", [(150, 100), (500, 375), (1200, 900)])
def test_the_density_tells_how_large_a_gradient_is_in_the_picture(size: tuple[int, int]) -> None:
    picture = photo(*size)
    for crop in (192, 224, 300):
        passage = Passage("png", picture, Preprocessing(round(crop / 0.875), crop), ImageLimits())
        rows, columns = passage.region
        pulled = torch.zeros(3, *picture[rows, columns].shape[:2])
        passage.add_pulled_back_(pulled, torch.full((3, crop, crop), 2.0))
        assert float(pulled.mean()) == pytest.approx(2 * passage.density, rel=0.12)  # the region is a little wider


def test_canvases_made_on_several_threads_are_those_made_one_by_one() -> None:
    picture = photo(500, 375)
    passages = [Passage(way, picture, Preprocessing(256, 224), ImageLimits()) for way in ways_of(["messenger", "edit"])]
    one_by_one = pixels_of(*(passage.canvas(picture) for passage in passages))
    assert torch.equal(canvases_through(passages, picture), one_by_one)


def field_of(values: Tensor) -> Field:
    return Computed(lambda rows: values[:, rows], *values.shape[1:])


def test_a_direction_is_rounded_to_whole_levels_of_the_asked_norm() -> None:
    start = torch.from_numpy(photo(120, 90)).permute(2, 0, 1)
    direction = field_of(torch.randn(start.shape, generator=torch.Generator().manual_seed(1)))
    for norm in (30.0, 200.0, 900.0):
        change = round_to_norm(direction, norm, start, None)
        assert norm_of(change) == pytest.approx(norm, rel=0.1)
        assert (start + change).min() >= 0
        assert (start + change).max() <= 255
    assert round_to_norm(direction, 900.0, start, 2).abs().max() == 2


def test_two_pictures_are_computed_at_once() -> None:
    """Of two jobs, neither waits for the other's."""
    met = threading.Barrier(2)

    def values(rows: slice) -> Tensor:
        met.wait(20)
        return torch.ones(3, rows.stop - rows.start, 5)

    before = torch.get_num_threads()
    use_threads(2)
    pictures = [Computed(values, 4, 5) for _ in range(2)]
    norms = each(lambda picture: (picture.norm, picture.mean, picture.largest), pictures)
    use_threads(before)
    for norm, mean, largest in norms:
        assert norm == pytest.approx(60**0.5)
        assert (mean, largest) == (1.0, 1.0)


def test_changes_are_of_a_byte_where_they_fit_and_may_be_of_any_size() -> None:
    start = torch.full((3, 8, 9), 128, dtype=torch.uint8)
    up = field_of(torch.ones(3, 8, 9))
    few = signed_step(torch.zeros(3, 8, 9, dtype=torch.int8), up, 100, 127, start)
    assert few.dtype == torch.int8
    assert (few == 100).all()
    many = signed_step(few, up, 100, 255, start)
    assert (many == 127).all(), "white is the end"
    assert (signed_step(many, field_of(-torch.ones(3, 8, 9)), 255, 255, start) == -128).all()


@pytest.mark.parametrize("size", [1001, 2100])
@pytest.mark.parametrize("norm", [0.05, 0.2, 3.0])
def test_of_a_large_picture_some_places_tell_how_it_is_rounded(norm: float, size: int) -> None:
    """A direction comes back from a small canvas, so that places beside each other are alike."""
    small = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    direction = functional.interpolate(small, size=(size, size), mode="bicubic")[0]
    start = torch.full(direction.shape, 128, dtype=torch.uint8)
    change = round_to_norm(field_of(direction), 0.98 * 255 * norm, start, None)
    assert 0.94 * norm < norm_of(change) / 255 <= norm


@pytest.mark.parametrize("cap", [None, 2])
def test_a_large_change_is_rounded_by_bands_as_it_would_be_at_once(
    monkeypatch: pytest.MonkeyPatch, cap: int | None
) -> None:
    direction = torch.randn((3, 50, 40), generator=torch.Generator().manual_seed(0))
    direction[:, 40:] *= 5  # the largest values lie in the last band
    start = torch.randint(0, 256, direction.shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    at_once = round_to_norm(field_of(direction), 60.0, start, cap)
    monkeypatch.setattr(field, "_BAND", 280)
    assert torch.equal(round_to_norm(field_of(direction), 60.0, start, cap), at_once)
    change = round_to_norm(field_of(-direction), 60.0, torch.full_like(start, 128), cap)
    assert norm_of(change) == pytest.approx(60.0, rel=0.02)
    assert not round_to_norm(field_of(torch.zeros(3, 50, 40)), 60.0, start, cap).any()


def test_a_robust_picture_survives_what_happens_to_pictures(classifier: Classifier, dog: bytes) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY))
    assert found.success
    assert taken_for(classifier, dog) == found.before.index != TABBY
    assert taken_for(classifier, found.adversarial) == found.after.index == TABBY
    assert all(found.verified.values())
    for quality in (90, 75):
        file = BytesIO()
        Image.open(BytesIO(found.adversarial)).save(file, "JPEG", quality=quality)
        assert taken_for(classifier, file.getvalue()) == TABBY
    assert not found.noise_fooled
    assert found.noise_linf == found.perturbation.linf <= 8
    assert Image.open(BytesIO(found.adversarial)).size == Image.open(BytesIO(dog)).size
    assert "tabby" in Image.open(BytesIO(found.adversarial)).info["Description"]


def test_a_picture_survives_a_messenger_and_an_editor_when_that_is_asked_for(
    classifier: Classifier, dog: bytes
) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY, survive=["messenger", "edit"]))
    assert list(found.verified) == ["png", "reupload", *ways_of(["messenger", "edit"])[1:]]
    assert all(found.verified.values())
    assert found.hint is None
    assert found.perturbation.linf <= 12
    with Image.open(BytesIO(found.adversarial)) as image:
        file = BytesIO()
        image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS).save(file, "JPEG", quality=70)
        assert taken_for(classifier, file.getvalue()) == TABBY
        for edited in (ImageOps.mirror(image), image.rotate(3, Image.Resampling.BICUBIC), ImageOps.crop(image, 15)):
            file = BytesIO()
            edited.save(file, "PNG")
            assert taken_for(classifier, file.getvalue()) == TABBY


def test_what_a_picture_does_not_survive_is_told(classifier: Classifier, dog: bytes) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY, survive=["edit"], epsilon=2 / 255, steps=8))
    assert found.hint
    for way, held in found.verified.items():
        assert (way in found.hint) == (not held and found.success)


def test_one_picture_fools_several_networks_at_once(
    models: ModelRepository, classifier: Classifier, dog: bytes
) -> None:
    partner = models.load("efficientnet_lite1")
    alone = run(adversarial_image(classifier, dog, target=TABBY, others=[partner]))
    assert taken_for(partner, alone.adversarial) != TABBY
    found = run(adversarial_image(classifier, dog, target=TABBY, partners=[partner]))
    assert [verdict.classifier for verdict in found.verdicts] == [classifier, partner]
    assert taken_for(classifier, found.adversarial) == taken_for(partner, found.adversarial) == TABBY
    assert all(all(verdict.verified.values()) for verdict in found.verdicts)
    assert found.verdicts[1].before.index == taken_for(partner, dog)
    assert "imagenet, efficientnet_lite1" in Image.open(BytesIO(found.adversarial)).info["Description"]


@pytest.mark.parametrize("method", ["minimal", "pgd"])
def test_a_picture_that_fools_one_of_two_has_not_succeeded(
    models: ModelRepository, classifier: Classifier, dog: bytes, method: Method
) -> None:
    partner = models.load("efficientnet_lite1")
    for epsilon in (0.3, 30.0) if method == "minimal" else (1 / 255, 4 / 255):
        found = run(
            adversarial_image(classifier, dog, partners=[partner], target=TABBY, method=method, epsilon=epsilon)
        )
        taken = [taken_for(one, found.adversarial) for one in (classifier, partner)]
        assert [verdict.verified["reupload"] for verdict in found.verdicts] == [index == TABBY for index in taken]
        assert found.success == (taken == [TABBY, TABBY])
    assert found.success


def test_a_minimal_picture_changes_far_less(classifier: Classifier, dog: bytes) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY, method="minimal"))
    assert taken_for(classifier, found.adversarial) == TABBY
    assert found.verified["reupload"]
    assert found.perturbation.l2 < 1.5
    before, after = (
        np.array(Image.open(BytesIO(data)).convert("RGB")).astype(int) for data in (dog, found.adversarial)
    )
    assert np.abs(after - before).max() == found.perturbation.linf
    assert np.sqrt(((after - before) ** 2).sum()) / 255 == pytest.approx(found.perturbation.l2)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 3 / 255), ("l2", 4.0)])
def test_pgd_stays_within_epsilon(classifier: Classifier, dog: bytes, norm: str, epsilon: float) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY, method="pgd", norm=norm, epsilon=epsilon))  # type: ignore[arg-type]
    assert taken_for(classifier, found.adversarial) == TABBY
    change = found.perturbation
    assert (change.linf / 255 if norm == "linf" else change.l2) <= epsilon + 1e-6


def test_without_a_target_anything_else_will_do(classifier: Classifier, dog: bytes) -> None:
    found = run(adversarial_image(classifier, dog, method="lesson"))
    assert taken_for(classifier, found.adversarial) == found.after.index != found.before.index


def test_a_score_can_be_asked_for(classifier: Classifier, dog: bytes) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY, method="pgd", score=0.9, epsilon=4 / 255))
    assert found.success
    assert found.after.score > 0.9


def test_what_cannot_be_done_is_told_with_the_best_that_was_reached(classifier: Classifier, dog: bytes) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY, method="fgsm", epsilon=1 / 255))
    assert not found.success
    assert found.steps_to_success is None
    assert found.hint
    assert "robust" in found.hint
    assert found.perturbation.linf == 1
    assert taken_for(classifier, found.adversarial) == found.after.index != TABBY


def test_a_change_of_the_canvas_is_verified_as_an_upload_all_the_same(classifier: Classifier, dog: bytes) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY, method="pgd", space="model"))
    assert Image.open(BytesIO(found.adversarial)).size == (224, 224)
    assert found.success == (taken_for(classifier, found.adversarial) == TABBY)


def test_the_target_must_not_be_what_it_is_taken_for_already(classifier: Classifier, dog: bytes) -> None:
    with pytest.raises(TargetIsSourceError):
        run(adversarial_image(classifier, dog, target=taken_for(classifier, dog)))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_pictures_of_every_mode_are_fooled_at_their_own_size(classifier: Classifier, cat: bytes, mode: str) -> None:
    small = Image.open(BytesIO(cat)).convert("RGB").resize((300, 220))
    file = BytesIO()
    if mode == "I;16":
        Image.fromarray(np.array(small.convert("L")).astype(np.uint16) * 257).save(file, "PNG")
    else:
        small.convert(mode).save(file, "JPEG" if mode == "CMYK" else "PNG")
    target = 207 if taken_for(classifier, file.getvalue()) != 207 else TABBY
    found = run(adversarial_image(classifier, file.getvalue(), target=target, method="pgd", epsilon=4 / 255))
    assert found.success
    assert Image.open(BytesIO(found.adversarial)).size == (300, 220)


def test_tiny_and_flat_pictures_end_honestly(classifier: Classifier) -> None:
    file = BytesIO()
    Image.new("RGB", (1, 1), (90, 120, 20)).save(file, "PNG")
    found = run(adversarial_image(classifier, file.getvalue(), target=TABBY, method="pgd"))
    assert found.success == (taken_for(classifier, found.adversarial) == TABBY)


def test_a_broken_picture_is_refused(classifier: Classifier) -> None:
    with pytest.raises(InvalidImageError):
        run(adversarial_image(classifier, b"GIF89a nothing", target=TABBY))


def test_other_networks_are_asked_what_they_see(models: ModelRepository, classifier: Classifier, dog: bytes) -> None:
    other = models.load("efficientnet_lite1")
    found = run(adversarial_image(classifier, dog, target=TABBY, method="minimal", others=[other]))
    (transfer,) = found.transfer
    assert transfer.after.index == taken_for(other, found.adversarial)
    assert transfer.fooled == (transfer.after.index == TABBY)


@pytest.mark.parametrize("band", [field._BAND, 9000], ids=["one band", "many bands"])
@pytest.mark.parametrize("method", ["robust", "minimal", "pgd", "lesson"])
def test_a_resumed_attack_ends_with_the_same_file(
    classifier: Classifier, dog: bytes, method: str, band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field, "_BAND", band)
    choices = {"target": TABBY, "method": method, "seed": 5}
    whole = run(adversarial_image(classifier, dog, **choices))  # type: ignore[arg-type]
    state = state_after(adversarial_image(classifier, dog, **choices), 2)  # type: ignore[arg-type]
    resumed = run(adversarial_image(classifier, dog, resume=state, **choices))  # type: ignore[arg-type]
    assert resumed.adversarial == whole.adversarial


def test_a_state_stays_what_it_was_when_the_attack_goes_on_or_begins_with_it(
    classifier: Classifier, dog: bytes
) -> None:
    state = state_after(adversarial_image(classifier, dog, target=TABBY, method="lesson"), 3)
    before = {name: tensor.clone() for name, tensor in state.items()}
    ends = [
        run(adversarial_image(classifier, dog, target=TABBY, method="lesson", resume=state)).adversarial
        for _ in range(2)
    ]
    assert ends[0] == ends[1]
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())


def test_a_minimal_attack_begins_again_where_an_older_version_left_whole_directions(
    classifier: Classifier, dog: bytes
) -> None:
    older = {name: torch.zeros(3, 5, 5) for name in ("direction", "change", "best")}
    older |= {"searched": torch.tensor([50.0, 60.0, 5.0], dtype=torch.float64), "step": torch.tensor(20)}
    found = run(adversarial_image(classifier, dog, target=TABBY, method="minimal", resume=older))
    assert found.adversarial == run(adversarial_image(classifier, dog, target=TABBY, method="minimal")).adversarial


def test_large_pictures_are_measured_in_bands_as_whole_ones_are() -> None:
    picture = np.tile(photo(700, 500), (3, 2, 1))
    changed = (picture + np.random.default_rng(0).integers(-3, 4, picture.shape)).clip(0, 255).astype(np.uint8)
    whole = measure(picture, changed)
    change = changed.astype(int) - picture
    assert whole.linf == np.abs(change).max() == 3
    assert whole.l2 == pytest.approx((change**2).sum() ** 0.5 / 255)
    assert whole.ssim == pytest.approx(measure(picture[:500, :700], changed[:500, :700]).ssim, abs=0.003)
    assert np.array_equal(difference_of(picture, changed, 40), 128 + 40 * change)


def test_noise_is_the_same_changes_elsewhere() -> None:
    picture = np.full((300, 200, 3), 128, np.uint8)
    changed = picture.copy()
    changed[100:140, 20:60] += 5
    region = slice(50, 250), slice(10, 190)
    noisy = noise_like(picture, changed, region, seed=3)
    change = noisy.astype(int) - picture
    assert (np.abs(change) == 5).sum() == (changed != picture).sum()
    assert abs(change.sum()) < 0.1 * np.abs(change).sum(), "as many up as down"
    assert np.array_equal(noisy[:50], picture[:50])
    assert (noisy[100:140, 20:60] == changed[100:140, 20:60]).mean() < 0.2
    assert np.array_equal(noisy, noise_like(picture, changed, region, seed=3))
    assert not np.array_equal(noisy, noise_like(picture, changed, region, seed=4))


def test_ssim_is_one_for_the_same_picture_and_less_for_noise() -> None:
    picture = photo(80, 60)
    noisy = (picture.astype(int) + np.random.default_rng(0).integers(-20, 21, picture.shape)).clip(0, 255)
    same, other = measure(picture, picture), measure(picture, noisy.astype(np.uint8))
    assert same.ssim == pytest.approx(1)
    assert same.psnr_db is None
    assert other.ssim < 0.9
    assert other.psnr_db == pytest.approx(26.5, abs=1.5)


def test_dogs_are_taken_for_cats_after_all_channels(classifier: Classifier, shared_data: Path) -> None:
    fooled, sizes = 0, []
    files = sorted((shared_data / "cats-dogs/test/dog").glob("*.jpg"))
    dogs = [data for data in (path.read_bytes() for path in files[:12]) if 151 <= taken_for(classifier, data) <= 268]
    for data in dogs[:5]:
        found = run(adversarial_image(classifier, data, target=TABBY))
        fooled += all(found.verified.values()) and not found.noise_fooled
        sizes.append(found.perturbation.linf)
    assert fooled == 5
    assert sorted(sizes)[2] <= 4


@pytest.mark.parametrize(("method", "epsilon", "levels"), [
    ("lesson", 2.6 / 255, 2), ("lesson", 0.4 / 255, 0), ("fgsm", 0.9 / 255, 0), ("fgsm", 2.6 / 255, 2),
    ("robust", 0.5 / 255, 0), ("robust", 1.5 / 255, 1), ("pgd", 0.5 / 255, 0), ("pgd", 2.6 / 255, 2),
])  # fmt: skip
def test_no_value_changes_by_more_than_epsilon_not_even_by_rounding(
    classifier: Classifier, dog: bytes, method: Method, epsilon: float, levels: int
) -> None:
    found = run(adversarial_image(classifier, dog, target=TABBY, method=method, epsilon=epsilon, steps=3))
    before, after = (
        np.array(Image.open(BytesIO(data)).convert("RGB")).astype(int) for data in (dog, found.adversarial)
    )
    assert abs(after - before).max() == found.perturbation.linf <= levels
    assert found.perturbation.linf == levels or found.success
