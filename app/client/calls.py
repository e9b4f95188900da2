"""What can be asked of the service: each function is one request, and how its answer is read. Nothing is sent here.

`Client` and `AsyncClient` have a method for each of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from json import dumps
from typing import Any, BinaryIO, Final, Generic, TypeVar
from urllib.parse import quote

import httpx2

from app.client.answers import read_file, read_list, read_nothing, read_object, read_status
from app.client.archives import Pictures, opened
from app.client.patience import PATIENCE_S
from app.client.pictures import PictureSource, picture_bytes
from app.client.types import Job, Label, Layer, Model, Prediction, Ready

Result = TypeVar("Result")

PIECE: Final = 1 << 20
"""Bytes of a file that are sent at once."""
_EXPORT_S: Final = 180.0
_MAIN_FILE: Final = {"ideal_image": "final", "adversarial_image": "adversarial"}


@dataclass(frozen=True)
class Call(Generic[Result]):
    """`file` is sent in pieces, so that it never is in memory as a whole; `owned` says that it is closed in the end."""

    read: Callable[[httpx2.Response], Result]
    method: str
    path: str
    choices: Mapping[str, object] = field(default_factory=dict)
    content: bytes | None = None
    file: BinaryIO | None = None
    owned: bool = False
    json: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = PATIENCE_S

    def request(self) -> dict[str, Any]:
        """All but its body, as httpx2's `build_request` takes it."""
        return {
            "method": self.method,
            "url": self.path,
            "params": self._params(),
            "json": self.json,
            "headers": dict(self.headers),
            "timeout": self.timeout,
        }

    def _params(self) -> dict[str, str | list[str]] | None:
        """As a query has them: `true`, not `True`, a list as several, and nothing that was not chosen."""
        given = {name: value for name, value in self.choices.items() if value is not None}
        return {
            name: [str(one) for one in value]
            if isinstance(value, list)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
            for name, value in given.items()
        } or None  # {} would take the query of a path away

    def close(self) -> None:
        if self.file and self.owned:
            self.file.close()


def signed(method: Result, call: Callable[..., Call[Any]]) -> Result:
    """The method of a client, with the signature of its call, for help and for completion in a notebook."""
    own = signature(call)
    itself = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = own.replace(parameters=[itself, *own.parameters.values()])  # type: ignore[attr-defined]
    return method


def classify(
    picture: PictureSource,
    *,
    model: str | None = None,
    top_k: int = 5,
    min_score: float = 0.0,
    lang: str | None = None,
    stability: bool = False,
) -> Call[Prediction]:
    """What is in a picture; with `stability` also whether that holds after mild changes.

    Raises `PictureError`, too, if there is none.
    """
    choices: dict[str, object] = {"model": model, "top_k": top_k, "min_score": min_score, "lang": lang}
    choices |= {"stability": True} if stability else {}
    return Call(read_object, "POST", "/v1/classify", choices, picture_bytes(picture))


def look(picture: PictureSource, **choices: object) -> Call[dict[str, Any]]:
    """A layer's channels in numbers: `layer`, `channels`, `target` … as POST /v1/feature-maps takes.

    Without a `layer` the stages' as a list, in `data`.
    """
    wanted = {**choices, "format": "json"}
    return Call(read_object, "POST", "/v1/feature-maps", wanted, picture_bytes(picture))


def look_drawn(picture: PictureSource, *, form: str = "png", **choices: object) -> Call[bytes]:
    """What `look` tells as a grid of tiles, `form` being png or webp; or exactly, as an array (npy)."""
    wanted = {**choices, "format": form}
    return Call(read_file, "POST", "/v1/feature-maps", wanted, picture_bytes(picture))


def explain(picture: PictureSource, **choices: object) -> Call[dict[str, Any]]:
    """What a class's score rests on, in numbers: `method`, `target` … as POST /v1/explanations takes."""
    wanted = {**choices, "format": "json"}
    return Call(read_object, "POST", "/v1/explanations", wanted, picture_bytes(picture))


def explain_drawn(picture: PictureSource, *, form: str = "png", **choices: object) -> Call[bytes]:
    """What `explain` tells as a heat map over the picture, `form` being png or webp."""
    wanted = {**choices, "format": form}
    return Call(read_file, "POST", "/v1/explanations", wanted, picture_bytes(picture))


def stability(picture: PictureSource, **choices: object) -> Call[dict[str, Any]]:
    """How firmly the answer stands, in numbers: `changes`, `target` … as POST /v1/stability takes."""
    wanted = {**choices, "format": "json"}
    return Call(read_object, "POST", "/v1/stability", wanted, picture_bytes(picture))


def stability_drawn(picture: PictureSource, *, form: str = "png", **choices: object) -> Call[bytes]:
    """What `stability` tells as a contact sheet, `form` being png or webp."""
    wanted = {**choices, "format": form}
    return Call(read_file, "POST", "/v1/stability", wanted, picture_bytes(picture))


def neighbors(picture: PictureSource, **choices: object) -> Call[dict[str, Any]]:
    """What a model learned from that is most like a picture: `model`, `k` … as POST /v1/neighbors takes."""
    wanted = {**choices, "format": "json"}
    return Call(read_object, "POST", "/v1/neighbors", wanted, picture_bytes(picture))


def neighbors_drawn(picture: PictureSource, *, form: str = "png", **choices: object) -> Call[bytes]:
    """What `neighbors` tells as a sheet, `form` being png or webp."""
    wanted = {**choices, "format": form}
    return Call(read_file, "POST", "/v1/neighbors", wanted, picture_bytes(picture))


def models(*, lang: str | None = None) -> Call[list[Model]]:
    """The cards of all models."""
    return Call(read_list, "GET", "/v1/models", {"lang": lang})


def model(name: str, *, lang: str | None = None) -> Call[Model]:
    """The card of a model, with its tables: a row for each class."""
    return Call(read_object, "GET", _model(name), {"lang": lang})


def labels(model: str, *, search: str | None = None, lang: str | None = None) -> Call[list[Label]]:
    """The classes of a model; those that the service finds for `search`, in any language, if it is given."""
    return Call(read_list, "GET", f"{_model(model)}/labels", {"q": search, "lang": lang})


def layers(model: str) -> Call[list[Layer]]:
    """Every layer of a model that can be looked at, in the order in which the network runs them."""
    return Call(read_list, "GET", f"{_model(model)}/layers")


def draw(**choices: object) -> Call[Job]:
    """Ask for an ideal image: `objective={"label": "zebra"}`, `preset`, `count` … as POST /v1/ideal-images takes."""
    body = {name: value for name, value in choices.items() if value is not None}
    return Call(read_object, "POST", "/v1/ideal-images", json=body)


def fool(picture: PictureSource, **choices: object) -> Call[Job]:
    """Ask for an adversarial image: `target`, `method` … as POST /v1/adversarial-images takes."""
    return Call(read_object, "POST", "/v1/adversarial-images", choices, picture_bytes(picture))


def teach(pictures: Pictures, **choices: object) -> Call[Job]:
    """Ask for a new model: `name`, `backbone` … as POST /v1/models takes.

    It is taught on a folder with a folder for each class, on an archive of one (its name, its bytes, or an open file),
    or on pictures by class: `{"cat": [Path("tom.jpg"), image], "dog": […]}`.
    """
    owned = isinstance(pictures, str | bytes) or not hasattr(pictures, "read")
    return Call(read_object, "POST", "/v1/models", choices, file=opened(pictures), owned=owned)


def evaluate(pictures: Pictures, **choices: object) -> Call[Job]:
    """Ask how good a model is on pictures that it never saw: `model`, `compare`, `corruptions`, `labels` … as POST
    /v1/evaluations takes.

    The pictures are taken as for `teach`. `labels` may be a mapping: `{"cat": ["tabby", "tiger cat"]}`.
    """
    owned = isinstance(pictures, str | bytes) or not hasattr(pictures, "read")
    told = choices.get("labels")
    if isinstance(told, Mapping):
        choices["labels"] = dumps(told, ensure_ascii=False)
    return Call(read_object, "POST", "/v1/evaluations", choices, file=opened(pictures), owned=owned)


def correct(model: str, corrections: Mapping[str, str | None]) -> Call[Job]:
    """Ask for the model's next version, with other labels for some pictures; None leaves one out."""
    body = {"corrections": [{"picture": name, "label": label} for name, label in corrections.items()]}
    return Call(read_object, "POST", f"{_model(model)}/corrections", json=body)


def export(model: str) -> Call[bytes]:
    """A zip with all that it takes to use a model without Inkblot."""
    return Call(read_file, "GET", f"{_model(model)}/export", timeout=_EXPORT_S)


def delete_model(name: str) -> Call[None]:
    """Forget a model that was taught there."""
    return Call(read_nothing, "DELETE", _model(name))


def jobs(*, limit: int = 20) -> Call[list[Job]]:
    """Your jobs, newest first."""
    return Call(read_list, "GET", "/v1/jobs", {"limit": limit})


def job(identity: str) -> Call[Job]:
    return Call(read_object, "GET", _job(identity))


def cancel(identity: str) -> Call[Job]:
    """Stop a job at its next step; its last preview is kept."""
    return Call(read_object, "POST", f"{_job(identity)}/cancel")


def delete_job(identity: str) -> Call[None]:
    """Forget a job and its files; one that runs is stopped first."""
    return Call(read_nothing, "DELETE", _job(identity))


def file(path: str) -> Call[bytes]:
    """A file of a job, by the path that its result names."""
    return Call(read_file, "GET", path)


def drawn(job: Job) -> Call[bytes]:
    """The picture that a job has made: the ideal or the adversarial one, or the sheet of several. Raises `LookupError`
    if it made none.
    """
    files, main = (job["result"] or {}).get("files", {}), _MAIN_FILE[job["kind"]]
    return file(files.get("sheet") or files[main])


def ready() -> Call[Ready]:
    """Which model answers, where and by what; waits while it is being loaded."""
    return Call(read_status, "GET", "/readyz")


def events(job: Job, after: int) -> Call[httpx2.Response]:
    """An open stream of what happened to a job after the event of that number."""
    return Call(_unread, "GET", job["links"]["events"], headers={"Last-Event-ID": str(after)})


def _unread(answer: httpx2.Response) -> httpx2.Response:
    return answer


def _model(name: str) -> str:
    return f"/v1/models/{quote(name, safe='')}"


def _job(identity: str) -> str:
    return f"/v1/jobs/{quote(identity, safe='')}"
