"""What every request and its answer get, whoever gives it: an id, a clock, safety headers, a line of the log."""

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.logs import REQUEST_ID

log = logging.getLogger(__name__)

Observe = Callable[[str, str | None, str | None, int, float], None]
_SANE_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_numbers: Final = random.Random()  # noqa: S311 -- tells requests apart, and protects nothing
_PROBES: Final = {"/healthz", "/readyz"}


class Exchange:
    """Puts `request_id` and `began` into the request's state; `headers` are those of every answer that lacks them.

    The client's own X-Request-Id is kept if it is a sane one. The log says which route was asked, never with what: a
    path or a query may hold what is nobody's business. A probe that went well is told only at the level debug.
    """

    def __init__(self, app: ASGIApp, *, headers: Mapping[str, str], observe: Observe | None = None) -> None:
        """`observe` is told of each answer, when it begins: method, route, model, status and seconds."""
        self._app, self._headers, self._observe = app, headers, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else new_request_id()
        began = time.perf_counter()
        scope.setdefault("state", {}).update(request_id=request_id, began=began)
        REQUEST_ID.set(request_id)  # not set back: the server may have to tell why the request, its task, broke off
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                outgoing = MutableHeaders(scope=message)
                outgoing["X-Request-Id"] = request_id
                for name, value in self._headers.items():
                    outgoing.setdefault(name, value)
                if self._observe:
                    route = _template(scope)
                    seconds = time.perf_counter() - began
                    self._observe(scope["method"], route, _model(scope, route, status), status or 0, seconds)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            _tell(scope, status, (time.perf_counter() - began) * 1e3)


def safety_headers(*, embeddable: bool) -> dict[str, str]:
    """For every answer. Unless they are `embeddable`, pages of other origins cannot show the pictures that lie here."""
    return {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "cross-origin" if embeddable else "same-origin",
    }


def new_request_id() -> str:
    """No secret, so not from the system: a call to it gives Python's lock away, and the event loop waits for it."""
    return f"{_numbers.getrandbits(128):032x}"


def _tell(scope: Scope, status: int | None, milliseconds: float) -> None:
    """`status` is None if the client went away before there was an answer."""
    route = _template(scope)
    level = logging.DEBUG if status == 200 and route in _PROBES else logging.INFO
    if not log.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        "method": scope["method"],
        "route": route,
        "status": status,
        "ms": round(milliseconds, 1),
        "model": _model(scope, route, status),
        "problem": scope["state"].get("problem"),
    }
    shown = (part for part in (fields["model"], fields["problem"]) if part)
    text = " ".join((fields["method"], route or "-", str(status or "-"), f"{milliseconds:.1f} ms", *shown))
    log.log(level, text, extra={"fields": {name: value for name, value in fields.items() if value is not None}})


def tell_refusal(request_id: str, status: int, problem: str) -> None:
    """The line of what was no whole request, and never came here."""
    fields = {"status": status, "problem": problem}
    log.info("- - %d %s", status, problem, extra={"request_id": request_id, "fields": fields})


def _template(scope: Scope) -> str | None:
    """The path as its route has it; `route` of FastAPI's scope lacks the prefix with which its router was included."""
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(route, "path", None)


def _model(scope: Scope, route: str | None, status: int | None) -> str | None:
    """What the route says that it used, or what its path names, if there is such a model."""
    found: str | None = scope["state"].get("model")
    if found is None and status and status < 400 and route and "/models/{name}" in route:
        found = scope["path_params"]["name"]
    return found
