import pytest

from app.vision.ask import Answer, Ask, answer
from app.vision.image import ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of
from app.vision.synthesis.outcome import outcomes_of
from tests.support.pictures import shape


def test_an_outcome_says_of_each_picture_whether_it_is_unknown(repository: ModelRepository, dog: bytes) -> None:
    pets, imagenet = repository.load("cats-vs-dogs"), repository.load("imagenet")
    preprocessing = pets.backbone.preprocessing
    pictures = (Picture.read(one, ImageLimits(), preprocessing=preprocessing) for one in (dog, shape("red", 0)))
    canvases = pixels_of(*(picture.canvas(preprocessing) for picture in pictures))
    answered, original = answer([Ask(pets, canvases), Ask(imagenet, canvases)])
    assert isinstance(answered, Answer)
    assert isinstance(original, Answer)
    known, strange = outcomes_of(pets, answered)
    assert pets.labels[known.index].label == "dog"
    assert known.unknown is not None
    assert strange.unknown is not None
    assert known.unknown < 0.5 < strange.unknown
    found = outcomes_of(imagenet, original)[0]
    assert (imagenet.labels[found.index].label, found.unknown) == ("basenji", None)
    assert found.score == pytest.approx(float(original.logits[0].softmax(0).max()))
