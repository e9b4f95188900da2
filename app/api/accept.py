"""The Accept headers of HTTP (RFC 9110, 12.5), read in one place."""

from collections.abc import Sequence
from contextlib import suppress

from app.api.errors import NotAcceptableError


def accepted(accept: str, offered: Sequence[str]) -> str:
    """The media type among the offered ones that an Accept header likes best, of equally liked ones the first.

    Raises `NotAcceptableError` if none will do.
    """
    if not accept.strip():
        return offered[0]
    likings = {media: _liking(accept, media) for media in offered}
    best = max(offered, key=lambda media: likings[media])
    if likings[best] <= 0:
        raise NotAcceptableError(
            f"This path answers in {', '.join(offered)}, and the Accept header has only {accept!r}."
        )
    return best


def quality(parameters: str) -> float:
    """The `q` among the parameters of a choice; 1 without, or if it is no number."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            with suppress(ValueError):
                return float(value)
    return 1.0


def _liking(accept: str, media: str) -> float:
    """The quality that the most specific range of the header gives to a media type (RFC 9110, 12.5.1)."""
    found: tuple[int, float] = (0, 0.0)
    for choice in accept.split(","):
        name, _, parameters = choice.partition(";")
        ranges = {"*/*": 1, f"{media.partition('/')[0]}/*": 2, media: 3}
        specific = ranges.get(name.strip().lower(), 0)
        if specific > found[0]:
            found = specific, quality(parameters)
    return found[1]
