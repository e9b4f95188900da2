"""What the application does when a part of it cannot be opened."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
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


@pytest.mark.parametrize(
    ("proxies", "connects", "client"),
    [
        ((), "127.0.0.1", "127.0.0.1"),
        (("10.0.0.0/8",), "127.0.0.1", "127.0.0.1"),
        (("10.0.0.0/8",), "10.1.2.3", "6.6.6.6"),
        (("10.1.2.3/32", "127.0.0.1/32"), "10.1.2.3", "6.6.6.6"),
        (("10.1.2.3/32",), "10.1.2.4", "10.1.2.4"),
    ],
)
def test_only_proxies_that_a_setting_names_are_believed_who_a_client_is(
    monkeypatch: pytest.MonkeyPatch, proxies: tuple[str, ...], connects: str, client: str
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own variable is no setting of ours
    seen: list[str] = []

    async def application(scope: Any, *_: Any) -> None:
        seen.append(scope["client"][0])

    config = uvicorn.Config(application, interface="asgi3", **main.trust(replace(Settings(), trusted_proxies=proxies)))
    config.load()
    headers = [(b"x-forwarded-for", b"6.6.6.6")]
    scope: Any = {"type": "http", "client": (connects, 1), "headers": headers, "scheme": "http"}
    asyncio.run(config.loaded_app(scope, None, None))
    assert seen == [client]
