"""What classes may be called: the one set of rules for archives, corrections and `labels.json`."""

import unicodedata
from collections.abc import Iterator
from typing import Final

_JOINERS: Final = "\u200c\u200d"  # Persian, Hindi and families of emoji need them
_SPACES: Final = "\xa0\u3000"
ClassNames = tuple[str, dict[str, str], tuple[str | int, ...]]
"""Label, names by language, labels or indices of ImageNet."""


def is_class_name(text: str) -> bool:
    """Whether a class may be called so, wherever the name comes from: 1 to 100 characters that can be shown."""
    return 1 <= len(text) <= 100 and presentable(text) == text


def read_class_names(content: object) -> Iterator[ClassNames]:
    """From `{"cat": {"en": "cat", "imagenet": [281]}}`, or a model's `labels.json`. Raises `ValueError`."""
    if isinstance(content, dict):
        content = [_as_record(label, names) for label, names in content.items()]
    if not isinstance(content, list):
        raise ValueError("It is neither an object nor a list.")
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict) or not isinstance(label := record.get("label"), str):
            raise ValueError(f"Class {number} has no label.")
        label = presentable(unicodedata.normalize("NFC", label)).strip()
        display, imagenet = record.get("display", {}), record.get("imagenet", [])
        if not isinstance(display, dict) or not all(isinstance(text, str) for text in display.values()):
            raise ValueError(f"The names of {label} are not texts by language.")
        if not isinstance(imagenet, list) or not all(type(part) in (str, int) for part in imagenet):
            raise ValueError(f"`imagenet` of {label} is not a list of labels or indices.")
        display = {presentable(language): presentable(text) for language, text in display.items()}
        yield label, display, tuple(presentable(part) if isinstance(part, str) else part for part in imagenet)


def _as_record(label: str, names: object) -> dict[str, object]:
    if not isinstance(names, dict):
        return {"label": label, "display": names}
    display = {language: text for language, text in names.items() if language != "imagenet"}
    return {"label": label, "display": display, "imagenet": names.get("imagenet", [])}


def presentable(text: str) -> str:
    """Without what moves a terminal's cursor, turns the direction of writing or is no Unicode."""
    return "".join(one if one.isprintable() or one in _JOINERS + _SPACES else "\ufffd" for one in text)
