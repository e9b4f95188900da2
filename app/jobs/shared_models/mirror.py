"""Copies of the models that many machines share: they serve from each machine's own folder."""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any, Final

from app.jobs.files import StorageDownError
from app.jobs.shared_models.store import ModelStore, OvertakenError, Stored
from app.vision.models.model_folder import (
    CARD,
    NAME,
    ORIGIN,
    BrokenModelError,
    delete,
    install,
    open_draft,
    read_card,
    read_record,
    write_files,
)

log = logging.getLogger(__name__)

_LOOKS: Final = 10
"""For models that are not here, in a second: one request each, so that a flood of unknown names stays a trickle."""
_WAITING: Final = 3
"""Threads for them, while the store does not answer."""
_QUIET_S: Final = 5.0
_SWEEP_S: Final = 600.0


class ModelMirror:
    """Keeps `folder` equal to the models in a store. May be used from many threads and processes.

    Models that were taught in `folder` before it had a store are brought there once.
    """

    def __init__(self, folder: Path, store: ModelStore) -> None:
        self._folder, self._store = folder, store
        self._pulling, self._naming = Lock(), Lock()
        self._installing: dict[str, Lock] = {}
        self._pulled = self._swept = self._quiet_until = -float("inf")
        self._looks: deque[float] = deque(maxlen=_LOOKS)
        self._finding = Semaphore(_WAITING)
        self._told: set[str] = set()

    def publish(self, name: str, record: Mapping[str, Any], files: Mapping[str, bytes], *, replace: bool) -> int:
        """In the store, then here, where it may come later. Raises as `ModelStore.publish`."""
        stored = self._store.publish(name, record, files, replace=replace)
        self._attempt(name, partial(self._install, name, stored, partial(write_files, files=files)))
        return stored.version

    def delete(self, name: str) -> None:
        """In the store, then here. Raises `StorageDownError`, and then nothing is deleted here."""
        self._store.delete(name)
        delete(self._folder, name)

    def find(self, name: str) -> None:
        """Copy a model that is not here; at most ten are looked for in a second, and none while the store is away."""
        now = time.monotonic()
        if now < self._quiet_until or (len(self._looks) == _LOOKS and now - self._looks[0] < 1):
            return
        self._looks.append(now)
        self._attempt(name, partial(self._find, name))

    def pull(self, *, older_than: float = 0.0) -> None:
        """Make the copies equal to the store.

        With `older_than` not if that was done within these seconds, is being done, or cannot be for the moment.
        """
        if older_than and time.monotonic() < max(self._pulled + older_than, self._quiet_until):
            return
        if self._pulling.acquire(blocking=not older_than):
            try:
                self._attempt("all", self._pull)
                self._pulled = time.monotonic()
            finally:
                self._pulling.release()

    def _pull(self) -> None:
        e_tags = self._store.e_tags()
        here = {path.parent.name for path in self._folder.glob(f"*/{CARD}") if NAME.fullmatch(path.parent.name)}
        for name in sorted(here - e_tags.keys()):
            self._attempt(name, partial(self._settle, name))
        for name, e_tag in sorted(e_tags.items()):
            if self._copied(name) != e_tag:
                self._attempt(name, partial(self._fetch, name))
        if time.monotonic() - self._swept > _SWEEP_S:
            self._attempt("what no card names", self._store.sweep)
            self._swept = time.monotonic()

    def _attempt(self, subject: str, what: Callable[[], object]) -> None:
        """What goes wrong is logged, once until it works again; what is here goes on serving."""
        try:
            what()
        except (BrokenModelError, OSError, StorageDownError, ValueError) as error:  # or text that is no Unicode
            if isinstance(error, StorageDownError):
                self._quiet_until = time.monotonic() + _QUIET_S
            if subject not in self._told:
                reason = str(error.__cause__ or error).partition("\n")[0]
                log.warning("Models of other machines (%s): %s", subject, reason)
            self._told.add(subject)
        else:
            self._told.discard(subject)

    def _find(self, name: str) -> None:
        """Few threads ask; as many as want the model wait while it is copied."""
        if self._finding.acquire(blocking=False):
            try:
                stored = self._store.get(name)
            finally:
                self._finding.release()
            self._copy(name, stored)

    def _fetch(self, name: str) -> None:
        self._copy(name, self._store.get(name))

    def _copy(self, name: str, stored: Stored | None) -> None:
        if stored:
            self._install(name, stored, partial(self._download, name, stored))

    def _download(self, name: str, stored: Stored, into: Path) -> None:
        into.mkdir()
        self._store.download(name, stored, into)

    def _install(self, name: str, stored: Stored, fill: Callable[[Path], None]) -> None:
        """`fill` makes the folder of the version."""
        with self._turn_of(name):  # of many who ask for one new model at once, one downloads it
            before = self._copied(name)
            if before == stored.e_tag:
                return
            with open_draft(self._folder) as draft:
                fill(draft / f"v{stored.version}")
                if self._copied(name) != before or not self._is_newest(name, stored):  # somebody was quicker
                    return
                if before is None:
                    self._set_aside(name, stored)
                install(draft, self._folder / name, stored.record, stored.version, self._origin(stored))

    def _turn_of(self, name: str) -> Lock:
        """A model of 200 MiB holds up nobody who wants another one."""
        with self._naming:
            return self._installing.setdefault(name, Lock())

    def _is_newest(self, name: str, stored: Stored) -> bool:
        now = self._store.get(name)
        return now is not None and now.e_tag == stored.e_tag

    def _set_aside(self, name: str, stored: Stored) -> None:
        """A model that was taught here before there was a store goes on under a name of its own."""
        card = self._folder / name / CARD
        if not card.is_file() or _is_copy(card, stored):
            return
        other = f"{name[:55]}-{sha256(card.read_bytes()).hexdigest()[:8]}"
        log.warning("The store has another model %s; the one that was here is called %s from now on.", name, other)
        with suppress(FileNotFoundError):  # another process was quicker
            (self._folder / name).rename(self._folder / other)

    def _settle(self, name: str) -> None:
        """A model that is here and was not in the store: it was never brought there, or it is deleted."""
        if self._copied(name) is None:
            self._push(name)
        elif self._store.lacks(name):  # asked again: another process may have published it meanwhile
            delete(self._folder, name)

    def _push(self, name: str) -> None:
        folder = self._folder / name
        version = read_card(folder / CARD, is_trained=True).version  # nothing broken is brought there
        record = read_record(folder / CARD)
        files = {path.name: path for path in (folder / f"v{version}").iterdir()}
        with suppress(OvertakenError):  # another process or machine was quicker; the next pull sees what it did
            stored = self._store.upload(name, record, files, version=version)
            with open_draft(self._folder) as draft:
                (draft / ORIGIN).write_text(json.dumps(self._origin(stored)), encoding="utf-8")
                (draft / ORIGIN).replace(folder / ORIGIN)

    def _copied(self, name: str) -> str | None:
        """Of the card in the store that the model here is a copy of; None if it is none of this store, or not here."""
        folder = self._folder / name
        try:
            origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
            return str(origin["e_tag"]) if origin["place"] == self._store.place and (folder / CARD).is_file() else None
        except (KeyError, OSError, TypeError, ValueError):
            return None

    def _origin(self, stored: Stored) -> Mapping[str, Any]:
        return {"place": self._store.place, "e_tag": stored.e_tag}


def _is_copy(card: Path, stored: Stored) -> bool:
    try:
        record = read_record(card)
    except BrokenModelError:
        return False
    return {**record, "version": stored.version} == {**stored.record, "version": stored.version}
