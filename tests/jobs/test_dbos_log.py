import logging
from collections.abc import Iterator

import pytest

from app.jobs.dbos_log import quieten
from app.jobs.outage import Outage


@pytest.fixture
def theirs() -> Iterator[logging.Logger]:
    """DBOS's logger as DBOS leaves it: with a handler of its own, and nothing for ours."""
    logger = logging.getLogger("dbos")
    before = logger.handlers[:], logger.propagate, logger.filters[:], logger.level
    logger.addHandler(logging.StreamHandler())
    logger.propagate = False
    yield logger
    logger.handlers, logger.propagate, logger.filters = before[0], before[1], before[2]
    logger.setLevel(before[3])


def test_what_dbos_tells_goes_through_our_log_but_for_what_is_told_otherwise(
    theirs: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage()
    quieten(outage)
    assert theirs.handlers == []
    theirs.warning("Exception encountered in queue thread: (psycopg.OperationalError) server closed [SQL: SELECT …]")
    theirs.warning("Notification listener error: consuming input failed")
    theirs.warning("Something else")
    outage.failed(OSError("away"))
    theirs.warning("Something else, in an outage")
    assert [record.getMessage() for record in caplog.records if record.name == "dbos"] == ["Something else"]
