"""A classifier is a backbone, the head learned on it, and the names of its classes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.vision.feature_space import FeatureSpace
    from app.vision.labels import Labels
    from app.vision.networks.backbones import Backbone


@dataclass(frozen=True)
class ModelCard:
    """What there is to know of a model without loading it."""

    name: str
    version: int
    backbone: str
    num_classes: int
    original_head: bool = False
    """Whether the head is the backbone's own ImageNet head, and not one that was learned on it."""
    description: "Mapping[str, str]" = field(default_factory=dict)
    """By language."""
    licence: str | None = None
    source: str | None = None
    weights: str | None = None
    """The file that the backbone's weights came from when the head was learned; with others it says nothing."""
    threshold: float | None = None
    """With `spread`, see `FeatureSpace`; None if the model cannot tell what is unknown."""
    spread: float = 1.0
    training: "Mapping[str, object]" = field(default_factory=dict)
    metrics: "Mapping[str, object]" = field(default_factory=dict)
    is_trained: bool = False
    """Whether it was taught here, and can be deleted; the others ship with Inkblot."""
    owner: str | None = None
    """The key that taught it; None if it is for everybody."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """`space` is where the training pictures lie; an original head has none."""

    card: ModelCard
    backbone: "Backbone"
    head: nn.Linear
    labels: "Labels"
    space: "FeatureSpace | None" = None

    def logits(self, pixels: Tensor) -> Tensor:
        """`(N, 3, crop, crop)` in [0, 1] to `(N, classes)`; differentiable in the pixels."""
        logits: Tensor = self.head(self.backbone(pixels))
        return logits

    def unknown(self, features: Tensor) -> "list[float | None]":
        """How surely features `(n, features)` belong to none of the classes, 0..1 each; None if it cannot tell."""
        return self.space.unknown(features).tolist() if self.space else [None] * len(features)
