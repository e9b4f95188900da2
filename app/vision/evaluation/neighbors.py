"""Which pictures that a model learned from does a new one look like? The nearest in the space of its features."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from app.vision.ask import Pause, Steps
from app.vision.drawing.gallery import draw_gallery
from app.vision.drawing.numbers import number
from app.vision.encoding import Encoding, encoded
from app.vision.image import ImageLimits, Picture
from app.vision.inspection.requests import Upload, Watch
from app.vision.labels import Label, Scored
from app.vision.transfer.examples import Examples, NoExamplesError

if TYPE_CHECKING:
    from app.vision.classifier import Classifier
    from app.vision.serving.runtimes import StagedFeatureExtractor


@dataclass(frozen=True, eq=False)
class Remembered:
    """The pictures that a model learned from, and the direction of each in its feature space, `(n, features)`."""

    examples: Examples
    directions: Tensor


@dataclass(frozen=True, eq=False)
class Neighbor:
    """`similarity` is the cosine in the standardised feature space, −1..1; `thumbnail` is a small JPEG."""

    label: str
    name: str
    similarity: float
    thumbnail: bytes


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest first."""

    upload: Upload
    first: Scored
    unknown: float | None
    nearest: tuple[Neighbor, ...]
    body: bytes | None
    watch: Watch


def remembered(classifier: "Classifier", path: Path | None) -> Remembered:
    """Of the examples in a file; quick if it was read before. Raises `NoExamplesError`."""
    if path is None or not path.is_file():
        raise NoExamplesError(classifier.card.name)
    return _read(classifier, path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(classifier: "Classifier", path: Path, _changed: int) -> Remembered:
    every = Examples.read(path, classifier.backbone.weights.name)
    examples = every.of("learning", "validation") if every else None
    if not examples or not len(examples):
        raise NoExamplesError(classifier.card.name)
    return Remembered(examples, _directions(classifier, examples.features))


def _directions(classifier: "Classifier", features: Tensor) -> Tensor:
    if classifier.space:
        features = classifier.space.standardised(features.to(classifier.space.mean)).cpu()
    return functional.normalize(features.float(), dim=1)


def neighbors(
    classifier: "Classifier",
    forward: "StagedFeatureExtractor",
    known: Remembered,
    data: bytes,
    limits: ImageLimits,
    *,
    k: int = 5,
    language: str = "en",
    form: Encoding | None = None,
) -> Steps[Neighbors]:
    """The `k` examples (fewer if there are fewer) that are most like the picture in an upload; with a `form` drawn
    beside it. Raises what `Picture.read` raises, and `UnencodableError`.
    """
    watch = Watch()
    preprocessing = classifier.backbone.preprocessing
    picture = Picture.read(data, limits, preprocessing=preprocessing)
    upload = Upload.of(data, picture, preprocessing)
    canvas = picture.canvas(preprocessing)
    watch.lap("decode")
    with torch.inference_mode():
        features = forward(canvas[np.newaxis])
        probabilities = classifier.head(features).softmax(1)[0].cpu()
        (unknown,) = classifier.unknown(features)
        cosines = known.directions @ _directions(classifier, features.cpu())[0]
    similarities, indices = cosines.topk(min(k, len(cosines)))
    examples, first = known.examples, int(probabilities.argmax())
    nearest = tuple(
        Neighbor(examples.labels[index], examples.names[index], similarity, examples.thumbnails[index])
        for index, similarity in zip(indices.tolist(), similarities.tolist(), strict=True)
    )
    watch.lap("inference")
    body = None
    taken = Scored(classifier.labels[first], float(probabilities[first]))
    if form:
        yield Pause()
        watch.go_on()
        body = encoded(_sheet(Image.fromarray(canvas), taken.label, nearest, classifier, language), form)
        watch.lap("drawing")
    return Neighbors(upload, taken, unknown, nearest, body, watch)


def _sheet(
    photo: Image.Image, first: Label, nearest: Sequence[Neighbor], classifier: "Classifier", language: str
) -> Image.Image:
    shown = [(photo, (first.display_in(language), classifier.card.name))]
    for one in nearest:
        label = classifier.labels.get(one.label)
        name = label.display_in(language) if label else one.label
        with Image.open(BytesIO(one.thumbnail)) as thumbnail:
            shown.append((thumbnail.convert("RGB"), (name, number(one.similarity, language))))
    return draw_gallery([shown])
