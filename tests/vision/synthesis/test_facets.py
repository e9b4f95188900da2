from io import BytesIO

import pytest
import torch
from PIL import Image
from torch import Tensor

from app.vision.ask import Algorithm, Ask, run
from app.vision.classifier import Classifier
from app.vision.models.repository import ModelRepository
from app.vision.synthesis.film import Film, frame_size, is_frame, tiled
from app.vision.synthesis.ideal_images import IdealImage, ideal_image
from app.vision.synthesis.objectives import ChannelObjective, ClassObjective
from app.vision.synthesis.priors import gram_similarity
from tests.support.asking import asked_until
from tests.support.paths import ROOT

ZEBRA = 340


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    models = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))
    return models.load("imagenet")


def stripes(channel: int) -> Tensor:
    """Activations `(1, 3, 4, 4)` of one channel that rises and falls, the others being still."""
    activations = torch.zeros(1, 3, 4, 4)
    activations[:, channel] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    return activations


def test_pictures_are_alike_whose_channels_rise_together() -> None:
    same = torch.cat([stripes(0), stripes(0).roll(1, 3), 5 * stripes(0)])
    assert gram_similarity(same, 3).tolist() == pytest.approx([1, 1, 1])
    one_is_other = torch.cat([stripes(0), stripes(0), stripes(2)])
    assert gram_similarity(one_is_other, 3).tolist() == pytest.approx([0.5, 0.5, 0])


def test_several_views_of_a_picture_count_as_one_picture() -> None:
    views = torch.cat([stripes(0), stripes(1), stripes(1), stripes(0)])
    assert gram_similarity(views, 2).tolist() == pytest.approx([1, 1])


def test_pictures_lie_in_rows_and_the_missing_ones_are_white() -> None:
    pictures = torch.arange(5.0)[:, None, None, None].expand(5, 3, 2, 2) / 10
    grid = tiled(pictures)
    assert grid[0, ::2, ::2].flatten().tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 1])


def test_a_film_has_forty_frames_however_many_steps_there_are() -> None:
    assert [sum(is_frame(step, steps) for step in range(1, steps + 1)) for steps in (7, 40, 96, 2000)] == [
        7,
        40,
        40,
        40,
    ]
    assert frame_size(1, 224, 192, 288) == 192
    assert frame_size(9, 224, 192, 288) == 96
    film = Film(4, 64)
    film.take(torch.zeros(4, 3, film.size, film.size))
    film.take(torch.ones(4, 3, film.size, film.size))
    with Image.open(BytesIO(film.webp())) as shown:
        assert (shown.size, shown.n_frames) == ((128, 128), 2)  # type: ignore[attr-defined]


def few(classifier: Classifier, **choices: object) -> IdealImage:
    return run(ideal_image(classifier, ClassObjective(ZEBRA), preset="quick", seed=3, **choices))  # type: ignore[arg-type]


@pytest.mark.slow
def test_facets_differ_and_without_diversity_they_are_more_alike(classifier: Classifier) -> None:
    alike, differing = (few(classifier, count=2, steps=12, diversity=diversity) for diversity in (0.0, 5.0))
    pairs = [[facet.similarity or 0.0 for facet in found.facets] for found in (alike, differing)]
    assert sum(pairs[1]) < sum(pairs[0]) - 0.1
    assert differing.facets[0].final != differing.facets[1].final
    assert (differing.final, differing.score) == (differing.facets[0].final, differing.facets[0].score)


@pytest.mark.slow
def test_one_picture_is_compared_with_none(classifier: Classifier) -> None:
    found = few(classifier, steps=1)
    assert [facet.similarity for facet in found.facets] == [None]


@pytest.mark.slow
def test_facets_are_asked_for_at_once_and_go_on_where_they_were(classifier: Classifier) -> None:
    def drawing(resume: dict[str, Tensor] | None = None) -> Algorithm[IdealImage]:
        aim = ChannelObjective("_blocks.4", 7)
        return ideal_image(classifier, aim, preset="quick", steps=4, size=64, count=3, seed=5, resume=resume)

    def is_third(ask: Ask) -> bool:
        assert len(ask.canvas) == 3 * 3
        return bool(ask.progress and ask.progress.step == 3)

    whole, asked = run(drawing()), asked_until(drawing(), is_third)
    assert asked.state
    resumed = run(drawing(resume={name: tensor.clone() for name, tensor in asked.state().items()}))
    assert [facet.final for facet in resumed.facets] == [facet.final for facet in whole.facets]
    assert resumed.animation == whole.animation


def test_facets_are_not_of_pixels(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="one picture"):
        run(ideal_image(classifier, ClassObjective(ZEBRA), preset="lesson", count=2))
