"""What a request to look inside wants, and what it gets."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Self

from app.vision.drawing.overlay import Box, OverlayStyle
from app.vision.drawing.sheet import Look
from app.vision.encoding import Encoding
from app.vision.image import Picture, Preprocessing
from app.vision.inspection.explanations import Evidence, Method
from app.vision.inspection.feature_maps import Channels, FeatureMaps
from app.vision.inspection.focus import Focus, Region
from app.vision.labels import Scored
from app.vision.networks.layers import Layer

Form = Literal["numbers", "array"] | Encoding


@dataclass
class Watch:
    """Milliseconds by what they were spent on; the time between `lap` and `go_on` is not counted."""

    ms: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _since: float = field(default_factory=time.perf_counter)

    def go_on(self) -> None:
        """Count from now on."""
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """Add the time since the last call to what is spent on `name`."""
        now = time.perf_counter()
        self.ms[name] += (now - self._since) * 1e3
        self._since = now


@dataclass(frozen=True)
class Upload:
    """The file: `width` and `height` are the upright picture's, `box` is what the network saw of it."""

    sha256: str
    format: str
    width: int
    height: int
    box: Box

    @classmethod
    def of(cls, data: bytes, picture: Picture, preprocessing: Preprocessing) -> Self:
        """Of the bytes that were sent, and what was decoded of them."""
        size = picture.width, picture.height
        return cls(sha256(data).hexdigest(), picture.format, *size, preprocessing.box(*size))

    @property
    def seen(self) -> Region:
        """The part of the upright picture that the network saw."""
        return Region.of(self.box, (self.width, self.height))


@dataclass(frozen=True)
class FeatureMapRequest:
    """`layers` from `layers_of`; without `channels`: the first 16, or of several layers 8 each, and all in an array."""

    layers: tuple[Layer, ...]
    channels: Channels | None = None
    target: int | None = None
    look: Look = field(default_factory=Look)
    opacity: float = 0.65
    overlay: bool = False
    caption: bool = False
    form: Form = "PNG"


@dataclass(frozen=True, eq=False)
class Maps:
    """`body` is the picture or the array, None for numbers. `unknown`: how surely it is a picture of none of the
    classes, 0..1; None if the model cannot tell.
    """

    upload: Upload
    target: Scored
    unknown: float | None
    layers: list[FeatureMaps]
    body: bytes | None
    watch: Watch


@dataclass(frozen=True)
class ExplanationRequest:
    """`layer` is for Grad-CAM alone; None is the end of the last stage. `bare` leaves out the photo."""

    method: Method = "grad_cam"
    layer: Layer | None = None
    target: int | None = None
    style: OverlayStyle = field(default_factory=lambda: OverlayStyle("inferno"))
    bare: bool = False
    caption: bool = False
    language: str = "en"
    form: Literal["numbers"] | Encoding = "PNG"


@dataclass(frozen=True, eq=False)
class Explanation:
    """`layer` is Grad-CAM's; `focus` is None if nothing in the picture speaks for the class; `unknown` as in `Maps`."""

    upload: Upload
    target: Scored
    unknown: float | None
    method: Method
    layer: Layer | None
    evidence: Evidence
    focus: Focus | None
    body: bytes | None
    watch: Watch
