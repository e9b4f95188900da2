"""The words of the report, English and Turkish."""

from collections.abc import Mapping
from typing import Final

Pair = tuple[str, str]

WORDS: Final[Mapping[str, Pair]] = {
    "title": ("how good it is", "ne kadar iyi"),
    "heading": ("How good is {model}?", "{model} ne kadar iyi?"),
    "lead": (
        (
            "It named {right} of {n} pictures right: <b>{accuracy}</b>. For further pictures like these the share lies "
            "between {low} and {high}, 95 % surely."
        ),
        (
            "{n} görüntünün {right} tanesini doğru adlandırdı: <b>{accuracy}</b>. Benzer yeni görüntülerde bu oran %95 "
            "güvenle {low} ile {high} arasındadır."
        ),
    ),
    "balanced": (
        "Each class counting the same, it is {balanced}.",
        "Her sınıf eşit sayıldığında oran {balanced} olur.",
    ),
    "nothing": (
        "No picture counts; the table has what the model says of each.",
        "Hesaba katılan görüntü yok; modelin her biri için yanıtı tablodadır.",
    ),
    "remarks": ("What to bear in mind", "Dikkat edilecekler"),
    "understood": ("How the folders were understood", "Klasörler nasıl anlaşıldı"),
    "folder": ("folder", "klasör"),
    "because": ("because", "neden"),
    "counts_as": ("these classes count as right", "doğru sayılan sınıflar"),
    "per_class": ("Class by class", "Sınıf sınıf"),
    "pictures": ("pictures", "görüntü"),
    "recall": ("recognised", "tanınan (duyarlılık)"),
    "precision": ("right when named", "adlandırınca doğru (kesinlik)"),
    "f1": ("F1", "F1"),
    "confusion": ("What is taken for what", "Ne ne sanılıyor"),
    "confusion_note": (
        "A row is what the pictures show, a column what they were taken for.",
        "Satır görüntünün gerçekte ne olduğunu, sütun modelin ne sandığını gösterir.",
    ),
    "other": ("something else", "başka bir şey"),
    "taken_for": ("taken for", "ne sanıldı"),
    "calibration": ("Is it as sure as it should be?", "Güveni yerinde mi?"),
    "calibration_note": (
        (
            "On average its score is {ece} away from how often it is right (expected calibration error); Brier score "
            "{brier} (0 is best, 2 worst)."
        ),
        (
            "Verdiği puan, haklı çıkma sıklığından ortalama {ece} sapıyor (beklenen kalibrasyon hatası); Brier puanı "
            "{brier} (0 en iyi, 2 en kötü)."
        ),
    ),
    "diagram": (
        (
            "Across: how sure it was, in %. Upwards: how often it was right. On the dashed line it is honest, below it "
            "too sure. Larger dots stand for more pictures."
        ),
        (
            "Yatay eksen: ne kadar emindi (%). Dikey eksen: ne sıklıkla haklıydı (%). Kesikli çizgide güven "
            "yerindedir, "
            "çizginin altında model fazla emindir. Büyük noktalar daha çok görüntü demektir."
        ),
    ),
    "unknown": ("Does it know what it does not know?", "Bilmediğini biliyor mu?"),
    "found": (
        "Of {n} pictures of none of the classes it called {share} unknown (AUROC {auroc}).",
        "Hiçbir sınıfa ait olmayan {n} görüntünün {share} kadarına bilinmiyor dedi (AUROC {auroc}).",
    ),
    "false_alarms": (
        "Of the pictures of its classes it called {share} unknown, falsely.",
        "Kendi sınıflarının görüntülerinin {share} kadarına yanlışlıkla bilinmiyor dedi.",
    ),
    "comparison": ("Against another model", "Başka bir modelle karşılaştırma"),
    "right_by": ("{model} right", "{model} doğru"),
    "wrong_by": ("{model} wrong", "{model} yanlış"),
    "chance": (
        (
            "Such a difference is likely by chance (McNemar’s test, p = {p}): these pictures do not tell which "
            "one is better."
        ),
        (
            "Bu fark şans eseri de olabilir (McNemar sınaması, p = {p}): bu görüntüler hangisinin daha iyi olduğunu "
            "söylemiyor."
        ),
    ),
    "no_chance": (
        "Such a difference is hardly chance (McNemar’s test, p = {p}).",
        "Bu farkın şans eseri olması pek olası değil (McNemar sınaması, p = {p}).",
    ),
    "corruptions": ("When the pictures are changed", "Görüntüler değiştirilince"),
    "change": ("change, from mild to strong", "değişiklik, hafiften güçlüye"),
    "corruptions_note": (
        "The accuracy on {n} of the pictures, which unchanged is {accuracy}.",
        "Görüntülerin {n} tanesinde doğruluk; değiştirilmemiş hâlde {accuracy}.",
    ),
    "mistakes": ("The surest mistakes", "En emin olduğu yanlışlar"),
    "mistakes_note": (
        (
            "The picture as the network sees it; where the evidence for its answer lies; where the evidence for "
            "the right "
            "one lies (Grad-CAM)."
        ),
        "Ağın gördüğü görüntü; verdiği yanıtın dayandığı yerler; doğru yanıt için kanıtın bulunduğu yerler (Grad-CAM).",
    ),
    "mistake": ("taken for {label} ({score})", "{label} sanıldı ({score})"),
    "method": (
        (
            "A picture is right when the first class of the answer is one of those that count for its folder. "
            "Intervals "
            "are Wilson’s. Pictures that the model learned from are left out as far as it is known which they were."
        ),
        (
            "Yanıttaki ilk sınıf, klasör için doğru sayılan sınıflardan biriyse görüntü doğru sayılır. Aralıklar "
            "Wilson "
            "aralığıdır. Modelin öğrendiği görüntüler, bilindiği ölçüde, hesaba katılmaz."
        ),
    ),
}
HOW: Final[Mapping[str, Pair]] = {
    "told": ("you said so", "siz belirttiniz"),
    "class": ("a class is called so", "bu adda bir sınıf var"),
    "form": ("a class is called nearly so", "bir sınıfın adının çekimli biçimi"),
    "kind": ("it is a kind of things (WordNet)", "bir tür adı (WordNet)"),
}
CHANGE_NAMES: Final[Mapping[str, Pair]] = {
    "noise": ("noise", "gürültü"),
    "gaussian_blur": ("blur", "bulanıklık"),
    "motion_blur": ("motion blur", "hareket bulanıklığı"),
    "pixelate": ("large pixels", "iri pikseller"),
    "jpeg": ("JPEG", "JPEG"),
    "brightness": ("brightness", "parlaklık"),
    "contrast": ("less contrast", "düşük kontrast"),
    "saturation": ("saturation", "doygunluk"),
    "grayscale": ("less colour", "soluk renk"),
    "rotation": ("rotation", "döndürme"),
    "scale": ("enlarged", "büyütme"),
    "shift": ("shifted", "kaydırma"),
    "flip": ("flipped and turned", "aynalama ve çevirme"),
    "occlusion": ("partly covered", "kısmen örtme"),
}
