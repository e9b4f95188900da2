"""POST /v1/feature-maps."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.classify import PICTURE_BODY
from app.api.dependencies import Picture, Predictor, milliseconds_since_start, preferred_language
from app.api.look_schemas import FeatureMapChoices, LayerMaps, LayerMapsList, timing_of
from app.api.negotiation import Answer, in_forms, negotiated, while_connected
from app.api.problems import ChoiceError, responses
from app.vision.feature_maps import Channels, ChannelsError
from app.vision.layers import Layer
from app.vision.looking import Form, MapsWish, layers_of, look_at_layers
from app.vision.sheet import Look

router = APIRouter(tags=["look inside"])

_FORMS: dict[str, Form] = {"png": "PNG", "webp": "WEBP", "json": "numbers", "npy": "array"}
LOOK_PROBLEMS = (
    "malformed-request",
    "unknown-model",
    "unknown-layer",
    "unknown-label",
    "not-acceptable",
    "request-timeout",
    "body-too-large",
    "image-too-large",
    "unsupported-image",
    "invalid-image",
    "overloaded",
)


@router.post(
    "/feature-maps",
    response_model=LayerMaps | LayerMapsList,
    openapi_extra=PICTURE_BODY,
    responses=in_forms("png", "webp", "npy") | responses(*LOOK_PROBLEMS),
)
async def make_feature_maps(
    request: Request, predictor: Predictor, choices: Annotated[FeatureMapChoices, Query()], picture: Picture
) -> Response:
    """Show what the layers of a network make of a picture.

    A grid of channels (PNG, the default, or WebP), their numbers (`Accept: application/json`; a list if no layer was
    asked for), or the exact activations (`application/x-npy`: float32 `[C, H, W]`, all channels unless `channels` names
    some; without `layer` those of the last stage).
    """
    form = negotiated(request, choices.format, tuple(_FORMS))
    classifier = await predictor.load(choices.model)
    target = classifier.labels.find(choices.target).index if choices.target is not None else None
    layers = await asyncio.to_thread(layers_of, classifier, choices.layer)
    if form == "npy" or (choices.overlay and form != "json"):
        layers = layers[-1:]
    language = choices.lang or preferred_language(request)
    wish = MapsWish(
        layers=layers,
        channels=_channels(choices.channels, layers),
        target=target,
        look=Look(choices.normalize, choices.colormap, choices.tile, language),
        opacity=choices.opacity,
        overlay=choices.overlay,
        caption=choices.caption,
        form=_FORMS[form],
    )
    limits = predictor.limits
    answer = predictor.follow(classifier, lambda forward: look_at_layers(classifier, forward, picture, limits, wish))
    found = await while_connected(request, answer)
    timing = timing_of(found.watch, milliseconds_since_start(request))
    if found.body is not None:
        return Answer(found.body, form, timing)
    numbers = [LayerMaps.of(found, maps, classifier.card, language, timing) for maps in found.layers]
    body = numbers[0] if choices.layer else LayerMapsList(data=numbers)
    return Answer(body.model_dump_json().encode(), form, timing)


def _channels(text: str | None, layers: tuple[Layer, ...]) -> Channels | None:
    """Raises `ChoiceError` for channels that one of the layers does not have."""
    if text is None:
        return None
    channels = Channels.parse(text)
    for layer in layers:
        try:
            channels.check(layer)
        except ChannelsError as error:
            raise ChoiceError("/query/channels", f"channels: {error}") from None
    return channels
