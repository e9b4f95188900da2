"""What a network takes a file for, on the way of a classification."""

import torch

from app.vision.classifier import Classifier
from app.vision.image import ImageLimits, Picture
from app.vision.pixels import pixels_of


def taken_for(judge: Classifier, file: bytes) -> int:
    """The index of the class that it puts first."""
    preprocessing = judge.backbone.preprocessing
    canvas = Picture.read(file, ImageLimits(), preprocessing=preprocessing).canvas(preprocessing)
    with torch.no_grad():
        return int(judge.logits(pixels_of(canvas)).argmax())
