"""Who changed what, for whoever must be able to say so later: one line of JSON each, by the logger `inkblot.audit`."""

import logging
from typing import Final

AUDIT: Final = "inkblot.audit"


def tell(action: str, by: str, **what: object) -> None:
    """Never with a secret, nor with what a picture is called."""
    logging.getLogger(AUDIT).info("%s by %s", action, by, extra={"fields": {"action": action, "by": by, **what}})
