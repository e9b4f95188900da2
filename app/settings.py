"""What can be set from outside: `INKBLOT_*` in the environment, read once, never by an inner ring."""

import difflib
import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast, get_args

from app.logs import LogFormat
from app.vision.image import FORMATS, ImageLimits
from app.vision.serving.precision import Precision
from app.vision.serving.runtimes import Runtime
from app.vision.transfer.dataset import DatasetLimits

PREFIX: Final = "INKBLOT_"
_OF_OTHERS: Final = {"INKBLOT_URL", "INKBLOT_KEY"}
"""Read by the clients, to find a service and to be let in; no settings of the service itself."""
_MIB: Final = 1024 * 1024


class SettingsError(ValueError):
    """A setting that does not exist or cannot have this value; the message is for a person."""


def _cores() -> int:
    """The cores that this process may use: a container's share, where it has one (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return cores


def _whole(text: str, lowest: int = 1) -> int:
    number = int(text)
    if number < lowest:
        raise ValueError(f"at least {lowest}")
    return number


def _port(text: str) -> int:
    number = _whole(text, 0)
    if number > 65535:
        raise ValueError("at most 65535")
    return number


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return read


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().upper() for name in text.split(",") if name.strip())
    if not names or not set(names) <= set(FORMATS):
        raise ValueError(f"names out of {', '.join(FORMATS)}, with commas between them")
    return names


def _list_of(each: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        return tuple(each(one.strip()) for one in text.split(",") if one.strip())

    return read


def _host(text: str) -> str:
    if text != "*" and not re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", text):
        raise ValueError("names without scheme and port, such as inkblot.example.org or *.example.org, or * for any")
    return text.lower()


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", text):
        raise ValueError("scheme and host, with a port if need be, such as https://example.org, or * for any")
    return text.lower()


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError("addresses and networks, such as 10.0.0.7 or 10.0.0.0/8") from None


def _shipped_models() -> Path:
    """Beside the package in a checkout; a wheel carries them within."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "models"
    return beside if (beside / "imagenet").is_dir() else package / "models"


def _setting(default: object, read: Callable[[str], object], text: str) -> Any:  # noqa: ANN401 -- as dataclasses.field
    metadata = {"read": read, "text": text}
    if callable(default):
        return field(default_factory=cast("Callable[[], Any]", default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    host: str = _setting("127.0.0.1", str, "address to listen on")
    port: int = _setting(8000, _port, "port to listen on")
    api_keys: Path | None = _setting(
        None,
        Path,
        "the file of the keys (`inkblot keys add`); without one, everybody who reaches the service may use it",
    )
    open: str = _setting(
        "no",
        _one_of("yes", "no"),
        "`yes`: without keys, listen on other addresses than loopback's all the same",
    )
    key_requests: int = _setting(
        600, lambda text: _whole(text, 0), "requests of one key in a minute; more are answered 429; 0: no limit"
    )
    key_upload_bytes: int = _setting(
        2048 * _MIB, lambda text: _whole(text, 0), "bytes that one key may send in a day; 0: no limit"
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (),
        _list_of(_host),
        "further names that it may be asked for by, `*` for any; always: addresses, `localhost`, and `HOST`",
    )
    allowed_origins: tuple[str, ...] = _setting(
        (),
        _list_of(_origin),
        "pages of these origins may use the API (CORS), such as `https://example.org`, `*` for any",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        _list_of(_network),
        "addresses or networks of proxies whose `X-Forwarded-For` and `-Proto` are believed; default: none",
    )
    data_dir: Path = _setting(Path("var"), Path, "caches and whatever the service writes")
    models_dir: Path = _setting(
        _shipped_models, Path, "the models that ship; default: `models` beside the package, or within it"
    )
    weights_dir: Path | None = _setting(
        None,
        Path,
        "weights of further networks (`.pth`, `.safetensors`), as `inkblot weights get` brings them; "
        "default: `weights` in the data folder",
    )
    weights_url: str | None = _setting(
        None, str, "a mirror of <https://download.pytorch.org/models>, for `inkblot weights get` alone"
    )
    default_model: str = _setting("cats-vs-dogs", str, "the model of a request that names none")
    device: str = _setting("auto", str, "`auto` (CUDA, else MPS, else CPU) or torch's name of a device")
    engine: Runtime = _setting(
        "auto", _one_of(*get_args(Runtime)), "what answers on a CPU: `auto`, `torch` or `openvino`"
    )
    precision: Precision = _setting(
        "exact",
        _one_of(*get_args(Precision)),
        "`fast`: in reduced precision, as far as it gives the answers of float32 (measured at the first start)",
    )
    threads: int = _setting(_cores, _whole, "model threads on a CPU; default: its cores")
    max_batch: int = _setting(16, _whole, "pictures in one forward pass")
    max_queue: int = _setting(256, _whole, "pictures that may wait; more are answered 503")
    max_picture_bytes: int = _setting(32 * _MIB, _whole, "size of one uploaded picture")
    max_request_bytes: int = _setting(64 * _MIB, _whole, "size of one request")
    max_archive_bytes: int = _setting(200 * _MIB, _whole, "size of the pictures that a model is taught on, as sent")
    max_unpacked_bytes: int = _setting(1024 * _MIB, _whole, "… and unpacked")
    body_timeout_s: int = _setting(60, _whole, "seconds in which the body of a request must have arrived")
    max_pictures: int = _setting(16, _whole, "pictures in one request")
    max_pixels: int = _setting(25_000_000, _whole, "pixels of a picture, read from its header before decoding")
    formats: tuple[str, ...] = _setting(
        ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC"), _formats, "accepted formats; BMP and TIFF can be added"
    )
    worker: str = _setting(
        "child",
        _one_of("child", "external"),
        "`child`: the service keeps a worker of its own; else run `inkblot worker`",
    )
    worker_threads: int = _setting(_cores, _whole, "threads of the worker on a CPU; default: its cores")
    database_url: str | None = _setting(
        None, str, "`postgresql://…` for jobs on many machines; default: SQLite in the data folder"
    )
    files_url: str | None = _setting(
        None,
        str,
        "`s3://…`, `gs://…`, `az://…` for the files of jobs and the taught models; default: folders in the data folder",
    )
    jobs_running: int = _setting(8, _whole, "jobs that a worker runs at once")
    jobs_per_client: int = _setting(32, _whole, "jobs of one client that are not done; more are answered 429")
    jobs_total: int = _setting(100, _whole, "jobs of all clients that are not done")
    jobs_keep_days: int = _setting(7, _whole, "days for which a job that ended and its files are kept")
    keep_uploads: int = _setting(
        0,
        lambda text: _whole(text, 0),
        "hours for which what was uploaded for a job stays after its end; 0: it goes as the job ends",
    )
    files_max_bytes: int = _setting(5 * 1024 * _MIB, _whole, "room for the files of jobs")
    metrics: str = _setting(
        "no", _one_of("yes", "no"), "`yes`: GET /metrics, for Prometheus; where there are keys, for admins"
    )
    log_level: str = _setting("info", _one_of("debug", "info", "warning", "error"), "how much is logged")
    log_format: LogFormat = _setting(
        "auto",
        _one_of(*get_args(LogFormat)),
        "`json`: an object a line; `text`; `auto`: text on a terminal, JSON elsewhere",
    )

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(self.formats, self.max_pixels)

    @property
    def weights_folder(self) -> Path:
        """Where the weights of further networks lie, and where they are downloaded to."""
        return self.weights_dir or self.data_dir.resolve() / "weights"

    @property
    def trained_dir(self) -> Path:
        """Where the models lie that are taught here."""
        return self.data_dir.resolve() / "models"

    @property
    def dataset_limits(self) -> DatasetLimits:
        return DatasetLimits(max_unpacked_bytes=self.max_unpacked_bytes, max_picture_bytes=self.max_picture_bytes)

    @property
    def jobs_database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'jobs.sqlite'}"

    @property
    def jobs_sqlite(self) -> Path | None:
        """The file of the jobs' database, where it is one."""
        return Path(self.jobs_database.removeprefix("sqlite:///")) if self.jobs_database.startswith("sqlite") else None

    @property
    def jobs_files(self) -> str:
        return self.files_url or str(self.data_dir.resolve() / "files")

    def environ(self) -> dict[str, str]:
        """The variables that make these settings again, for a process of ours."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        texts = {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in values.items()}
        return {PREFIX + name.upper(): text for name, text in texts.items() if values[name] is not None}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises `SettingsError` for an unknown `INKBLOT_` name (with the nearest one) or a value that cannot be."""
        known = {PREFIX + one.name.upper(): one for one in fields(cls)}
        values: dict[str, Any] = {}
        for name, text in environ.items():
            if not name.startswith(PREFIX) or name in _OF_OTHERS:
                continue
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0)
                raise SettingsError(f"There is no setting {name}; did you mean {near[0]}?")
            if text == "":  # as in `INKBLOT_WEIGHTS_DIR= make serve`, and in compose files: not set
                continue
            try:
                values[known[name].name] = known[name].metadata["read"](text)
            except ValueError as error:
                raise SettingsError(f"{name}={text!r} cannot be: {error}.") from None
        return cls(**values)
