"""The address that a service wants to listen on."""

import socket

from app.settings import Settings


def probe_address(settings: Settings) -> None:
    """Raises `OSError` if the service could not listen there: taken, not allowed, or no address of this machine."""
    family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
