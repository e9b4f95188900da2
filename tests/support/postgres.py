from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.postgres import Postgres


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Skips where there is none to start."""
    try:
        server = Postgres()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield server
    server.remove()
