"""The models that exist for whoever asks: those that ship or are for everybody, and their own."""

import asyncio
from pathlib import Path

from app.api.errors import ProtectedModelError
from app.vision.classifier import Classifier, ModelCard
from app.vision.labels import Labels
from app.vision.models.model_folder import EXAMPLES, ModelExistsError
from app.vision.models.repository import ModelRepository, UnknownModelError
from app.vision.serving.predictor import Predictor


class OwnModels:
    """As `ModelRepository`, but other keys' models are unknown. Without an `owner`, as for an admin, none are."""

    def __init__(self, whole: ModelRepository, owner: str | None) -> None:
        self._whole, self._owner = whole, owner
        self.weights_dir = whole.weights_dir

    def has(self, card: ModelCard) -> bool:
        return self._owner is None or card.owner in {None, self._owner}

    def cards(self) -> list[ModelCard]:
        return [card for card in self._whole.cards() if self.has(card)]

    def card(self, name: str) -> ModelCard:
        try:
            card = self._whole.card(name)
        except UnknownModelError:
            if self._owner is None:
                raise
        else:
            if self.has(card):
                return card
        raise self.unknown(name) from None

    def unknown(self, name: str) -> UnknownModelError:
        """The same for a model that there is not and for somebody else's."""
        return UnknownModelError(name, [card.name for card in self.cards()])

    def labels(self, name: str) -> Labels:
        self.card(name)
        return self._whole.labels(name)

    def file(self, name: str, file: str) -> Path | None:
        self.card(name)
        return self._whole.file(name, file)

    def changed(self, name: str) -> int:
        return self._whole.changed(name)

    def check_name(self, name: str, *, replace: bool) -> None:
        """Raises `ModelExistsError` if a model of this name is there, and not this one's to replace."""
        try:
            card = self._whole.card(name)
        except UnknownModelError:
            return
        if not (card.is_trained and replace and self._is_own(card)):
            raise ModelExistsError(name)

    def check_change(self, name: str) -> None:
        """Raises `UnknownModelError`, or `ProtectedModelError` for one that was taught here, but is for everybody."""
        card = self.card(name)
        if card.is_trained and not self._is_own(card):
            raise ProtectedModelError(name)

    def pictures_of(self, name: str) -> Path | None:
        """The file with the pictures that a model learned from, which nobody but who taught it sees."""
        return self._whole.file(name, EXAMPLES) if self._is_own(self.card(name)) else None

    def _is_own(self, card: ModelCard) -> bool:
        return self._owner is None or card.owner == self._owner

    def delete(self, name: str) -> None:
        """Raises as `check_change`, or `ShippedModelError`."""
        self.check_change(name)
        self._whole.delete(name)


class OwnPredictor:
    """As `Predictor`, for the models that exist for whoever asks."""

    def __init__(self, whole: Predictor, owner: str | None) -> None:
        self._whole, self._owner = whole, owner
        self.repository = OwnModels(whole.repository, owner)
        self.default_model, self.limits, self.device = whole.default_model, whole.limits, whole.device
        self.classify, self.classify_canvases = whole.classify, whole.classify_canvases
        self.run_steps, self.precision = whole.run_steps, whole.precision
        self.choice_of, self.choice_for = whole.choice_of, whole.choice_for

    async def load(self, name: str | None = None) -> Classifier:
        if self._owner is not None:
            model = name or self.default_model
            loaded = self._whole.repository.loaded(model)
            if loaded is None:
                await asyncio.to_thread(self.repository.card, model)
            elif not self.repository.has(loaded.card):
                raise await asyncio.to_thread(self.repository.unknown, model)
        return await self._whole.load(name)
