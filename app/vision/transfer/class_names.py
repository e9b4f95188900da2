"""What classes may be called: the one set of rules for archives, corrections and `labels.json`."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from app.vision.labels import is_class_name, presentable

_SHOWN: Final = 100
_NUMBERED: Final = re.compile(r"(.*?[^\W\d_].*?)[\s._\-(\[#]*\d+[)\]]*")
_OF_CAMERAS: Final = {
    "burst", "capture", "dcim", "dsc", "dscf", "dscn", "foto", "frame", "gopr", "görsel", "görüntü", "image", "images",
    "img", "imgp", "indir", "photo", "pic", "picture", "pxl", "resim", "screenshot", "whatsapp",
}  # fmt: skip
ClassNames = tuple[str, dict[str, str], tuple[str | int, ...]]
"""Label, names by language, labels or indices of ImageNet."""


class ClassNameError(ValueError):
    """A name that no class can have."""

    def __init__(self, name: str) -> None:
        shown = ascii(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")
        super().__init__(f"No class can be called {shown}: a name has 1 to 100 characters that can be shown.")


def class_name(text: str) -> str:
    """The name in its composed form (NFC) and without spaces around; raises `ClassNameError` if it cannot be one."""
    name = unicodedata.normalize("NFC", text).strip()
    if not is_class_name(name):
        raise ClassNameError(text)
    return name


def read_class_names(content: object) -> Iterator[ClassNames]:
    """From `{"cat": {"en": "cat", "imagenet": [281]}}`, or a model's `labels.json`. Raises `ValueError`."""
    if isinstance(content, dict):
        content = [_as_record(label, names) for label, names in content.items()]
    if not isinstance(content, list):
        raise ValueError("It is neither an object nor a list.")
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict) or not isinstance(label := record.get("label"), str):
            raise ValueError(f"Class {number} has no label.")
        label = class_name(label)
        display, imagenet = record.get("display", {}), record.get("imagenet", [])
        if not isinstance(display, dict) or not all(isinstance(text, str) for text in display.values()):
            raise ValueError(f"The names of {label} are not texts by language.")
        if not isinstance(imagenet, list) or not all(type(part) in (str, int) for part in imagenet):
            raise ValueError(f"`imagenet` of {label} is not a list of labels or indices.")
        display = {presentable(language): class_name(text) for language, text in display.items()}
        yield label, display, tuple(presentable(part) if isinstance(part, str) else part for part in imagenet)


def _as_record(label: str, names: object) -> dict[str, object]:
    if not isinstance(names, dict):
        return {"label": label, "display": names}
    display = {language: text for language, text in names.items() if language != "imagenet"}
    return {"label": label, "display": display, "imagenet": names.get("imagenet", [])}


def class_in_name(stem: str) -> str | None:
    """`cat` of `cat.0`, `pug` of `pug_100`, `dog` of `dog (3)`; None of `12` and of what cameras write (`IMG_1234`)."""
    found = _NUMBERED.fullmatch(stem)
    if found is None or re.split(r"[\W\d_]+", found[1].lower(), maxsplit=1)[0] in _OF_CAMERAS:
        return None
    return found[1].strip()
