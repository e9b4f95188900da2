"""Clients that go away in their hundreds cost those who stay nothing."""

import asyncio
from pathlib import Path

import pytest

from benchmarks.abandoned import flood
from benchmarks.servers import OURS, running


@pytest.mark.slow
@pytest.mark.parametrize("multipart", [False, True], ids=["raw", "multipart"])
def test_whoever_is_patient_is_answered_beside_and_after_a_flood_of_abandoned_requests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, multipart: bool
) -> None:
    """Those that are there at one time have places in the queue; all that come one after the other have not."""
    for name, value in {"ENGINE": "torch", "THREADS": "1", "MAX_QUEUE": "40"}.items():
        monkeypatch.setenv(f"INKBLOT_{name}", value)
    with running(OURS, tmp_path) as (_, port, _):
        outcomes = asyncio.run(flood(port, 400, 30, multipart=multipart, clients=6, leaving=30))
    for outcome in outcomes:
        assert len(outcome.answers) >= 30
        assert {answer.status for answer in outcome.answers} == {200}
