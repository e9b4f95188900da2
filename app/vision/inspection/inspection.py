"""What a request to look inside wants and gets, and the steps from one to the other, in pieces of some 50 ms."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from threading import Semaphore
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import numpy as np
import torch
from PIL import Image

from app.vision.ask import Algorithm, Answer, Ask, Pause, Steps, answer
from app.vision.drawing.brightness import brightness
from app.vision.drawing.captions import caption
from app.vision.drawing.lettering import number, percent
from app.vision.drawing.overlay import Box, OverlayStyle, caption_of_scale, draw_heat_map, draw_overlay, with_caption
from app.vision.drawing.sheet import Look, draw_sheet
from app.vision.encoding import Encoding, encoded
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.inspection.activations import look_into
from app.vision.inspection.explanations import Evidence, Method, grad_cam, integrated_gradients, occlusion
from app.vision.inspection.feature_maps import Channels, FeatureMaps
from app.vision.inspection.focus import Focus, Region, focus_of
from app.vision.labels import Scored
from app.vision.networks.layers import Layer, find_layer
from app.vision.pixels import to_levels, to_pixels

if TYPE_CHECKING:
    from app.vision.classifier import Classifier
    from app.vision.serving.runtimes import StagedFeatureExtractor

Result = TypeVar("Result")
Form = Literal["numbers", "array"] | Encoding
_MOST_AT_ONCE: Final = 32
_SMALL: Final = 4_000_000
"""Pixels of a photo that is kept while its work waits for its turns."""
_DECODING: Final = Semaphore()
_MOMENT_S: Final = 0.002
_FIRST: Final = Channels("top", 16)
_FIRST_OF_EACH: Final = Channels("top", 8)


@dataclass
class Watch:
    """Milliseconds by what they were spent on; the time between `lap` and `go_on` is not counted."""

    ms: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _since: float = field(default_factory=time.perf_counter)

    def go_on(self) -> None:
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
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

    @property
    def seen(self) -> Region:
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
    """`body` is the picture or the array, None for numbers."""

    upload: Upload
    target: Scored
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
    """`layer` is Grad-CAM's; `focus` is None if nothing in the picture speaks for the class."""

    upload: Upload
    target: Scored
    method: Method
    layer: Layer | None
    evidence: Evidence
    focus: Focus | None
    body: bytes | None
    watch: Watch


def layers_of(classifier: "Classifier", name: str | None) -> tuple[Layer, ...]:
    """The layer of this name, or those that end the stages. Raises `UnknownLayerError`."""
    names = (name,) if name else classifier.backbone.card.stages
    return tuple(find_layer(classifier.backbone, one)[1] for one in names)


def look_at_layers(
    classifier: "Classifier",
    forward: "StagedFeatureExtractor",
    data: bytes,
    limits: ImageLimits,
    wanted: FeatureMapRequest,
) -> Steps[Maps]:
    """Feature maps of the picture in an upload. Raises what `Picture.read` raises, and `UnencodableError`."""
    watch = Watch()
    upload, photo, canvas = _read(classifier, data, limits, watch)
    exact = wanted.form in {"numbers", "array"}
    names = [layer.name for layer in wanted.layers]
    # A sheet of all stages is quicker in one pass: their tails overlap.
    insight = look_into(classifier, canvas, names, wanted.target, forward=None if exact else forward)
    channels = wanted.channels or (_FIRST if len(names) == 1 else _FIRST_OF_EACH)
    layers = [FeatureMaps.of(insight, find_layer(classifier.backbone, name), channels) for name in names]
    target = Scored(classifier.labels[insight.target], insight.score)
    watch.lap("inference")
    yield Pause()
    watch.go_on()
    body: bytes | None = None
    if wanted.form == "array":
        body = _array(layers[-1], wanted.channels)
    elif wanted.form != "numbers" and wanted.overlay:

        def draw(whole: Image.Image) -> Image.Image:
            return _channel_over(whole, upload, layers[-1], classifier.card.name, wanted)

        body = yield from _drawn_over(photo or data, limits, draw, wanted.form, watch)
    elif wanted.form != "numbers":
        titles = _titles(classifier.card.name, target, channels, wanted.look.language)
        body = encoded(draw_sheet(canvas, titles, layers, wanted.look), wanted.form, is_drawn=True)
    watch.lap("drawing")
    return Maps(upload, target, layers, body, watch)


def explain(
    classifier: "Classifier",
    forward: "StagedFeatureExtractor",
    data: bytes,
    limits: ImageLimits,
    wanted: ExplanationRequest,
) -> Steps[Explanation]:
    """Where in an uploaded picture the evidence for a class lies. Raises as `look_at_layers`."""
    watch = Watch()
    upload, photo, canvas = _read(classifier, data, limits, watch)
    layer = None
    if wanted.method == "grad_cam":
        layer = wanted.layer or layers_of(classifier, None)[-1]
        insight = look_into(classifier, canvas, [layer.name], wanted.target, forward=forward)
        target, evidence = Scored(classifier.labels[insight.target], insight.score), grad_cam(insight, layer.name)
    else:
        target = _target(classifier, forward, canvas, wanted.target)
        pixels, index = to_pixels(canvas[None], torch.device("cpu")), target.label.index
        algorithm = (
            occlusion(classifier, pixels, index, batch=max(4, min(forward.best_batch, _MOST_AT_ONCE)))
            if wanted.method == "occlusion"
            else integrated_gradients(classifier, pixels, index)
        )
        evidence = yield from _in_pieces(algorithm, forward, watch)
    watch.lap("inference")
    yield Pause()
    watch.go_on()
    body: bytes | None = None
    if wanted.form != "numbers":

        def draw(whole: Image.Image) -> Image.Image:
            return _heat_drawn(whole, upload, evidence, target, classifier.card.name, wanted)

        body = yield from _drawn_over(photo or data, limits, draw, wanted.form, watch)
    watch.lap("drawing")
    focus = focus_of(evidence.heat_map, upload.seen)
    return Explanation(upload, target, wanted.method, layer, evidence, focus, body, watch)


def _read(
    classifier: "Classifier", data: bytes, limits: ImageLimits, watch: Watch
) -> tuple[Upload, Image.Image | None, Canvas]:
    """And the photo at its full size, if it was decoded so and is small enough to be kept for as long as the work."""
    preprocessing = classifier.backbone.preprocessing
    picture = Picture.read(data, limits, preprocessing=preprocessing)
    canvas = picture.canvas(preprocessing)
    size = picture.width, picture.height
    upload = Upload(sha256(data).hexdigest(), picture.format, *size, preprocessing.box(*size))
    watch.lap("decode")
    keeps = picture.image.size == size and picture.width * picture.height <= _SMALL
    return upload, picture.image if keeps else None, canvas


def _drawn_over(
    photo: Image.Image | bytes,
    limits: ImageLimits,
    draw: Callable[[Image.Image], Image.Image],
    form: Encoding,
    watch: Watch,
) -> Steps[bytes]:
    """The photo, or the one in a file, drawn over at its full size and encoded: either takes a second if it is large.

    Of those that must be decoded for it, which take a hundred megabytes each, there is one at a time.
    """
    if isinstance(photo, Image.Image):
        return (yield from _drawn(photo, draw, form, watch))
    while not _DECODING.acquire(blocking=False):
        time.sleep(_MOMENT_S)
        yield Pause()
    try:
        return (yield from _drawn(Picture.read(photo, limits).image, draw, form, watch))
    finally:
        _DECODING.release()


def _drawn(
    photo: Image.Image, draw: Callable[[Image.Image], Image.Image], form: Encoding, watch: Watch
) -> Steps[bytes]:
    image = draw(photo)
    watch.lap("drawing")
    yield Pause()
    watch.go_on()
    return encoded(image, form)


def _target(classifier: "Classifier", forward: "StagedFeatureExtractor", canvas: Canvas, index: int | None) -> Scored:
    with torch.inference_mode():
        probabilities = classifier.head(forward(canvas[None])).softmax(1)[0].cpu()
    chosen = int(probabilities.argmax()) if index is None else index
    return Scored(classifier.labels[chosen], float(probabilities[chosen]))


def _in_pieces(algorithm: Algorithm[Result], forward: "StagedFeatureExtractor", watch: Watch) -> Steps[Result]:
    """An ask at a time, those without a gradient by the quickest forward path."""
    try:
        asked = next(algorithm)
        while True:
            watch.lap("inference")
            yield Pause()
            watch.go_on()
            asked = algorithm.send(_answered(asked, forward))
    except StopIteration as end:
        result: Result = end.value
        return result


def _answered(ask: Ask, forward: "StagedFeatureExtractor") -> Answer:
    if ask.objective is None:
        with torch.inference_mode():
            return Answer(ask.classifier.head(forward(to_levels(ask.canvas))).cpu())
    (found,) = answer([ask])
    if isinstance(found, Exception):
        raise found
    return found


def _array(maps: FeatureMaps, channels: Channels | None) -> bytes:
    """As `numpy.save` writes it: float32 `(C, H, W)`."""
    file = BytesIO()
    values = maps.activations if channels is None else maps.activations[maps.channels]
    np.save(file, np.ascontiguousarray(values.numpy()))
    return file.getvalue()


def _titles(model: str, target: Scored, channels: Channels, language: str) -> tuple[str, str, str]:
    shown, score = target.label.display_in(language), percent(target.score, language)
    order = caption(channels.order or "index", language)
    return caption("sheet", language, model=model), caption("class", language, label=shown, score=score), order


def _channel_over(
    photo: Image.Image, upload: Upload, maps: FeatureMaps, model: str, wanted: FeatureMapRequest
) -> Image.Image:
    """The first of the channels laid over the photo, each neuron a square."""
    look, channel = wanted.look, maps.channels[0]
    low, high = maps.range_of(channel if look.normalize == "channel" else None)
    heat = brightness(maps.activations[channel], low, high)
    image = draw_overlay(photo, heat, upload.box, OverlayStyle(look.colormap, wanted.opacity, smooth=False))
    if not wanted.caption:
        return image
    titles = f"{model}, {maps.layer.name}", caption("channel", look.language, channel=channel)
    scale = caption("activation", look.language), number(low, look.language), number(high, look.language)
    return with_caption(image, titles, look.colormap, scale)


def _heat_drawn(
    photo: Image.Image, upload: Upload, evidence: Evidence, target: Scored, model: str, wanted: ExplanationRequest
) -> Image.Image:
    language, style = wanted.language, wanted.style
    if wanted.bare:
        image = draw_heat_map(photo.size, evidence.heat_map, upload.box, style)
    else:
        image = draw_overlay(photo, evidence.heat_map, upload.box, style)
    if not wanted.caption:
        return image
    shown, score = target.label.display_in(language), percent(target.score, language)
    titles = f"{caption(wanted.method, language)}, {model}", caption("where", language, label=shown, score=score)
    return with_caption(image, titles, style.colormap, caption_of_scale(language))
