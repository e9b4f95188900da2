"""What the service says of each of many pictures, in their order; a picture that cannot be read costs no other one."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.client import Client, ClientError, NoServerError, Prediction, ProblemError, read_all, read_picture

_ENDINGS: Final = {
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".avif", ".heic", ".heif", ".bmp", ".tif", ".tiff",
}  # fmt: skip
"""Of the pictures in a folder; a file that is named itself may have any."""


@dataclass(frozen=True)
class Source:
    """A file, an address or `-`, and how it is called in a table: a file of a folder by its path in there."""

    path: str
    name: str

    @property
    def folder(self) -> str:
        """The name of the folder in which it lies; none of an address and of standard input."""
        return "" if self.path == "-" or "://" in self.path else Path(self.path).resolve().parent.name


@dataclass(frozen=True)
class Answer:
    """A prediction or an error for one picture."""

    source: Source
    prediction: Prediction | None = None
    error: ClientError | None = None

    @property
    def is_unknown(self) -> bool:
        unknown = self.prediction["unknown"] if self.prediction else None
        return bool(unknown and unknown["is_unknown"])

    def json(self) -> Mapping[str, Any]:
        if isinstance(self.error, ProblemError):
            return self.error.problem
        if self.error:
            return {"type": "about:blank", "title": "Not sent", "detail": str(self.error)}
        assert self.prediction
        return self.prediction

    def sentence(self) -> str:
        return f"{self.source.path}: {self.error}" if isinstance(self.error, ProblemError) else str(self.error)


def sources_of(path: str, *, recursive: bool) -> list[Source]:
    """The pictures in a folder, hidden files left out; of anything else the thing itself."""
    folder = Path(path).expanduser()
    if "://" in path or not folder.is_dir():
        return [Source(path, path if "://" in path else Path(path).name)]
    found = sorted(folder.rglob("*") if recursive else folder.glob("*"))
    return [
        Source(str(one), str(one.relative_to(folder)))
        for one in found
        if one.suffix.lower() in _ENDINGS and not one.name.startswith(".") and one.is_file()
    ]


def ask(server: str, sources: Sequence[Source], choices: Mapping[str, Any]) -> Iterator[Answer]:
    """One answer for each picture; without a service the rest is not tried."""
    waiting = list(sources)
    try:
        with Client(server) as client:
            while waiting:
                yield _classify(client, waiting[0], choices)
                waiting.pop(0)
    except NoServerError as error:
        for source in waiting:
            yield Answer(source, error=error)


def _classify(client: Client, source: Source, choices: Mapping[str, Any]) -> Answer:
    try:
        from_input = source.path == "-"
        data = read_all(sys.stdin.buffer, "Standard input") if from_input else read_picture(source.path)
        return Answer(source, client.classify(data, **choices))
    except NoServerError:
        raise
    except ClientError as error:
        return Answer(source, error=error)
