"""What lies in the data folder, pictures of people above all, is for the user who runs the service alone."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.settings import Settings

log = logging.getLogger(__name__)

_OTHERS: Final = 0o077


def write_privately() -> None:
    """Let this process, and those that it starts, make folders of mode 0700 and files of 0600; SQLite's, too."""
    os.umask(_OTHERS)


def close_to_others(settings: Settings) -> None:
    """Take from others what an earlier version let them read; the data folder itself is not ours if it was there."""
    for path in _ours(settings.data_dir):
        try:
            mode = path.stat().st_mode
            if mode & _OTHERS:
                path.chmod(mode & ~_OTHERS)
        except FileNotFoundError:  # not made yet, or SQLite's own, which comes and goes
            continue
        except OSError as error:
            log.warning("Others may read %s: %s", path, error)


def _ours(folder: Path) -> Iterator[Path]:
    """Nobody reaches what lies in a folder that is closed."""
    yield from (folder / name for name in ("cache", "files", "models", "uploads"))
    yield from folder.glob("jobs.sqlite*")
