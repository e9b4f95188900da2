"""The address that a service wants to listen on, and who may use what listens there."""

import socket

from app.api.origins import is_loopback
from app.keys import KeyFileError, KeyRing
from app.process.places import CannotServeError
from app.settings import Settings


def probe_address(settings: Settings) -> None:
    """Raises `OSError` if the service could not listen there: taken, not allowed, or no address of this machine."""
    family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def check_open(settings: Settings) -> None:
    """Raises `CannotServeError` if others could reach the service, nobody needs a key, and nobody said that it is so.

    And if there are to be keys, but not in the file that is named.
    """
    if settings.api_keys:
        try:
            KeyRing(settings.api_keys)
        except KeyFileError as error:
            raise CannotServeError(
                f"INKBLOT_API_KEYS: {error} `inkblot keys add NAME --scope admin` makes it, with a key in it."
            ) from None
    elif settings.open != "yes" and not is_loopback(settings.host):
        raise CannotServeError(
            f"{settings.host} can be reached from other machines, and without keys everybody there may use this "
            "service. Make keys (`inkblot keys add NAME --scope admin --file keys.json`) and set "
            "INKBLOT_API_KEYS=keys.json; or listen on this machine alone (INKBLOT_HOST=127.0.0.1); or set "
            "INKBLOT_OPEN=yes, where only people who may use it can reach it."
        )
