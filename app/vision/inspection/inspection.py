"""Looking inside: the steps from an upload to feature maps or an explanation, in pieces of some 50 ms."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

import torch
from PIL import Image

from app.vision.ask import Algorithm, Answer, Ask, Pause, Steps, answer
from app.vision.drawing.sheet import draw_sheet
from app.vision.encoding import as_npy, encoded
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.inspection.activations import look_into
from app.vision.inspection.explanations import grad_cam, integrated_gradients, occlusion
from app.vision.inspection.feature_maps import Channels, FeatureMaps
from app.vision.inspection.focus import focus_of
from app.vision.inspection.illustration import channel_over, drawn_over, heat_drawn, titles_of
from app.vision.inspection.requests import Explanation, ExplanationRequest, FeatureMapRequest, Maps, Upload, Watch
from app.vision.labels import Scored
from app.vision.networks.layers import Layer, find_layer
from app.vision.pixels import to_levels, to_pixels

if TYPE_CHECKING:
    from app.vision.classifier import Classifier
    from app.vision.serving.runtimes import StagedFeatureExtractor

Result = TypeVar("Result")
_MOST_AT_ONCE: Final = 32
_SMALL: Final = 4_000_000
"""Pixels of a photo that is kept while its work waits for its turns."""
_FIRST: Final = Channels("top", 16)
_FIRST_OF_EACH: Final = Channels("top", 8)


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
            return channel_over(whole, upload, layers[-1], classifier.card.name, wanted)

        body = yield from drawn_over(photo or data, limits, draw, wanted.form, watch)
    elif wanted.form != "numbers":
        titles = titles_of(classifier.card.name, target, insight.unknown, channels, wanted.look.language)
        body = encoded(draw_sheet(canvas, titles, layers, wanted.look), wanted.form, is_drawn=True)
    watch.lap("drawing")
    return Maps(upload, target, insight.unknown, layers, body, watch)


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
        target, unknown = Scored(classifier.labels[insight.target], insight.score), insight.unknown
        evidence = grad_cam(insight, layer.name)
    else:
        target, unknown = _target(classifier, forward, canvas, wanted.target)
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
    focus = focus_of(evidence.heat_map, upload.seen)
    found = Explanation(upload, target, unknown, wanted.method, layer, evidence, focus, None, watch)
    if wanted.form != "numbers":

        def draw(whole: Image.Image) -> Image.Image:
            return heat_drawn(whole, found, classifier.card.name, wanted)

        found = replace(found, body=(yield from drawn_over(photo or data, limits, draw, wanted.form, watch)))
    watch.lap("drawing")
    return found


def _read(
    classifier: "Classifier", data: bytes, limits: ImageLimits, watch: Watch
) -> tuple[Upload, Image.Image | None, Canvas]:
    """And the photo at its full size, if it was decoded so and is small enough to be kept for as long as the work."""
    preprocessing = classifier.backbone.preprocessing
    picture = Picture.read(data, limits, preprocessing=preprocessing)
    canvas = picture.canvas(preprocessing)
    upload = Upload.of(data, picture, preprocessing)
    watch.lap("decode")
    image = picture.image if picture.width * picture.height <= _SMALL else None
    return upload, image if image and image.size == (picture.width, picture.height) else None, canvas


def _target(
    classifier: "Classifier", forward: "StagedFeatureExtractor", canvas: Canvas, index: int | None
) -> tuple[Scored, float | None]:
    """The class that is asked about, and how surely the picture is of none of the classes."""
    with torch.inference_mode():
        features = forward(canvas[None])
        probabilities = classifier.head(features).softmax(1)[0].cpu()
        (unknown,) = classifier.unknown(features)
    chosen = int(probabilities.argmax()) if index is None else index
    return Scored(classifier.labels[chosen], float(probabilities[chosen])), unknown


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
            features = forward(to_levels(ask.canvas))
            return Answer(ask.classifier.head(features).cpu(), features.cpu())
    (found,) = answer([ask])
    if isinstance(found, Exception):
        raise found
    return found


def _array(maps: FeatureMaps, channels: Channels | None) -> bytes:
    """As `numpy.save` writes it: float32 `(C, H, W)`."""
    return as_npy(maps.activations if channels is None else maps.activations[maps.channels])
