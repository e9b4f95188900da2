"""The files of the page as they are sent: read and packed once, at addresses that change whenever one of them does.

A first visit fetches some forty modules over six connections, a later one none: what lies under the digest of an
edition may be kept for ever, and no visitor mixes the modules of two editions.
"""

import asyncio
import gzip
import hashlib
import json
import mimetypes
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

_PACKED: Final = {".css", ".html", ".js", ".json", ".mjs", ".svg"}
_IMPORT: Final = re.compile(r'\bfrom ?"(\.[^"]+)"')
_ON_DEMAND: Final = re.compile(r'await import\("\./([^"]+)"\)')
_ADDRESS: Final = re.compile(r"/?(?:(?P<digest>[0-9a-f]{16})/)?(?P<name>.+)")
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class File:
    name: str
    content: bytes

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    @cached_property
    def packed(self) -> bytes | None:
        """By gzip; None of a picture."""
        return gzip.compress(self.content, mtime=0) if Path(self.name).suffix in _PACKED else None

    def imports(self) -> list[str]:
        """The modules without which this one does not run; what it brings on demand is none of them."""
        folder = posixpath.dirname(self.name)
        return [posixpath.normpath(posixpath.join(folder, name)) for name in _IMPORT.findall(self.content.decode())]

    def answer(self, asked: Headers, headers: Mapping[str, str]) -> Response:
        headers = {**headers, "ETag": self.etag, "Vary": "Accept-Encoding"}
        if self.etag in asked.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        media_type = mimetypes.guess_type(self.name)[0]
        if self.packed is None or "gzip" not in asked.get("accept-encoding", ""):
            return Response(self.content, headers=headers, media_type=media_type)
        return Response(self.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=media_type)


@dataclass(frozen=True)
class Edition:
    """All files of the page that lay there together, by their paths in its folder."""

    files: Mapping[str, File]

    @cached_property
    def digest(self) -> str:
        listed = "\n".join(f"{name} {file.etag}" for name, file in sorted(self.files.items()))
        return hashlib.sha256(listed.encode()).hexdigest()[:16]

    def needed(self, module: str, *, known: Mapping[str, None] | None = None) -> dict[str, None]:
        """The module and whatever it imports, in turn, that is not `known`, in the order in which it is met."""
        met = dict(known or {}) | {module: None}
        for name in self.files[module].imports():
            if name not in met:
                met |= self.needed(name, known=met)
        return {name: None for name in met if not known or name not in known}

    def views(self) -> dict[str, list[str]]:
        """What each module that `app.js` brings on demand needs besides it."""
        shell = self.needed("app.js")
        brought = _ON_DEMAND.findall(self.files["app.js"].content.decode())
        return {name: list(self.needed(name, known=shell)) for name in brought}

    @cached_property
    def home(self) -> File:
        """`index.html` with the addresses of this edition and of all modules, which else are found one by one."""
        links = "\n    ".join(f'<link rel="modulepreload" href="/page/{name}">' for name in self.needed("app.js"))
        views = json.dumps(self.views(), separators=(",", ":"))
        text = self.files["index.html"].content.decode().replace("<!-- modules -->", links).replace("{views}", views)
        return File("index.html", text.replace('"/page/', f'"/page/{self.digest}/').encode())


class PageFiles:
    """An ASGI application that sends what lies in `folder`, each file with `headers`."""

    def __init__(self, folder: Path, headers: Mapping[str, str]) -> None:
        self._folder, self._headers = folder, headers
        self._seen: Mapping[Path, int] = {}
        self._edition: Edition | None = None

    async def home(self, request: Request) -> Response:
        """The page itself. Whoever changes a file sees the change when he loads the page anew."""
        edition = await asyncio.to_thread(self._newest)
        return edition.home.answer(request.headers, {**self._headers, "Cache-Control": "no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if request.method not in {"GET", "HEAD"}:
            raise HTTPException(405)
        edition = self._edition
        if edition is None:
            edition = await asyncio.to_thread(self._newest)
        address = _ADDRESS.fullmatch(scope["path"].removeprefix(scope.get("root_path", "")))
        file = edition.files.get(address["name"]) if address else None
        if address is None or file is None:
            raise HTTPException(404)
        # Another edition, of a service beside this one or from before: better than nothing, and asked for again.
        lasting = _FOR_EVER if address["digest"] == edition.digest else "no-cache"
        answer = file.answer(request.headers, {**self._headers, "Cache-Control": lasting})
        await answer(scope, receive, send)

    def _newest(self) -> Edition:
        found = {path: path.stat().st_mtime_ns for path in self._folder.rglob("*") if path.is_file()}
        if self._edition is None or found != self._seen:
            files = {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in found}
            self._edition = Edition({name: File(name, content) for name, content in files.items()})
            self._seen = found
        return self._edition
