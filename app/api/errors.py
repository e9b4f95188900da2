"""What only the API can find wrong with a request."""

from typing import Self

from pydantic import ValidationError


class ModelLoadingError(RuntimeError):
    """The default model is not there yet."""


class BodyTooLargeError(ValueError):
    """More bytes than a request, or a picture in it, may have."""


class BodyTimeoutError(TimeoutError):
    """The client stopped sending in the middle of a body."""


class MalformedRequestError(ValueError):
    """A body that cannot be taken apart."""


class JobsUnavailableError(RuntimeError):
    """The queue of the jobs cannot be reached."""


class UploadsFullError(RuntimeError):
    """So many archives are being received that another must wait."""


class UnknownFileError(LookupError):
    """A job left no file of this name."""


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
        return cls(f"/body/{where}", f"{where}: {first['msg']}")


class NotAcceptableError(ValueError):
    """Every form of the answer is excluded by the Accept header."""
