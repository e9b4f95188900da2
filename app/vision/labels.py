"""The classes of a model: a stable English key for programs, a display name in each language for people."""

import difflib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.vision.taxonomy import children_of
from app.vision.words import forms, normalized, words_of

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
    """The classes in the order of the logits. Of ImageNet's thousand it is known what kinds of things they are."""

    def __init__(self, labels: Sequence[Label], *, is_imagenet: bool = False) -> None:
        self._labels, self.is_imagenet = tuple(labels), is_imagenet
        self._by_key = {label.label: label for label in labels}
        self._by_folded: dict[str, Label] = {}
        for label in labels:
            for name in (label.label, *label.display.values()):
                self._by_folded.setdefault(normalized(name), label)

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, object]], *, is_imagenet: bool = False) -> "Labels":
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
        return cls(labels, is_imagenet=is_imagenet)

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels)

    def __getitem__(self, index: int) -> Label:
        return self._labels[index]

    def get(self, name: str) -> Label | None:
        """The class with this key, index, or display name in any language, if there is one."""
        if name in self._by_key:
            return self._by_key[name]
        if name.isascii() and name.isdigit():
            return self[int(name)] if len(name) < 10 and int(name) < len(self) else None
        return self._by_folded.get(normalized(name))

    def meant_by(self, label: Label) -> set[int]:
        """Indices of what a class of another model is here: the class of the same name, or else all that are of this
        kind (every cat for `cat`); none if there is no such thing.
        """
        names = (label.label, *label.display.values())
        if label.label in self._by_key:
            return {self._by_key[label.label].index}
        same = {self._by_folded[normalized(name)].index for name in names if normalized(name) in self._by_folded}
        return same or set(self._kinds(label.label))

    def find(self, name: str) -> Label:
        """The class with this key, index, or display name in any language.

        Raises `UnknownLabelError` with suggestions, for which all names are looked at: of a thousand classes for a
        tenth of a second and more.
        """
        if label := self.get(name):
            return label
        if name.isascii() and name.isdigit():
            raise UnknownLabelError(f"There is no class {name:.20}; the classes are 0 to {len(self) - 1}.")
        if kinds := self._kinds(name):
            many = "one kind" if len(kinds) == 1 else f"{len(kinds)} kinds"
            raise UnknownLabelError(f"This model has no label {name!r}, but {many} of it.", self._keys(kinds))
        if alike := self._ranked(name, ("en", "tr"), lowest=_BY_FORM):
            raise UnknownLabelError(f"This model has no label {name!r}.", self._keys(alike))
        near = difflib.get_close_matches(normalized(name), self._by_folded, n=8, cutoff=0.5)
        keys = list(dict.fromkeys(self._by_folded[match].label for match in near))[:_SUGGESTED]
        raise UnknownLabelError(f"This model has no label {name!r}.", keys)

    def search(self, query: str, language: str) -> list[Label]:
        """Classes by what people type, in any language: first the one that is called so, then all kinds of what is
        called so (the most typical first), names with these words, with forms of them, and with these letters.
        """
        others = (one for one in ("en", "tr") if one != language)
        return [self._labels[index] for index in self._ranked(query, (language, *others), lowest=_BY_LETTERS)]

    def _ranked(self, query: str, languages: Sequence[str], *, lowest: int) -> list[int]:
        """Indices, best first, of those that match in this way or a better one; by loose forms if nothing else does."""
        kinds = {index: place for place, index in enumerate(self._kinds(query))}
        ranked = []
        for label in self._labels:
            rank = min(_rank(query, label, language) for language in languages)
            if label.index in kinds and rank > _EXACT:
                ranked.append((_KIND, kinds[label.index], label.index))
            elif rank <= lowest:
                ranked.append((rank, 0, label.index))
        strict = [one for one in ranked if one[0] != _BY_FORM]
        return [index for *_, index in sorted(strict or ranked)]

    def _kinds(self, name: str) -> Sequence[int]:
        return children_of(name) if self.is_imagenet else ()

    def _keys(self, indices: Sequence[int]) -> list[str]:
        return [self._labels[index].label for index in indices[:_SUGGESTED]]


_SUGGESTED: Final = 5
_EXACT, _KIND, _BY_WORD, _BY_STEM, _BY_FORM, _BY_BEGINNING, _BY_LETTERS, _NO_MATCH = range(8)


def _rank(query: str, label: Label, language: str) -> int:
    """How the key or a display name of a class matches a query, in terms of one language."""
    wanted = normalized(query)
    names = [label.label] if language == "en" else []
    names += [label.display[language]] if language in label.display else []
    plain = [normalized(name) for name in names]
    if wanted in plain:
        return _EXACT
    if typed := words_of(query):
        found = min((_rank_by_words(typed, words_of(name), language) for name in names), default=_NO_MATCH)
        if found < _NO_MATCH:
            return found
    if any(name.startswith(wanted) for name in plain):
        return _BY_BEGINNING
    return _BY_LETTERS if any(wanted in name for name in plain) else _NO_MATCH


def _rank_by_words(typed: Sequence[str], name: Sequence[str], language: str) -> int:
    whole = {normalized(word) for word in name}
    if all(normalized(word) in whole for word in typed):
        return _BY_WORD
    stems = {form for word in name for form in forms(word, language)}
    if all(normalized(word) in stems for word in typed):
        return _BY_STEM
    return _BY_FORM if all(forms(word, language) & stems for word in typed) else _NO_MATCH
