"""What is kept of those who use the service, where and for how long, as its settings have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.settings import Settings


@dataclass(frozen=True)
class Kept:
    what: str
    where: str
    how_long: str
    who: str


_TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "asked": "Pictures that are classified, explained or looked into",
        "asked.where": "memory alone",
        "asked.long": "until the answer is there",
        "asked.who": "nobody",
        "upload": "What is uploaded for a job (a picture, an archive)",
        "upload.job": "until the job has ended or is deleted",
        "upload.hours": "{hours} hours after the end of the job, or until it is deleted",
        "upload.who": "the worker alone",
        "job": "Jobs: what was asked for, their result, their pictures (also the one that was changed) and thumbnails",
        "job.where": "{database} and {files}",
        "job.long": "{days} days after their end, or until they are deleted (DELETE /v1/jobs/{{id}})",
        "job.keys": "the key that made them, and admins",
        "job.open": "whoever knows the number of the job",
        "model": "Taught models: names of classes and of pictures, thumbnails and features of the pictures",
        "model.long": "until they are deleted (DELETE /v1/models/{name})",
        "model.keys": "the key that taught them, and admins; what an admin taught: everybody with a key",
        "model.open": "everybody who reaches the service",
        "log": "A line a request: time, route, status, milliseconds, model; no address, no name of a picture",
        "log.where": "standard error",
        "log.long": "as long as whoever runs the service keeps its log",
        "log.who": "whoever runs the service",
        "audit": "A line for each model taught or deleted, each job deleted, each key changed: who, what, when",
        "keys": "Keys: their names and hashes",
        "keys.where": "the file of the keys",
        "keys.long": "until they are removed",
        "page": "Pictures and choices of the page, and its key",
        "page.where": "the browser",
        "page.long": "until its data is cleared; the key until the tab is closed",
        "page.who": "whoever sits there",
        "disk": "the disk of the service",
        "store": "the store of files that the service is connected to",
        "sqlite": "a database on the disk of the service",
        "postgres": "the database that the service is connected to",
    },
    "tr": {
        "asked": "Sınıflandırılan, açıklanan ya da içine bakılan görüntüler",
        "asked.where": "yalnızca bellek",
        "asked.long": "yanıt verilene kadar",
        "asked.who": "hiç kimse",
        "upload": "Bir iş için yüklenenler (görüntü ya da arşiv)",
        "upload.job": "iş bitene ya da silinene kadar",
        "upload.hours": "iş bittikten sonra {hours} saat ya da iş silinene kadar",
        "upload.who": "yalnızca işi yapan süreç",
        "job": "İşler: istenenler, sonuçları, görüntüleri (değiştirilen görüntü de) ve küçük resimleri",
        "job.where": "{database} ve {files}",
        "job.long": "bittikten sonra {days} gün ya da silinene kadar (DELETE /v1/jobs/{{id}})",
        "job.keys": "işi başlatan anahtarın sahibi ve yöneticiler",
        "job.open": "işin numarasını bilen herkes",
        "model": "Eğitilen modeller: sınıfların ve görüntülerin adları, görüntülerin küçük resimleri ve öznitelikleri",
        "model.long": "silinene kadar (DELETE /v1/models/{name})",
        "model.keys": "modeli eğiten anahtarın sahibi ve yöneticiler; yöneticilerin eğittikleri: anahtarı olan herkes",
        "model.open": "hizmete erişebilen herkes",
        "log": "Her istek için bir satır: zaman, yol, durum kodu, milisaniye, model; adres ve görüntü adı yazılmaz",
        "log.where": "standart hata çıktısı",
        "log.long": "hizmeti işleten kişi günlüğü sakladığı sürece",
        "log.who": "hizmeti işleten kişi",
        "audit": "Model eğitme ve silme, iş silme ve anahtar değişiklikleri için birer satır: kim, neyi, ne zaman",
        "keys": "Anahtarlar: adları ve özetleri (hash)",
        "keys.where": "anahtar dosyası",
        "keys.long": "kaldırılana kadar",
        "page": "Sayfadaki görüntüler ve seçimler ile sayfanın anahtarı",
        "page.where": "tarayıcı",
        "page.long": "tarayıcı verileri temizlenene kadar; anahtar, sekme kapanana kadar",
        "page.who": "bilgisayarın başındaki kişi",
        "disk": "hizmetin diski",
        "store": "hizmetin bağlı olduğu dosya deposu",
        "sqlite": "hizmetin diskindeki bir veritabanı",
        "postgres": "hizmetin bağlı olduğu veritabanı",
    },
}


def kept(settings: Settings, language: str) -> list[Kept]:
    """Names no folder and no address: it is for everybody to read."""
    texts = _TEXTS[language]
    files = texts["store" if settings.files_url else "disk"]
    database = texts["postgres" if settings.database_url else "sqlite"]
    who = "keys" if settings.api_keys else "open"
    hours = settings.keep_uploads
    upload = texts["upload.hours"].format(hours=hours) if hours else texts["upload.job"]
    rows = [
        Kept(*(texts[name] for name in ("asked", "asked.where", "asked.long", "asked.who"))),
        Kept(texts["upload"], files, upload, texts["upload.who"]),
        Kept(
            texts["job"],
            texts["job.where"].format(database=database, files=files),
            texts["job.long"].format(days=settings.jobs_keep_days),
            texts[f"job.{who}"],
        ),
        Kept(texts["model"], files, texts["model.long"], texts[f"model.{who}"]),
        *(Kept(texts[name], texts["log.where"], texts["log.long"], texts["log.who"]) for name in ("log", "audit")),
        Kept(*(texts[name] for name in ("page", "page.where", "page.long", "page.who"))),
    ]
    if settings.api_keys:
        rows.append(Kept(texts["keys"], texts["keys.where"], texts["keys.long"], texts["log.who"]))
    return rows


def table(settings: Settings, language: str) -> str:
    """For a page in Markdown."""
    rows = (f"| {one.what} | {one.where} | {one.how_long} | {one.who} |" for one in kept(settings, language))
    return "\n".join(("| what | where | how long | who can see it |", "|---|---|---|---|", *rows)) + "\n"
