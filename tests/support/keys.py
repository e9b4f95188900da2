"""The keys of a service under test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from app.keys import Key, Scope, changing_keys

ALL: Final[tuple[Scope, ...]] = ("predict", "jobs", "teach")
OWNERS: Final[Mapping[str, tuple[Scope, ...]]] = {
    "root": ("admin",),
    "predict": ("predict",),
    "jobs": ("jobs",),
    "teach": ("teach",),
    "ayse": ALL,
    "bora": ALL,
}


def secret_of(name: str) -> str:
    return f"ink_{name}"


def bearing(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret_of(name)}"}


def write_keys(path: Path, owners: Mapping[str, tuple[Scope, ...]] = OWNERS) -> Path:
    with changing_keys(path) as keys:
        keys.clear()
        keys.update({name: Key.made(name, secret_of(name), scopes) for name, scopes in owners.items()})
    return path
