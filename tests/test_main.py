"""What the application does when a part of it cannot be opened."""

import asyncio
import logging

import pytest
from sqlalchemy.exc import OperationalError

from app import main
from app.api.dependencies import JobDesk
from app.jobs.outage import Outage
from app.settings import Settings


def test_the_queue_is_tried_again_while_its_database_is_away_and_not_after_a_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = [OperationalError("", None, Exception("away")), OSError("no route"), ImportError("dbos")]

    def open_desk(_settings: Settings, _outage: Outage) -> JobDesk:
        raise errors.pop(0)

    monkeypatch.setattr(main, "job_desk_for", open_desk)
    monkeypatch.setattr(main, "_AGAIN_S", 0.0)
    outage = Outage()
    with caplog.at_level(logging.WARNING), pytest.raises(ImportError, match="dbos"):
        asyncio.run(main._open_jobs(Settings(), outage))
    assert errors == []
    assert outage.lasts
    assert caplog.text.count("cannot be reached (away)") == 1
