"""Lets in who has a key: who asks, whether that is theirs to ask, and how often and how much they do."""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.access import is_known, scopes_of
from app.api.bodies import declared_length
from app.api.errors import MissingScopeError, RateLimitedError, UnauthorizedError, UnknownPathError
from app.api.problems import Problem
from app.keys import Key, KeyRing

_BEARER: Final = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
MINUTE_S: Final = 60
DAY_S: Final = 24 * 60 * 60


@dataclass
class Quota:
    """So much in a window, which begins with its first use."""

    name: str
    limit: int
    window_s: int
    unit: str
    used: int = 0
    began: float = -math.inf

    def left(self, now: float) -> int:
        if now - self.began >= self.window_s:
            self.began, self.used = now, 0
        return max(0, self.limit - self.used)

    def resets_s(self, now: float) -> int:
        return max(1, math.ceil(self.began + self.window_s - now))


@dataclass(frozen=True)
class KeyLimits:
    """0 is no limit."""

    requests_a_minute: int
    bytes_a_day: int

    def quotas(self) -> dict[str, Quota]:
        every = (
            Quota("requests", self.requests_a_minute, MINUTE_S, "requests"),
            Quota("upload", self.bytes_a_day, DAY_S, "content-bytes"),
        )
        return {quota.name: quota for quota in every if quota.limit}


@dataclass
class _Visit:
    """What one key has used in this process, told in the fields of draft-ietf-httpapi-ratelimit-headers."""

    quotas: Mapping[str, Quota]
    clock: Callable[[], float]

    def enter(self, declared: int) -> None:
        """Raises `RateLimitedError`; then it is not counted."""
        self._check("requests", 1)
        if declared:
            self._check("upload", declared)
        if "requests" in self.quotas:
            self.quotas["requests"].used += 1

    def take(self, size: int) -> None:
        """Bytes that have come; raises `RateLimitedError` of those that are too many, though nobody announced them."""
        if size and "upload" in self.quotas:
            self._check("upload", size)
            self.quotas["upload"].used += size

    def _check(self, name: str, wanted: int) -> None:
        quota = self.quotas.get(name)
        if quota and quota.left(self.clock()) < wanted:
            raise RateLimitedError(
                f"This key has used its {quota.limit:,} {_WORDS[name]}.", quota.resets_s(self.clock())
            )

    def fields(self) -> dict[str, str]:
        now, quotas = self.clock(), self.quotas.values()
        if not quotas:
            return {}
        policies = (f'"{one.name}";q={one.limit};w={one.window_s};qu="{one.unit}"' for one in quotas)
        states = (f'"{one.name}";r={one.left(now)};t={one.resets_s(now)}' for one in quotas)
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}


_WORDS: Final = {"requests": "requests of this minute", "upload": "bytes of this day"}


@dataclass
class Doors:
    """Puts `key` into the request's state, or answers 401, 403 or 429.

    Each process counts by itself: behind two services a key has twice as much.
    """

    app: ASGIApp
    keys: KeyRing
    limits: KeyLimits
    clock: Callable[[], float] = time.monotonic
    _visits: dict[str, _Visit] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scopes = scopes_of(scope["method"], scope["path"]) if scope["type"] == "http" else ()
        if scopes == ():
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        visit: _Visit | None = None
        try:
            key = self._key(headers)
            visit = self._visit(key)
            visit.enter(declared_length(headers))
            _check(key, scopes, scope["path"])
            scope["state"]["key"] = key
            await self.app(scope, _counted(visit, receive), _telling(visit, send))
        except (UnauthorizedError, MissingScopeError, UnknownPathError, RateLimitedError) as error:
            # The last also of a body that was being read before any route had it.
            answer = Problem.of(error).response(Request(scope))
            await answer(scope, receive, _telling(visit, send) if visit else send)

    def _key(self, headers: Headers) -> Key:
        given = headers.get("authorization")
        if given is None:
            raise UnauthorizedError("This service wants a key: send `Authorization: Bearer …`.")
        found = _BEARER.fullmatch(given)
        key = self.keys.find(found[1]) if found else None
        if key is None:
            raise UnauthorizedError("This key is not known here.", is_wrong=True)
        return key

    def _visit(self, key: Key) -> _Visit:
        if key.name not in self._visits:
            self._visits[key.name] = _Visit(self.limits.quotas(), self.clock)
        return self._visits[key.name]


def _check(key: Key, scopes: Sequence[str] | None, path: str) -> None:
    """What nobody has decided does not exist for those who are no admins; another method of a known path is no path."""
    if scopes is None:
        if not key.is_admin and not is_known(path):
            raise UnknownPathError(path)
    elif not key.may(scopes):
        raise MissingScopeError(key.name, scopes)


def _counted(visit: _Visit, receive: Receive) -> Receive:
    async def counted() -> Message:
        message = await receive()
        visit.take(len(message.get("body", b"")))
        return message

    return counted


def _telling(visit: _Visit, send: Send) -> Send:
    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            outgoing = MutableHeaders(scope=message)
            for name, value in visit.fields().items():
                outgoing[name] = value
        await send(message)

    return telling
