"""Which folders are parts of a split: `train`, `val`, `test` as people write them, in English and Turkish."""

import re
import unicodedata
from typing import Final

from app.vision.transfer.dataset import Part

_WORDS: Final[dict[Part, set[str]]] = {
    "learning": {"train", "training", "trn", "egitim", "ogrenme", "ogretim", "trainset", "trainingset"},
    "validation": {
        "val", "valid", "validation", "validate", "dev", "dogrulama", "gecerleme", "valset", "validset",
        "validationset",
    },
    "test": {"test", "testing", "tst", "sinama", "deneme", "eval", "evaluation", "holdout", "testset"},
}  # fmt: skip
_PARTS: Final[dict[str, Part]] = {word: part for part, words in _WORDS.items() for word in words}
_BESIDE: Final = {
    "set", "seti", "kumesi", "data", "dataset", "veri", "verisi", "verileri", "images", "image", "pictures", "photos",
    "seg", "split", "resim", "resimler", "resimleri", "goruntu", "goruntuler", "goruntuleri", "icin",
}  # fmt: skip
"""Words that say nothing about which part it is, as in `training_set`, `seg_train`, `eğitim verileri`."""


def part_of(name: str) -> Part | None:
    """Of a folder, or of a cell in a table: `train`, `TEST1`, `validation_set`, `Eğitim`, `SINAMA`; else None."""
    words = [word for word in re.split(r"[\W\d_]+", _folded(name)) if word and word not in _BESIDE]
    return _PARTS.get(words[0]) if len(words) == 1 else None


def _folded(text: str) -> str:
    """Without case, marks and the dots of Turkish: `EĞİTİM` and `eğitim` are `egitim`."""
    decomposed = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("İ", "i"))
    return "".join(letter for letter in decomposed.casefold() if not unicodedata.combining(letter))
