"""Who may use a service that is not for everybody: a file of names, hashed secrets and what each may do."""

import fcntl
import hmac
import json
import logging
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, Literal, cast, get_args

from app import audit

log = logging.getLogger(__name__)

Scope = Literal["predict", "jobs", "teach", "admin"]
SCOPES: Final = cast("tuple[Scope, ...]", get_args(Scope))
KEY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DIGITS: Final = re.compile(r"[0-9a-f]{64}")
_PREFIX: Final = "ink_"
_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's: none of them is taken for another, and each is 5 bits."""
_GROUPS: Final = 4
"""Of four letters each: 80 bits."""


class KeyFileError(ValueError):
    """The file of the keys cannot be used; the message is for a person."""


@dataclass(frozen=True)
class Key:
    """Secrets are random numbers of 80 bits or more: nobody guesses one, from a hash that is as quick as SHA-256
    either. What makes hashing slow is for passwords that people think of, and would cost each request as much.
    """

    name: str
    digest: str
    scopes: frozenset[Scope]
    created_at: str

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes

    def may(self, scopes: Sequence[str]) -> bool:
        """Whether it has one of these scopes; `admin` includes all."""
        return self.is_admin or not self.scopes.isdisjoint(scopes)

    @classmethod
    def made(cls, name: str, secret: str, scopes: Sequence[Scope]) -> "Key":
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(name, digest_of(secret), frozenset(scopes), now)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Key":
        """Raises `KeyFileError`."""
        try:
            name, digest, scopes = record["name"], record["sha256"], frozenset(record["scopes"])
            if not (KEY_NAME.fullmatch(name) and _DIGITS.fullmatch(digest) and scopes and scopes <= set(SCOPES)):
                raise KeyFileError(f"The key {name!r} has a name, a hash or a scope that cannot be.")
            return cls(name, digest, scopes, str(record.get("created_at", "")))
        except (AttributeError, KeyError, TypeError) as error:
            raise KeyFileError(f"A key has no name, no sha256 or no scopes: {error!r}.") from error

    def record(self) -> dict[str, Any]:
        scopes = [scope for scope in SCOPES if scope in self.scopes]
        return {"name": self.name, "sha256": self.digest, "scopes": scopes, "created_at": self.created_at}


def digest_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def long_secret() -> str:
    """256 bits, for programs."""
    return _PREFIX + secrets.token_urlsafe(32)


def short_secret() -> str:
    """80 bits, which can be typed from a sheet of paper."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(_GROUPS))


def read_keys(path: Path) -> tuple[Key, ...]:
    """Raises `KeyFileError`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        keys = tuple(map(Key.read, found["keys"]))
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read ({error.strerror}).") from error
    except (KeyError, TypeError, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise KeyFileError(f"{path} is no file of keys: {error}") from error
    if len({key.name for key in keys}) < len(keys):
        raise KeyFileError(f"{path} has two keys of one name.")
    return keys


@contextmanager
def changing_keys(path: Path) -> Iterator[dict[str, Key]]:
    """The keys by name, to be changed and then written, in one step that every reader sees; one process at a time.

    The file is made if it is not there. Raises `KeyFileError`, or `OSError` where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = {key.name: key for key in read_keys(path)} if path.exists() else {}
        yield keys
        _write(path, keys.values())


def _write(path: Path, keys: Iterable[Key]) -> None:
    text = json.dumps({"keys": [key.record() for key in keys]}, indent=1)
    file = NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False)  # noqa: SIM115 -- renamed
    try:
        with file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        if path.exists():  # who may read it is for its owner to say; a new one is for nobody else
            Path(file.name).chmod(path.stat().st_mode & 0o777)
        Path(file.name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(file.name).unlink()
        raise


class KeyRing:
    """The keys of a file as it is now: a changed one is read at the next request, and a broken one is not.

    Without a file, which somebody has taken away, nobody has a key. May be used from several threads.
    """

    def __init__(self, path: Path) -> None:
        """Raises `KeyFileError`."""
        self._path, self._reading = path, threading.Lock()
        self._stamp = self._look()
        self._keys = read_keys(path)

    def find(self, secret: str) -> Key | None:
        """Whose it is. How long that takes tells nothing of how much of a secret was right."""
        self._refresh()
        digest, found = digest_of(secret), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        with self._reading:
            if stamp == self._stamp:  # another thread was quicker
                return
            try:
                keys = read_keys(self._path) if stamp else ()
            except KeyFileError as error:
                log.error("%s The keys of before go on being valid.", error)  # noqa: TRY400 -- the sentence is enough
            else:
                self._tell(keys)
                self._keys = keys
            self._stamp = stamp

    def _look(self) -> tuple[int, ...]:
        """What changes with the file; nothing if there is none."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 -- on every request's way
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _tell(self, keys: Sequence[Key]) -> None:
        before, after = ({key.name: key for key in some} for some in (self._keys, keys))
        changed = [name for name, key in after.items() if name in before and before[name] != key]
        told = {"added": after.keys() - before.keys(), "removed": before.keys() - after.keys(), "changed": changed}
        audit.tell("keys", "the file of the keys", **{what: sorted(names) for what, names in told.items() if names})
