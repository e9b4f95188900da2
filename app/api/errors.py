"""What only the API can find wrong with a request."""

from collections.abc import Sequence
from typing import Final, Self

from pydantic import ValidationError

from app.api.sentences import sentence_of

_SHOWN: Final = 100
"""Letters of a name from a header."""


class ModelLoadingError(RuntimeError):
    """The default model is not there yet."""


class BodyTooLargeError(ValueError):
    """More bytes than a request, or a picture in it, may have."""


class BodyTimeoutError(TimeoutError):
    """The client stopped sending in the middle of a body."""


class MalformedRequestError(ValueError):
    """A body that cannot be taken apart."""


class UploadsFullError(RuntimeError):
    """So many archives are being received that another must wait."""


class UnknownFileError(LookupError):
    """A job left no file of this name."""


class UnknownHostError(LookupError):
    """The request is for a host that this service does not serve."""

    def __init__(self, host: str) -> None:
        super().__init__(f"This service does not answer for the host {_shown(host)}.")


class ForeignOriginError(PermissionError):
    """A page of another origin wants to change something."""

    def __init__(self, origin: str) -> None:
        super().__init__(f"Pages of {_shown(origin) if origin else 'another origin'} may change nothing here.")


class UnauthorizedError(PermissionError):
    """No key, or one that is not known: RFC 6750 has what the answer's header says."""

    def __init__(self, message: str, *, is_wrong: bool = False) -> None:
        super().__init__(message)
        self.headers = {"WWW-Authenticate": 'Bearer realm="inkblot"' + (', error="invalid_token"' if is_wrong else "")}


class MissingScopeError(PermissionError):
    """The key is one, but not for this."""

    def __init__(self, name: str, scopes: Sequence[str]) -> None:
        super().__init__(f"The key {name} may not do this: it takes the scope {' or '.join(scopes)}.")
        wanted = " ".join(scopes)
        self.headers = {"WWW-Authenticate": f'Bearer realm="inkblot", error="insufficient_scope", scope="{wanted}"'}


class ProtectedModelError(PermissionError):
    """It was taught by an admin, or before there were keys: everybody may use it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The model {name!r} is for everybody; only an admin may change or delete it.")


class UnknownPathError(LookupError):
    """Nothing is there for this key."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{_shown(path)}: nothing is here.")


class RateLimitedError(RuntimeError):
    """A key has done so much that it must wait."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ChoiceError(ValueError):
    """A choice that cannot be, found out only with the model at hand; `pointer` says which."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer

    @classmethod
    def of(cls, error: ValidationError) -> Self:
        """The first fault of a body that a route read itself."""
        first = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"]))
        told = sentence_of(first)
        return cls(f"/body/{where}", f"{where}: {told}" if where else told)


class NotAcceptableError(ValueError):
    """Every form of the answer is excluded by the Accept header."""


class WeightsNotHereError(LookupError):
    """No model can be taught on this backbone until somebody brings its weights."""

    def __init__(self, backbone: str) -> None:
        super().__init__(
            f"The weights of {backbone} are missing here. Where the service runs, `inkblot weights get {backbone}` "
            "brings them; it needs no restart."
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
