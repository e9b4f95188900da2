"""The classes of a model: a stable English key for programs, a display name in each language for people."""

import difflib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_JOINERS: Final = "\u200c\u200d"  # Persian, Hindi and families of emoji need them
_SPACES: Final = "\xa0\u3000"


def is_class_name(text: str) -> bool:
    """Whether a class may be called so, wherever the name comes from: 1 to 100 characters that can be shown.

    In the composed form (NFC), without spaces around, and not of such alone as nobody sees.
    """
    plain = unicodedata.normalize("NFC", presentable(text)).strip()
    return plain == text and len(text) <= 100 and bool(text.strip(_JOINERS + _SPACES))


def presentable(text: str) -> str:
    """Without what moves a terminal's cursor, turns the direction of writing or is no Unicode."""
    return "".join(one if one.isprintable() or one in _JOINERS + _SPACES else "\ufffd" for one in text)


class UnknownLabelError(LookupError):
    """No class of this model has that label or index; `suggestions` holds the nearest labels."""

    def __init__(self, message: str, suggestions: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.suggestions = tuple(suggestions)


@dataclass(frozen=True)
class Label:
    index: int
    label: str
    display: Mapping[str, str] = field(default_factory=dict)
    imagenet: tuple[str | int, ...] = ()
    """The classes of ImageNet that it is made of, if somebody wrote them down."""

    def display_in(self, language: str) -> str:
        """The name of the class in a language, or else the label itself."""
        return self.display.get(language) or self.display.get("en") or self.label


@dataclass(frozen=True)
class Scored:
    """A class, and its probability."""

    label: Label
    score: float


class Labels:
    """The classes in the order of the logits."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._labels = tuple(labels)
        self._by_key = {label.label: label for label in labels}
        self._by_folded: dict[str, Label] = {}
        for label in labels:
            for name in (label.label, *label.display.values()):
                self._by_folded.setdefault(normalized(name), label)

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, object]]) -> "Labels":
        """From `[{"label": "tabby", "display": {"en": "tabby cat", "tr": "tekir kedi"}}, …]`; raises `ValueError`."""
        labels = []
        for index, record in enumerate(records):
            key, display = record.get("label"), record.get("display", {})
            if not isinstance(key, str) or not isinstance(display, Mapping):
                raise ValueError(f"Label {index} is not a {{label, display}} pair.")
            imagenet = record.get("imagenet", [])
            if not isinstance(imagenet, list):
                raise ValueError(f"`imagenet` of label {index} is no list.")
            texts = {str(language): str(text) for language, text in display.items()}
            if odd := [text for text in (key, *texts.values()) if not is_class_name(text)]:
                raise ValueError(f"No class can be called {odd[0]!r}.")
            labels.append(Label(index, key, texts, tuple(imagenet)))
        if len({label.label for label in labels}) < len(labels):
            raise ValueError("Two classes have the same label.")
        return cls(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels)

    def __getitem__(self, index: int) -> Label:
        return self._labels[index]

    def find(self, name: str) -> Label:
        """The class with this key, index, or display name in any language; raises `UnknownLabelError`."""
        if name in self._by_key:
            return self._by_key[name]
        if name.isascii() and name.isdigit():
            if int(name) < len(self):
                return self[int(name)]
            raise UnknownLabelError(f"There is no class {name}; the classes are 0 to {len(self) - 1}.")
        if (plain := normalized(name)) in self._by_folded:
            return self._by_folded[plain]
        near = difflib.get_close_matches(plain, self._by_folded, n=8, cutoff=0.5)
        keys = list(dict.fromkeys(self._by_folded[match].label for match in near))[:5]
        raise UnknownLabelError(f"This model has no label {name!r}.", keys)

    def search(self, query: str, language: str) -> list[Label]:
        """Classes whose key or display name (in any language) contains the query; whole words and beginnings first."""
        wanted = normalized(query)
        ranked = []
        for label in self._labels:
            names = [normalized(name) for name in (label.display_in(language), label.label, *label.display.values())]
            rank = min(_rank(wanted, name) for name in names)
            if rank < _NO_MATCH:
                ranked.append((rank, label.index))
        return [self._labels[index] for _, index in sorted(ranked)]


_NO_MATCH = 4


def _rank(wanted: str, name: str) -> int:
    if name == wanted:
        return 0
    if wanted in name.split():
        return 1
    if name.startswith(wanted):
        return 2
    return 3 if wanted in name else _NO_MATCH


def normalized(text: str) -> str:
    """For comparing what people type: no case, no accents, the four Turkish i's as one (`KEDİ` finds `kedi`)."""
    plain = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("İ", "i"))
    return "".join(letter for letter in plain.casefold() if not unicodedata.combining(letter)).strip()
