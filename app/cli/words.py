"""What the commands say, in both languages; problems come from the service, in English."""

from collections.abc import Mapping
from typing import Any, Final

from app.vision.drawing.numbers import percent

Names = Mapping[str, str]
"""The display names of classes by their labels; a label that has none speaks for itself."""

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    # Titles of tables.
    "picture": ("picture", "görüntü"),
    "pictures": ("pictures", "görüntü"),
    "class": ("class", "sınıf"),
    "score": ("score", "puan"),
    "share": ("share", "pay"),
    "model": ("model", "model"),
    "classes": ("classes", "sınıf sayısı"),
    "right": ("right", "doğru"),
    "backbone": ("backbone", "omurga"),
    "what_it_is": ("what it is", "açıklama"),
    "index": ("index", "sıra"),
    "label": ("label", "etiket"),
    "name": ("name", "ad"),
    "layer": ("layer", "katman"),
    "shape": ("channels × height × width", "kanal × yükseklik × genişlik"),
    "stage": ("stage", "aşama"),
    "job": ("job", "iş"),
    "kind": ("kind", "tür"),
    "state": ("state", "durum"),
    "step": ("step", "adım"),
    "about": ("about", "konu"),
    "recognised": ("recognised", "tanınan"),
    "right_when_named": ("right when\nnamed", "söylenince\ndoğru"),
    "network": ("network", "ağ"),
    "weights": ("weights", "ağırlıklar"),
    "licence": ("licence", "lisans"),
    # Pictures that are classified.
    "looking": ("Looking …", "Bakılıyor …"),
    "unknown": ("unknown: none of these classes", "bilinmiyor: bu sınıflardan hiçbiri değil"),
    "unknown_class": ("unknown", "bilinmiyor"),
    "unknown_picture": ("unknown ({score}), nearest {named}", "bilinmiyor ({score}), en yakını {named}"),
    "unread": ("could not be read", "okunamadı"),
    "too_unlikely": ("nothing reaches --min-score", "--min-score değerine ulaşan sınıf yok"),
    "no_pictures": ("There is no picture in {folder}.", "{folder} klasöründe görüntü yok."),
    "no_pictures_here": (
        "There is no picture in {folder}; --recursive looks into its folders, too.",
        "{folder} klasöründe görüntü yok; --recursive alt klasörlere de bakar.",
    ),
    "right_of": (
        "right: {right} of {judged} ({share}), by the names of their folders",
        "doğru: {judged} görüntüden {right} tanesi ({share}); ölçüt, klasörlerin adları",
    ),
    "not_judged": (
        "{number} more lie in folders that have no class's name, and are not judged.",
        "{number} görüntünün klasörü bir sınıfın adını taşımıyor; bunlar değerlendirilmedi.",
    ),
    "wrote": ("{path}: {number} pictures", "{path}: {number} görüntü"),
    # Jobs.
    "ideal_image": ("ideal image", "ideal görüntü"),
    "adversarial_image": ("adversarial image", "çekişmeli görüntü"),
    "correction": ("correction", "düzeltme"),
    "queued": ("queued", "sırada"),
    "running": ("running", "sürüyor"),
    "succeeded": ("succeeded", "bitti"),
    "failed": ("failed", "başarısız"),
    "canceled": ("canceled", "iptal edildi"),
    "canceled_now": ("Canceled.", "İptal edildi."),
    "ended": ("The job is {state}.", "İşin durumu: {state}."),
    "no_files": (
        "This job left no files; `inkblot export MODEL` fetches what was taught.",
        "Bu işin dosyası yok; öğretilen model `inkblot export MODEL` ile alınır.",
    ),
    "drawing": ("drawing {name}", "çiziliyor: {name}"),
    "fooling": ("fooling with {name}", "kandırılıyor: {name}"),
    "teaching": ("teaching {name}", "öğretiliyor: {name}"),
    # What an evaluation found.
    "no_truth": (
        "{model}: no picture lies in a folder that says what it shows",
        "{model}: hiçbir görüntü, ne gösterdiğini söyleyen bir klasörde değil",
    ),
    "evaluated": (
        "{model}: {accuracy} right (95 % interval {low} to {high}), of {pictures} pictures",
        "{model}: {accuracy} doğru (%95 güven aralığı {low} – {high}), {pictures} görüntü",
    ),
    "counts_as": ("{folder} counts as {classes}", "{folder} klasöründe doğru sayılan: {classes}"),
    "and_more": ("{names} and {number} more", "{names} ve {number} sınıf daha"),
    "off_by": ("its scores are off by {error} on average", "puanları ortalama {error} sapıyor"),
    "unknown_found": (
        "unknown: found {found} of {pictures} pictures of none of the classes",
        "bilinmeyen: hiçbir sınıfa ait olmayan {pictures} görüntünün {found} kadarı bulundu",
    ),
    "false_alarms": ("false alarms {share}", "yanlış alarm {share}"),
    "rival": (
        "{model}: {accuracy} right; right alone: {first} {only_first}, {model} {only_second}; McNemar p = {p}",
        "{model}: {accuracy} doğru; yalnızca biri doğru: {first} {only_first}, {model} {only_second}; McNemar p = {p}",
    ),
    "folder": ("folder", "klasör"),
    "kind_of_change": ("change", "değişiklik"),
    "stands": (
        "{first}: the answer holds after {share} of the changes",
        "{first}: yanıt, değişikliklerin {share} kadarında aynı kalıyor",
    ),
    "place": ("place {position} in the queue, about {seconds} s", "sırada {position}., yaklaşık {seconds} sn"),
    "steps": ("step {step} of {steps}{score}, {seconds} s left", "adım {step} / {steps}{score}, {seconds} sn kaldı"),
    "reached": ("{score} for this network", "bu ağa göre {score}"),
    "channel_at": ("the channel is at {value}", "kanalın değeri {value}"),
    "agrees": ("{model} agrees, {seen}", "{model} aynı görüşte: {seen}"),
    "sees": ("{model} sees {seen}", "{model} bunu görüyor: {seen}"),
    "took_part": ("{model}, which took part,", "{model} (çizime katıldı)"),
    "facet": (
        "{score} for this network, {agreeing} of {judges} others agree, similarity {similarity}",
        "bu ağa göre {score}; aynı görüşte olan diğer ağlar: {agreeing}/{judges}; benzerlik {similarity}",
    ),
    # The lesson's sheet.
    "no_class": ("There is no class, and no kind, called {name}.", "{name} adlı bir sınıf ya da tür yok."),
    "how_raw": ("pixels alone", "yalnızca pikseller"),
    "how_lesson": ("pixels with the variation loss", "varyasyon kayıplı pikseller"),
    "how_fine": ("a spectrum, many views, a prior", "spektrum, çok sayıda kırpma, ön bilgi"),
    "judges": ("{agreeing} of {judges} other networks agree", "aynı görüşte olan diğer ağlar: {agreeing}/{judges}"),
    "stretched": ("contrast stretched for display", "karşıtlık yalnızca gösterim için artırıldı"),
    "drawn_otherwise": (
        "It became “{label}”: try another seed, more steps or the preset clear.",
        "Sonuç “{label}” oldu: başka bir --seed, daha çok --steps ya da --preset clear deneyin.",
    ),
    "channel_not_reached": (
        "The channel is no more active than at the start: try another seed or more steps.",
        "Kanal baştakinden daha etkin değil: başka bir --seed ya da daha çok --steps deneyin.",
    ),
    "not_fooled": (
        "The network is not fooled: allow a larger epsilon or more steps, or choose another target or method.",
        "Ağ kanmadı: daha büyük bir --epsilon, daha çok --steps, başka bir hedef ya da --method deneyin.",
    ),
    "changed": ("changed by at most {linf} (L2 {l2}, SSIM {ssim})", "değişiklik en çok {linf} (L2 {l2}, SSIM {ssim})"),
    "still": ("still fools after: {ways}", "şunlardan sonra da kandırıyor: {ways}"),
    "patch": (
        "{path}: to print; it fools at {fooled} of {places} random places",
        "{path}: yazdırmak için; rastgele {places} yerin {fooled} tanesinde kandırıyor",
    ),
    "no_longer": ("no longer after: {ways}", "şunlardan sonra kandırmıyor: {ways}"),
    "nothing": ("nothing", "hiçbiri"),
    "png": ("png", "PNG"),
    "reupload": ("reupload", "yeniden yükleme"),
    "jpeg_q95": ("jpeg_q95", "JPEG 95"),
    "jpeg_q90": ("jpeg_q90", "JPEG 90"),
    "jpeg_q75": ("jpeg_q75", "JPEG 75"),
    "half_size": ("half_size", "yarı boyut"),
    "messenger": ("messenger", "mesajlaşma uygulaması"),
    "crop": ("crop", "kırpma"),
    "mirror": ("mirror", "ayna görüntüsü"),
    "turn": ("turn", "3° döndürme"),
    "margin": ("margin", "beyaz kenar"),
    "change": ("the change, {times} times as strong", "değişiklik, {times} kat güçlendirilmiş"),
    "channel_of": ("channel {channel} of {layer}", "{layer}, kanal {channel}"),
    "at_most": ("at most {linf}", "en çok {linf}"),
    "hottest": ("hottest: {place}", "en sıcak yer: {place}"),
    "contribution": ("its contribution to the class: {value}", "sınıfa katkısı: {value}"),
    # Models and weights.
    "bundle": ("Making the bundle …", "Paket hazırlanıyor …"),
    "missing_weights": ("missing: inkblot weights get {name}", "yok: inkblot weights get {name}"),
    "has_weights": ("{name} has its weights: {path}", "{name} için ağırlıklar var: {path}"),
    "looked_for": ("They are looked for in {folder}.", "Ağırlıkların arandığı klasör: {folder}"),
    "service": ("{url}: {version}, {model} on {device} by {forward}", "{url}: {version}, {model}, {device}, {forward}"),
    # What a lesson reports.
    "taught": (
        ": {accuracy} right (95 % interval {low} to {high}), judged on {pictures} pictures {by}",
        ": {accuracy} doğru (%95 güven aralığı {low} – {high}), {pictures} görüntüyle ölçüldü {by}",
    ),
    "by_test_set": ("of the test set", "(test kümesi)"),
    "by_others": (
        "by heads that had not seen them ({method})",
        "({method}: her birini onu eğitimde görmemiş bir model değerlendirdi)",
    ),
    "cross-validation": ("cross-validation", "çapraz doğrulama"),
    "hold-out": ("hold-out", "ayrılmış görüntüler"),
    "baseline": ("baseline {baseline} (always the largest class)", "taban çizgisi {baseline} (hep en büyük sınıf)"),
    "zero_shot": ("; without any teaching {share}", "; hiç öğretilmeden {share}"),
    "calibrated": (
        "scores are off by {after} on average (before calibration {before})",
        "puanlar ortalama {after} sapıyor (kalibrasyondan önce {before})",
    ),
    "taken_for": ("{picture} was taken for {label} ({score})", "{picture} şu sanıldı: {label} ({score})"),
    "strangers": (
        "strangers, {group}: {found} found (AUROC {auroc})",
        "yabancı görüntüler, {group}: {found} bulundu (AUROC {auroc})",
    ),
    "seconds": (
        "{features} s looking at pictures, {fit} s learning",
        "görüntülere bakmak {features} sn, öğrenmek {fit} sn sürdü",
    ),
    "attempt": ("validation, L2 {l2:>5}", "doğrulama, L2 {l2:>5}"),
    "epoch": ("{split}, epoch {epoch:>3}", "{split}, devir {epoch:>3}"),
    "training": ("training", "eğitim"),
    "validation": ("validation", "doğrulama"),
    "loss": ("loss {loss}", "kayıp {loss}"),
}
"""English and Turkish."""
_LAYOUTS: Final = {
    "folders": "her sınıf için bir klasör",
    "file-names": "adlarında sınıf ve numara olan görüntüler",
    "table": "görüntülerin yanında bir sınıf tablosu",
    "teachable-machine": "Teachable Machine projesi",
}
_WARNINGS: Final = {
    "duplicates": "Sınıfındaki başka bir görüntünün neredeyse aynısı olanlar: {n}. Birlikte değerlendirilir.",
    "same-picture-in-two-classes": "Farklı sınıflarda neredeyse aynı olanlar: {n}. Etiketlerden biri yanlış olabilir.",
    "imbalance": "Bir sınıfta ötekinden çok daha fazla görüntü var; kuşkuda kalınca büyük sınıf seçilir.",
    "few-pictures": "Görüntü az: aralığa dikkat edin ve görüntü ekleyin.",
    "skipped": "Görüntü olarak okunamadığı için dışarıda bırakılan dosyalar: {n}.",
    "test-pictures-learned": "Neredeyse aynısı öğrenilmiş test görüntüleri: {n}. Doğruluk olduğundan yüksek çıkar.",
}


def word(name: str, language: str, /, **parts: object) -> str:
    """The text of this name in "en" or "tr", its parts filled in; a name without one, as a newer service may have it,
    speaks for itself.
    """
    english, turkish = _WORDS.get(name, (name.replace("_", " "),) * 2)
    return (turkish if language == "tr" else english).format(**parts)


def taken_for(outcome: Mapping[str, Any], language: str, names: Names | None = None) -> str:
    """A class with its score; of a picture that is unknown that it is, first."""
    label = outcome["label"]
    named = f"{(names or {}).get(label, label)} ({percent(outcome['score'], language)})"
    unknown = outcome.get("unknown")
    if not unknown or not unknown["is_unknown"]:
        return named
    return word("unknown_picture", language, score=percent(unknown["score"], language), named=named)


def layout_read(layout: Mapping[str, Any], language: str) -> str:
    """How the pictures of a lesson were read; in English as the service says it, with the classes."""
    if language != "tr" or layout["name"] not in _LAYOUTS:
        return str(layout["detail"])
    parts = layout.get("pictures", {})
    judging = f"; öğrenilen {parts['learning']}, değerlendiren {parts['test']}" if "test" in parts else ""
    return f"Okunan düzen: {_LAYOUTS[layout['name']]}{judging}."


def warned(warning: Mapping[str, Any], language: str) -> str:
    """What is odd about the pictures of a lesson."""
    if language != "tr" or warning["kind"] not in _WARNINGS:
        return str(warning["detail"])
    return _WARNINGS[warning["kind"]].format(n=len(warning["pictures"]))
