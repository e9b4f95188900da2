"""The words in pictures and of places, in both languages."""

from typing import Final

_CAPTIONS: Final = {
    "en": {
        "sheet": "How {model} sees this picture",
        "class": "asked about: “{label}”, {score}",
        "top": "left the channel, right its contribution to the class; the largest first",
        "strongest": "left the channel, right its contribution to the class; the strongest first",
        "index": "left the channel, right its contribution to the class",
        "layer": "{name}  ·  {channels} channels of {width} × {height}",
        "stage": "stage {stage}",
        "channel_scale": "each tile from its lowest to its highest value",
        "channel": "channel {channel}",
        "grad_cam": "Grad-CAM",
        "integrated_gradients": "Integrated gradients",
        "occlusion": "Occlusion",
        "where": "“{label}”, {score}",
        "activation": "activation",
        "scale": "evidence",
        "none": "none",
        "most": "most",
        "no_evidence": "no evidence for this class in what the network saw",
        "unseen": "hatched: what the network did not see",
        "unknown": "unknown picture ({score})",
        "taken_for": "taken for {label}",
        "sure": "score {score}",
        "evidence_for": "evidence for {label}",
        "how_firm": "“{label}” after {held} of {of} changes",
        "followed": "{model}; the curves are the score of “{label}”, unchanged {score}",
        "red_flips": "each row from mild to strong; framed in red: taken for something else",
        "holds": "always holds",
        "flips_at": "flips at {severity}",
    },
    "tr": {
        "sheet": "{model} bu görüntüyü nasıl görüyor",
        "class": "sorulan sınıf: “{label}”, {score}",
        "top": "solda kanal, sağda sınıfa katkısı; en büyük katkı önce",
        "strongest": "solda kanal, sağda sınıfa katkısı; en güçlüsü önce",
        "index": "solda kanal, sağda sınıfa katkısı",
        "layer": "{name}  ·  {width} × {height} boyutunda {channels} kanal",
        "stage": "{stage}. aşama",
        "channel_scale": "her kare kendi en düşük değerinden en yükseğine",
        "channel": "{channel} numaralı kanal",
        "grad_cam": "Grad-CAM",
        "integrated_gradients": "Tümleşik gradyanlar",
        "occlusion": "Örtme",
        "where": "“{label}”, {score}",
        "activation": "etkinlik",
        "scale": "kanıt",
        "none": "yok",
        "most": "en çok",
        "no_evidence": "ağın gördüğü kısımda bu sınıf için kanıt yok",
        "unseen": "taralı: ağın görmediği kısım",
        "unknown": "bilinmeyen görüntü ({score})",
        "taken_for": "{label} sanıldı",
        "sure": "puan {score}",
        "evidence_for": "{label} için kanıt",
        "how_firm": "{of} değişikliğin {held} tanesinden sonra da “{label}”",
        "followed": "{model}; eğriler “{label}” puanını gösterir, değiştirilmemiş görüntüde {score}",
        "red_flips": "her satır hafiften güçlüye; kırmızı çerçeve: başka bir şey sanıldı",
        "holds": "hep aynı yanıt",
        "flips_at": "{severity}. düzeyde değişir",
    },
}
_PLACES: Final = {
    "en": (
        ("upper left", "top", "upper right"),
        ("left", "centre", "right"),
        ("lower left", "bottom", "lower right"),
    ),
    "tr": (("sol üst", "üst", "sağ üst"), ("sol", "orta", "sağ"), ("sol alt", "alt", "sağ alt")),
}
_NOWHERE: Final = {"en": "nowhere", "tr": "hiçbir yerde"}


def caption(name: str, language: str, /, **parts: object) -> str:
    """The text of this name in "en" or "tr", its parts filled in. Raises `KeyError` for a name that is not there."""
    return _CAPTIONS[language][name].format(**parts)


def place(x: float, y: float, language: str) -> str:
    """A point of the unit square in words, by thirds: "upper left" is (0.1, 0.1)."""
    return _PLACES[language][_third(y)][_third(x)]


def nowhere(language: str) -> str:
    """What stands under a heat map that is empty."""
    return _NOWHERE[language]


def _third(share: float) -> int:
    return min(2, max(0, int(share * 3)))
