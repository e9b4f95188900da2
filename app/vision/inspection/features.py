"""What a frozen network makes of pictures, as rows of numbers for somebody else's classifier."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from app.vision.ask import Pause, Steps
from app.vision.encoding import as_npy
from app.vision.image import ImageLimits, InvalidImageError, Picture
from app.vision.inspection.requests import Watch
from app.vision.networks.layers import Layer, capture
from app.vision.pixels import to_pixels

if TYPE_CHECKING:
    from app.vision.classifier import Classifier
    from app.vision.serving.runtimes import StagedFeatureExtractor


@dataclass(frozen=True, eq=False)
class Features:
    """`rows` are `(n, features)` in float32, in the order of the pictures; `layer` is None for the pooled features."""

    rows: Tensor
    layer: Layer | None
    watch: Watch

    def as_npy(self) -> bytes:
        """As `numpy.save` writes it."""
        return as_npy(self.rows)

    def as_csv(self) -> bytes:
        """A heading, then a line a picture: its place, from 0, and its features."""
        file = StringIO()
        writer = csv.writer(file)
        writer.writerow(["picture", *(f"f{number}" for number in range(self.rows.shape[1]))])
        for place, row in enumerate(self.rows.tolist()):
            writer.writerow([place, *(f"{value:.7g}" for value in row)])
        return file.getvalue().encode()


def features_of(
    classifier: "Classifier",
    forward: "StagedFeatureExtractor",
    uploads: Sequence[bytes],
    limits: ImageLimits,
    layer: Layer | None = None,
) -> Steps[Features]:
    """The features that the head of a classifier gets, or the mean of each channel of a layer over its whole map.

    A picture at a time. Raises what `Picture.read` raises, with the number of the picture.
    """
    watch = Watch()
    preprocessing = classifier.backbone.preprocessing
    rows = []
    for number, data in enumerate(uploads):
        if number:
            yield Pause()
            watch.go_on()
        try:
            canvas = Picture.read(data, limits, preprocessing=preprocessing).canvas(preprocessing)
        except InvalidImageError as error:
            raise type(error)(f"Picture {number + 1} of {len(uploads)}: {error}") from None
        watch.lap("decode")
        if layer is None:
            rows.append(forward(canvas[np.newaxis])[0].cpu())
        elif layer.name in classifier.backbone.card.stages:
            rows.append(forward.stage(canvas, layer.name)[0].mean((1, 2)).cpu())
        else:
            backbone = classifier.backbone
            with torch.inference_mode(), capture(backbone.network, [layer.name]) as activations:
                backbone(to_pixels(canvas[np.newaxis], backbone.mean.device))
            rows.append(activations[layer.name][0].mean((1, 2)).cpu())
        watch.lap("inference")
    return Features(torch.stack(rows).float(), layer, watch)
