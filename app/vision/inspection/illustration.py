"""Feature maps and evidence as pictures: sheets, and drawn over the photo."""

import time
from collections.abc import Callable
from threading import Semaphore
from typing import Final

from PIL import Image

from app.vision.ask import Pause, Steps
from app.vision.drawing.brightness import brightness
from app.vision.drawing.captions import caption
from app.vision.drawing.numbers import number, percent
from app.vision.drawing.overlay import (
    OverlayStyle,
    Scale,
    caption_of_scale,
    draw_heat_map,
    draw_overlay,
    has_unseen,
    with_caption,
)
from app.vision.encoding import Encoding, encoded
from app.vision.feature_space import UNKNOWN
from app.vision.image import ImageLimits, Picture
from app.vision.inspection.feature_maps import Channels, FeatureMaps
from app.vision.inspection.requests import Explanation, ExplanationRequest, FeatureMapRequest, Upload, Watch
from app.vision.labels import Scored

_DECODING: Final = Semaphore()
_MOMENT_S: Final = 0.002


def drawn_over(
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


def titles_of(
    model: str, target: Scored, unknown: float | None, channels: Channels, language: str
) -> tuple[str, str, str]:
    """The lines above a sheet: the model, the class with its probability (before it that the picture is unknown, if it
    is), the order of the channels.
    """
    order = caption(channels.order or "index", language)
    return caption("sheet", language, model=model), _class_line("class", target, unknown, language), order


def _class_line(name: str, target: Scored, unknown: float | None, language: str) -> str:
    line = caption(name, language, label=target.label.display_in(language), score=percent(target.score, language))
    if unknown is None or unknown <= UNKNOWN:
        return line
    return f"{caption('unknown', language, score=percent(unknown, language))}  ·  {line}"


def channel_over(
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
    ends = number(low, look.language), number(high, look.language)
    scale = Scale(look.colormap, caption("activation", look.language), *ends)
    return with_caption(image, titles, scale, _note(upload, look.language))


def heat_drawn(photo: Image.Image, found: Explanation, model: str, wanted: ExplanationRequest) -> Image.Image:
    """The evidence as a picture of the size of the photo, larger by its caption where one is wanted."""
    language, style, box, heat = wanted.language, wanted.style, found.upload.box, found.evidence.heat_map
    image = draw_heat_map(photo.size, heat, box, style) if wanted.bare else draw_overlay(photo, heat, box, style)
    if not wanted.caption:
        return image
    titles = (
        f"{caption(wanted.method, language)}, {model}",
        _class_line("where", found.target, found.unknown, language),
    )
    scale = Scale(style.colormap, *caption_of_scale(language)) if found.focus else caption("no_evidence", language)
    return with_caption(image, titles, scale, _note(found.upload, language))


def _note(upload: Upload, language: str) -> str | None:
    """What the hatching means, where there is some."""
    return caption("unseen", language) if has_unseen(upload.box, (upload.width, upload.height)) else None
