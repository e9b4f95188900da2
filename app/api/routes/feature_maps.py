"""POST /v1/feature-maps."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import Picture, Predictor, preferred_language
from app.api.errors import ChoiceError
from app.api.negotiation import answered, in_forms, negotiated
from app.api.problems import responses
from app.api.routes.classify import PICTURE_BODY, PICTURE_PROBLEMS
from app.api.schemas.inspect import FeatureMapChoices, LayerMaps, LayerMapsList, LookTiming
from app.vision.classifier import Classifier
from app.vision.drawing.sheet import Look
from app.vision.inspection.feature_maps import Channels, ChannelsError
from app.vision.inspection.inspection import layers_of, look_at_layers
from app.vision.inspection.requests import FeatureMapRequest, Form, Maps
from app.vision.networks.layers import Layer

router = APIRouter(tags=["look inside"])

_FORMS: dict[str, Form] = {"png": "PNG", "webp": "WEBP", "json": "numbers", "npy": "array"}
LOOK_PROBLEMS = ("unknown-model", "unknown-layer", "unknown-label", *PICTURE_PROBLEMS)


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
    request.state.model = classifier.card.name
    target = await target_of(classifier, choices.target)
    layers = await asyncio.to_thread(layers_of, classifier, choices.layer)
    if form == "npy" or (choices.overlay and form != "json"):
        layers = layers[-1:]
    language = choices.lang or preferred_language(request)
    wanted = FeatureMapRequest(
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
    answer = predictor.run_steps(
        classifier, lambda forward: look_at_layers(classifier, forward, picture, limits, wanted)
    )

    def numbers(found: Maps, timing: LookTiming) -> LayerMaps | LayerMapsList:
        each = [LayerMaps.of(found, maps, classifier.card, language, timing) for maps in found.layers]
        return each[0] if choices.layer else LayerMapsList(data=each)

    return await answered(request, form, answer, numbers)


async def target_of(classifier: Classifier, name: str | None) -> int | None:
    """Raises `UnknownLabelError`; what is alike is looked for in a thread."""
    return None if name is None else (await asyncio.to_thread(classifier.labels.find, name)).index


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
