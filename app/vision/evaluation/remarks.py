"""What a person should know of an evaluation, in both languages."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_FEW: Final = 10
_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "skipped": (
        "{number} files were left out, since they cannot be read or are no pictures.",
        "{number} dosya okunamadığı ya da görüntü olmadığı için dışarıda bırakıldı.",
    ),
    "learned": (
        "{number} pictures are (nearly) the same as ones that {model} learned from; they do not count.",
        "{number} görüntü, {model} modelinin öğrendiği görüntülerle (neredeyse) aynı; hesaba katılmadı.",
    ),
    "learned-unknown": (
        "What {model} learned from is not known here: whether it has seen some of these pictures cannot be told.",
        (
            "{model} modelinin hangi görüntülerden öğrendiği burada bilinmiyor: bu görüntüleri daha önce görüp "
            "görmediği "
            "söylenemez."
        ),
    ),
    "copies": (
        "{number} pictures are (nearly) copies of others among these, so that the interval is too narrow.",
        "{number} görüntü buradaki başka görüntülerin (neredeyse) kopyası; bu yüzden aralık olduğundan dar görünür.",
    ),
    "few-pictures": (
        "The folder {folder} has only {number} pictures that count: see the interval, and add some.",
        "{folder} klasöründe hesaba katılan yalnızca {number} görüntü var: aralığa bakın ve görüntü ekleyin.",
    ),
    "parts": (
        "{number} pictures are in folders to learn from; the test pictures alone were asked about.",
        "{number} görüntü öğrenme klasörlerinde; yalnızca test görüntüleri soruldu.",
    ),
    "no-label": (
        "{number} pictures lie in no folder of a class: they are in the table, and in none of the figures.",
        "{number} görüntü hiçbir sınıfın klasöründe değil: tabloda yer alırlar, hesaba katılmazlar.",
    ),
    "no-unknown": (
        "{model} cannot tell what is unknown, so that the {number} pictures of none of the classes say nothing.",
        "{model} bilinmeyeni ayırt edemez; hiçbir sınıfa ait olmayan {number} görüntü bu yüzden bir şey söylemez.",
    ),
}


@dataclass(frozen=True)
class Remark:
    """`kind` is for programs; `parts` fill its text."""

    kind: str
    parts: Mapping[str, object] = field(default_factory=dict)
    pictures: Sequence[str] = ()

    def text(self, language: str) -> str:
        """The sentence, in "en" or "tr"."""
        return _TEXTS[self.kind][language == "tr"].format(**self.parts)


def counted(kind: str, pictures: Sequence[str], **parts: object) -> Iterator[Remark]:
    """The remark about these pictures, if there are any."""
    if pictures:
        yield Remark(kind, {"number": len(pictures), **parts}, tuple(pictures[:100]))


def few_in(folders: Sequence[str], truth: Sequence[int]) -> Iterator[Remark]:
    """Of folders with so few pictures that their figures say little."""
    counts = Counter(truth)
    for index, folder in enumerate(folders):
        if counts[index] < _FEW:
            yield Remark("few-pictures", {"folder": folder, "number": counts[index]})
