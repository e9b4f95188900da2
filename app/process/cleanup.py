"""What processes that were killed have left behind in the data folder."""

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.settings import Settings

log = logging.getLogger(__name__)

_OLD_S: Final = 3600.0
"""What is younger may belong to a process that is alive."""


def sweep(settings: Settings) -> None:
    """Delete archives that were being received, and drafts of models and of other files that nobody will finish."""
    for path in _drafts(settings):
        try:
            if time.time() - path.stat().st_mtime < _OLD_S:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:  # another process was quicker, or it is not ours
            log.info("%s stays: %s", path, error)


def _drafts(settings: Settings) -> Iterator[Path]:
    cache = settings.data_dir / "cache"
    yield from (settings.data_dir / "uploads").glob("*.zip")
    yield from (cache / "exports").glob("tmp*")
    for folder in (cache, settings.trained_dir):
        yield from folder.glob(".draft-*")
    yield from settings.trained_dir.glob(".deleted-*")
