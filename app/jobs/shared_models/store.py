"""Taught models in a store that many machines reach.

`models/<name>/model.json` is the card (see `model_folder`), and its `files` are what belongs to it, in a folder of
their own for every upload (`v2-0c9f…/head.safetensors`), so that two machines never write into one. The card is written
last, on condition that it is still the one that was read, and deleted first: who reads gets a whole model or none, and
of many that publish one name at once one wins. What no card names is deleted after an hour.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from re import fullmatch
from typing import Any, Final, cast
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from app.jobs.files import StorageDownError, open_store, pieces
from app.vision.models.model_folder import CARD, NAME, BrokenModelError, ModelExistsError

_TOP: Final = "models/"
_MARK: Final = "models/.inkblot"
"""Without it, this is a folder where nothing is mounted, or another bucket: what is not in it was not deleted."""
_FILE: Final = r"v\d+-[0-9a-f]+/[a-z0-9][a-z0-9._-]*"
_TRIES: Final = 20
"""More than there are likely to be replacements of one name at once."""
_YOUNG: Final = timedelta(hours=1)
"""An upload without a card may still be going on, and what a card named before may still be being read."""

Stamp = Mapping[str, Any]
"""What the store tells one content of a file from another by: `e_tag`, and `version` where it has them."""
Files = Mapping[str, bytes | Path]


class OvertakenError(RuntimeError):
    """The card in the store is not the one that was read."""


@dataclass(frozen=True)
class Stored:
    """A model as its card in the store has it; `files` are paths beside the card."""

    record: Mapping[str, Any]
    version: int
    files: Sequence[str]
    stamp: Stamp

    @property
    def e_tag(self) -> str:
        return str(self.stamp["e_tag"])

    @classmethod
    def parse(cls, name: str, data: bytes, stamp: Stamp) -> "Stored":
        """Raises `BrokenModelError`."""
        try:
            record = dict(json.loads(data))
            version, files = int(record.pop("version")), list(record.pop("files"))
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise BrokenModelError(f"The store has no whole card of the model {name}: {error!r}") from error
        if version < 1 or not files or not all(isinstance(file, str) and fullmatch(_FILE, file) for file in files):
            raise BrokenModelError(f"The store's card of the model {name} names files that cannot be: {files}")
        return cls(record, version, files, stamp)


class ModelStore:
    """May be used from many threads, processes and machines. All methods raise `StorageDownError`."""

    def __init__(self, place: str) -> None:
        """As of `FileStore`."""
        self.place = place

    def e_tags(self) -> dict[str, str]:
        """Of the cards that are there, by the names of their models."""
        with _reaching():
            objects = self._list(_TOP)
        found = ((one["path"].split("/"), one["e_tag"]) for one in objects)
        return {path[1]: e_tag for path, e_tag in found if path[2:] == [CARD] and NAME.fullmatch(path[1])}

    def get(self, name: str) -> Stored | None:
        """Raises `BrokenModelError`."""
        with _reaching():
            found = self._read(name)
        return Stored.parse(name, *found) if found else None

    def lacks(self, name: str) -> bool:
        """Whether there is no card, not even a broken one, in a store that is surely the right one."""
        with _reaching():
            self._check_mark()
            return self._read(name) is None

    def download(self, name: str, stored: Stored, into: Path) -> None:
        """Into a folder that is there. Raises `BrokenModelError` if something is missing."""
        for path in stored.files:
            with _reaching(), (into / Path(path).name).open("wb") as file:
                try:
                    for piece in pieces(self._store, f"{_TOP}{name}/{path}"):
                        file.write(piece)
                except FileNotFoundError:
                    raise BrokenModelError(f"The store lacks {path} of the model {name}.") from None

    def publish(self, name: str, record: Mapping[str, Any], files: Files, *, replace: bool) -> Stored:
        """Add a model, or with `replace` its next version.

        Of two replacements at once both are made, one after the other, and the later one counts.
        Raises `ModelExistsError` if the name is taken and not to be replaced.
        """
        for _ in range(_TRIES):
            with _reaching():
                found = self._read(name)
            before = _version(name, *found) if found else 0
            if before and not replace:
                break
            with suppress(OvertakenError):
                return self.upload(name, record, files, version=before + 1, before=found[1] if found else None)
        raise ModelExistsError(name)

    def upload(
        self, name: str, record: Mapping[str, Any], files: Files, *, version: int, before: Stamp | None = None
    ) -> Stored:
        """Raises `OvertakenError` unless the card is still the one with the stamp `before`, or there is still none."""
        folder = f"v{version}-{uuid4().hex[:12]}"
        paths = [f"{folder}/{file}" for file in files]
        card = json.dumps({**record, "version": version, "files": paths}, ensure_ascii=False).encode()
        with _reaching():
            with suppress(AlreadyExistsError):
                obstore.put(self._store, _MARK, b"", mode="create")
            for path, data in zip(paths, files.values(), strict=True):
                obstore.put(self._store, f"{_TOP}{name}/{path}", data)
            try:
                return Stored(record, version, paths, self._put_card(name, card, before))
            except OvertakenError:
                now = self._read(name)
                if now and now[0] == card:  # by ourselves: the answer was lost, and obstore asked again
                    return Stored(record, version, paths, now[1])
                self._remove(f"{_TOP}{name}/{path}" for path in paths)
                raise

    def delete(self, name: str) -> None:
        """No error if there is none."""
        with _reaching():
            self._check_mark()
            paths = [one["path"] for one in self._list(f"{_TOP}{name}/")]
            if self._read(name):  # else somebody may be teaching another model of this name, and these are its files
                self._remove([_card(name), *paths])

    def sweep(self) -> None:
        """Delete uploads of an hour ago that no card of an hour ago names: killed half way, replaced, half deleted."""
        models: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        with _reaching():
            for one in self._list(_TOP):
                if len(path := one["path"].split("/")) > 2:
                    models[path[1]][path[2]].append(one)
            for name, parts in models.items():
                with suppress(BrokenModelError):
                    self._sweep_model(name, parts)

    @cached_property
    def _store(self) -> Any:  # noqa: ANN401 -- as `open_store`
        """Opened when it is first used: what cannot be at the start may be there later."""
        return open_store(self.place)

    def _check_mark(self) -> None:
        obstore.head(self._store, _MARK)

    def _put_card(self, name: str, data: bytes, before: Stamp | None) -> Stamp:
        try:
            try:
                return _stamp(obstore.put(self._store, _card(name), data, mode=cast("Any", before or "create")))
            except NotImplementedError:  # a folder knows no such condition: nearly the same
                if _stamp(obstore.head(self._store, _card(name))) != before:
                    raise OvertakenError(name) from None
                return _stamp(obstore.put(self._store, _card(name), data))
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            raise OvertakenError(name) from error

    def _sweep_model(self, name: str, parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """`parts` are the files by what follows the name: an upload, or the card."""
        latest = datetime.now(UTC) - _YOUNG
        old = {part for part, files in parts.items() if all(one["last_modified"] < latest for one in files)}
        if CARD in parts and (len(parts) == 2 or CARD not in old):  # with its one upload, as it is mostly
            return
        card = self._read(name)
        used = Stored.parse(name, *card).files if card else ()
        unused = old - {CARD} - {path.partition("/")[0] for path in used}
        self._remove(one["path"] for part in unused for one in parts[part])

    def _read(self, name: str) -> tuple[bytes, Stamp] | None:
        try:
            found = obstore.get(self._store, _card(name))
            return bytes(found.bytes()), _stamp(found.meta)
        except FileNotFoundError:
            return None

    def _list(self, prefix: str) -> list[Any]:
        return [one for chunk in obstore.list(self._store, prefix) for one in chunk]

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):  # somebody else was quicker
                obstore.delete(self._store, path)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:  # obstore raises some of Python's own
        raise StorageDownError("The store of the models cannot be reached.") from error


def _card(name: str) -> str:
    return f"{_TOP}{name}/{CARD}"


def _stamp(meta: Any) -> Stamp:  # noqa: ANN401 -- what obstore answers has a type for each question
    return {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}


def _version(name: str, data: bytes, stamp: Stamp) -> int:
    """0 for a broken card, which anybody may replace."""
    try:
        return Stored.parse(name, data, stamp).version
    except BrokenModelError:
        return 0
