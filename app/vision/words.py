"""Words as people type them, and what they are forms of: `KÖPEĞİ` of `köpek`, `dogs` of `dog`."""

import re
import threading
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snowballstemmer.basestemmer import BaseStemmer

_STEMMERS: Final = {"en": "english", "tr": "turkish"}
_POSSESSIVE: Final = re.compile(r"(?<=[aeıioöuü])s[ıiuü]$")
"""Of `kedisi` the stemmer leaves `kedis`."""


@lru_cache(maxsize=16384)
def normalized(text: str) -> str:
    """For comparing what people type: no case, no accents, the four Turkish i's as one (`KEDİ` finds `kedi`)."""
    plain = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("İ", "i"))
    return "".join(letter for letter in plain.casefold() if not unicodedata.combining(letter)).strip()


@lru_cache(maxsize=16384)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, with their accents."""
    return tuple(re.findall(r"\w+", text.replace("İ", "i").lower()))


@lru_cache(maxsize=16384)
def forms(word: str, language: str) -> frozenset[str]:
    """A word out of `words_of` and what it is a form of in "en" or "tr", all normalized."""
    found = {word, _stemmer(language).stemWord(word)}
    if language == "tr":
        found.add(_POSSESSIVE.sub("", word))
    return frozenset(map(normalized, found))


_of_thread: Final = threading.local()
"""A stemmer keeps the word that it works on: two threads with one of them read each other's."""


def _stemmer(language: str) -> "BaseStemmer":
    from snowballstemmer import stemmer  # loads all its languages, for a tenth of a second

    stemmers: dict[str, BaseStemmer] = _of_thread.__dict__.setdefault("stemmers", {})
    if language not in stemmers:
        stemmers[language] = stemmer(_STEMMERS[language])
    return stemmers[language]
