"""Kinds of things above ImageNet's classes, as WordNet has them: a tabby is a cat, a carnivore and an animal.

The table is `taxonomy.json`; WordNet's licence is beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from app.vision.words import forms, normalized, words_of

_TABLE: Final = Path(__file__).with_name("taxonomy.json")


@dataclass(frozen=True)
class Parent:
    """A kind of things, by its names in each language, and the indices of ImageNet's classes that belong to it.

    The most typical come first.
    """

    synset: str
    names: Mapping[str, tuple[str, ...]]
    classes: tuple[int, ...]


@cache
def parents() -> tuple[Parent, ...]:
    """All kinds of the table."""
    table = json.loads(_TABLE.read_text(encoding="utf-8"))["parents"]
    return tuple(
        Parent(one["synset"], {language: tuple(names) for language, names in one["names"].items()}, (*one["classes"],))
        for one in table
    )


def parent_called(name: str) -> Parent | None:
    """The kind of this name in English or Turkish, also of `cats` and `köpeği`; None if there is none."""
    by_name, by_form = _index()
    exact = by_name.get(normalized(name))
    if exact or not (words := words_of(name)):
        return exact
    *first, last = words
    inflected = (
        by_form.get((*map(normalized, first), form)) for language in ("en", "tr") for form in forms(last, language)
    )
    return next(filter(None, inflected), None)


def children_of(name: str) -> tuple[int, ...]:
    """ImageNet's classes of the kind of this name, the most typical first; none if no kind is called so."""
    parent = parent_called(name)
    return parent.classes if parent else ()


@cache
def _index() -> tuple[Mapping[str, Parent], Mapping[tuple[str, ...], Parent]]:
    """By normalized names, and by their words, of which the last may have any of its forms."""
    by_name: dict[str, Parent] = {}
    by_form: dict[tuple[str, ...], Parent] = {}
    for parent in parents():
        for language, names in parent.names.items():
            for name in names:
                by_name.setdefault(normalized(name), parent)
                *first, last = words_of(name)
                # A Turkish stem is not always the word: those of `araba` and of `Arap` are the same.
                for form in forms(last, language) if language == "en" else (normalized(last),):
                    by_form.setdefault((*map(normalized, first), form), parent)
    return by_name, by_form
