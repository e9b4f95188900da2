"""Where a service is, and what goes wrong on the way to it."""

import os
import ssl
from typing import Any, Final

import httpx2

from app.client.errors import NoServerError, reason_of
from app.client.patience import PATIENCE_S

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_CONNECT_S: Final = 5.0
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}


def options(base_url: str | None, key: str | None = None) -> dict[str, Any]:
    """Of an httpx2 client for the service there; None is what INKBLOT_URL names, or this machine, and INKBLOT_KEY.

    Raises `NoServerError` if it is no address.
    """
    wanted = base_url if base_url is not None else os.environ.get("INKBLOT_URL") or DEFAULT_URL
    try:
        url = httpx2.URL(wanted)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise NoServerError(f"{wanted!r} is no address of a service; one looks like {DEFAULT_URL}.")
    secret = key if key is not None else os.environ.get("INKBLOT_KEY", "")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise NoServerError("The key has letters that no key has: INKBLOT_KEY is to be one as it was shown.")
    alone = url.host in _LOOPBACK
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {secret}"} if secret else {},
        "timeout": httpx2.Timeout(PATIENCE_S, connect=_CONNECT_S),
        "trust_env": not alone,  # a proxy would look for the service on its own machine
        # Certificates that nothing will ask for took a tenth of a command's time to read. Without any, none is trusted.
        "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if alone and url.scheme == "http" else True,
    }


def origin(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def not_reached(request: httpx2.Request, error: httpx2.RequestError) -> NoServerError:
    """What to tell of a request that got no answer."""
    where = origin(request.url)
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return NoServerError(
            f"No Inkblot answers at {where}. "
            "Start one with `inkblot serve` or `make serve`, or name another with --server."
        )
    return NoServerError(f"{where} did not answer: {reason_of(error)}.")
