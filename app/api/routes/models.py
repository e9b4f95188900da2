"""GET /v1/models and what hangs on a model; GET /v1/backbones."""

import asyncio
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api.dependencies import ModelName, Predictor, ServiceSettings, accepts_json, preferred_language
from app.api.problems import responses
from app.api.schemas.classify import (
    BackboneList,
    BackboneOut,
    LabelChoices,
    LabelList,
    LabelOut,
    LanguageChoice,
    LayerList,
    LayerOut,
    ModelList,
    ModelOut,
    PrecisionOut,
)
from app.vision.classifier import ModelCard
from app.vision.networks.backbones import BACKBONES
from app.vision.networks.layers import list_layers

_TABLES = {"confusion", "per_class"}

router = APIRouter(tags=["models"], dependencies=[Depends(accepts_json)], responses=responses("not-acceptable"))


@router.get("/models")
async def list_models(
    request: Request,
    response: Response,
    predictor: Predictor,
    choice: Annotated[LanguageChoice, Query()],
) -> ModelList:
    """All models that can be asked; their tables, a row a class, are left to each one's own card."""
    response.headers["Vary"] = "Accept, Accept-Language"
    cards = await asyncio.to_thread(predictor.repository.cards)
    language = choice.lang or preferred_language(request)
    return ModelList(
        data=[
            ModelOut.of(
                _without_tables(card),
                language,
                precision=_precision(predictor, card),
                is_default=card.name == predictor.default_model,
            )
            for card in cards
        ]
    )


def _precision(predictor: Predictor, card: ModelCard) -> PrecisionOut | None:
    choice = predictor.choice_for(card.name)
    return PrecisionOut.of(predictor.precision, choice) if choice else None


def _without_tables(card: ModelCard) -> ModelCard:
    """A thousand classes have a million numbers in their confusion."""
    return replace(card, metrics={name: found for name, found in card.metrics.items() if name not in _TABLES})


@router.get("/models/{name}", responses=responses("unknown-model"))
async def get_model(
    name: ModelName,
    request: Request,
    response: Response,
    predictor: Predictor,
    choice: Annotated[LanguageChoice, Query()],
) -> ModelOut:
    """The card of a model."""
    response.headers["Vary"] = "Accept, Accept-Language"
    card = await asyncio.to_thread(predictor.repository.card, name)
    return ModelOut.of(
        card,
        choice.lang or preferred_language(request),
        precision=_precision(predictor, card),
        is_default=name == predictor.default_model,
    )


@router.get("/models/{name}/labels", responses=responses("unknown-model"))
async def list_labels(
    name: ModelName,
    request: Request,
    response: Response,
    predictor: Predictor,
    choices: Annotated[LabelChoices, Query()],
) -> LabelList:
    """The classes of a model; with `q` those that are called so, are kinds of it, or have it in their name.

    In any language, and however the word is inflected: `cat` and `kedi` find all cats, the most typical first.
    """
    response.headers["Vary"] = "Accept, Accept-Language"
    labels = await asyncio.to_thread(predictor.repository.labels, name)
    language = choices.lang or preferred_language(request)
    found = await asyncio.to_thread(labels.search, choices.q, language) if choices.q else labels
    return LabelList(data=[LabelOut.of(label, language) for label in found])


@router.get("/models/{name}/layers", responses=responses("unknown-model"))
async def get_layers(name: ModelName, predictor: Predictor) -> LayerList:
    """Every layer with a spatial output, in the order in which the network runs them."""
    classifier = await predictor.load(name)
    layers = await asyncio.to_thread(list_layers, classifier.backbone)
    return LayerList(data=[LayerOut.of(layer) for layer in layers])


@router.get("/backbones")
async def list_backbones(settings: ServiceSettings) -> BackboneList:
    """The pretrained networks that can be transferred from, and whether their weights are here."""
    return BackboneList(data=[BackboneOut.of(card, settings.weights_folder) for card in BACKBONES.values()])
