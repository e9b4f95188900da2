"""What the commands say of an answer, in both languages; problems come from the service, in English."""

from collections.abc import Mapping
from typing import Any, Final

from app.vision.drawing.numbers import percent

_WORDS: Final = {
    "en": {
        "picture": "picture",
        "class": "class",
        "score": "score",
        "unknown": "unknown: none of these classes",
        "unknown_picture": "unknown ({score}), nearest {named}",
        "too_unlikely": "nothing reaches --min-score",
    },
    "tr": {
        "picture": "görüntü",
        "class": "sınıf",
        "score": "puan",
        "unknown": "bilinmiyor: bu sınıflardan hiçbiri değil",
        "unknown_picture": "bilinmiyor ({score}), en yakını {named}",
        "too_unlikely": "--min-score değerine ulaşan sınıf yok",
    },
}


def word(name: str, language: str, /, **parts: object) -> str:
    """The text of this name in "en" or "tr", its parts filled in."""
    return _WORDS[language][name].format(**parts)


def taken_for(outcome: Mapping[str, Any], language: str) -> str:
    """A class with its score; of a picture that is unknown that it is, first."""
    named = f"{outcome['label']} ({percent(outcome['score'], language)})"
    unknown = outcome.get("unknown")
    if not unknown or not unknown["is_unknown"]:
        return named
    return word("unknown_picture", language, score=percent(unknown["score"], language), named=named)
