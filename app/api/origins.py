"""Pages of other origins that speak to this service through the browser of somebody who may.

Such a page can send simple requests to every address that its visitor reaches, and thereby teach, cancel or delete:
`Origin` and `Sec-Fetch-Site` tell it from our own page. A page whose name was made to point here after it was loaded
(DNS rebinding) can read the answers, too; it is known by the `Host` that its browser asks for.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import ForeignOriginError, UnknownHostError
from app.api.problems import Problem

ANY: Final = "*"
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]@/?#\s]+?)\.?(?::\d*)?", re.IGNORECASE)
_READING: Final = {"GET", "HEAD", "OPTIONS"}
_SENT: Final = ("Authorization", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer", "X-Request-Id")
_READ: Final = (
    "Allow",
    "Content-Disposition",
    "ETag",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "WWW-Authenticate",
    "X-Request-Id",
)


class Hosts:
    """By which names the service may be asked for.

    Any IP address will do, since a page at an address was loaded from there, as well as loopback's names and the
    `listening` one. Where others can connect anyway, so will names that no public zone can have: without a dot, as of
    a machine or of a service among containers, or in `local`. `allowed` are further names; `*.example.org` stands
    for all below it, `*` for any.
    """

    def __init__(self, allowed: Sequence[str], *, listening: str) -> None:
        self._any = ANY in allowed
        self._names = {"localhost", listening.lower(), *(name for name in allowed if not name.startswith(ANY))}
        self._below = (".localhost", *(name.removeprefix(ANY) for name in allowed if name.startswith("*.")))
        self._is_open = not is_loopback(listening)

    def has(self, authority: str) -> bool:
        """Whether `authority` (`name`, `name:port`, `[address]:port`) is one of them."""
        if self._any:
            return True
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            return False
        name = found[1].lower()
        if name in self._names or name.endswith(self._below) or _address(name):
            return True
        return self._is_open and ("." not in name or name.endswith(".local"))


def is_loopback(host: str) -> bool:
    """Whether what listens on this name or address can be reached from this machine alone."""
    address = _address(host)
    return address.is_loopback if address else host.lower() == "localhost"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


class Origins:
    """Answers 421 to a host that is not one of `hosts`, and 403 to a page of an origin that is not `allowed`.

    Of the latter only what may change something is refused: without CORS its page cannot read any answer.
    """

    def __init__(self, app: ASGIApp, *, hosts: Hosts, allowed: Sequence[str]) -> None:
        self._app, self._hosts, self._allowed = app, hosts, frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._error(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        if error:
            await Problem.of(error).response(Request(scope))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _error(self, method: str, headers: Headers) -> Exception | None:
        for host in headers.getlist("host"):  # none at all is an old probe's way, and no browser's
            if host and not self._hosts.has(host):
                return UnknownHostError(host)
        preflight = method == "OPTIONS" and "access-control-request-method" in headers
        if (preflight or method not in _READING) and self._is_foreign(headers):
            return ForeignOriginError(headers.get("origin", ""))
        return None

    def _is_foreign(self, headers: Headers) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if ANY in self._allowed or (origin is not None and origin in self._allowed):
            return False
        if site is not None:
            return site not in {"same-origin", "none"}
        # Browsers that are old, or see no TLS: not the scheme, since a proxy may end TLS before us.
        return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()


def cors(app: ASGIApp, allowed: Sequence[str]) -> CORSMiddleware:
    """Lets pages of these origins ask and read; without cookies, of which the service has none."""
    return CORSMiddleware(
        app,
        allow_origins=tuple(allowed),
        allow_methods=("GET", "HEAD", "POST", "DELETE"),
        allow_headers=_SENT,
        expose_headers=_READ,
        allow_private_network=True,
    )
