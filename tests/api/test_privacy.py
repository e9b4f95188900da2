from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.privacy import kept, table
from app.settings import Settings
from tests.support.paths import ROOT


def told(settings: Settings, language: str = "en") -> str:
    return "\n".join(f"{one.what} {one.where} {one.how_long} {one.who}" for one in kept(settings, language))


def test_it_is_told_in_the_language_that_is_wanted(client: TestClient) -> None:
    english = client.get("/v1/privacy").json()
    turkish = client.get("/v1/privacy", headers={"Accept-Language": "tr-TR,en;q=0.5"}).json()
    assert (english["lang"], turkish["lang"]) == ("en", "tr")
    assert len(english["data"]) == len(turkish["data"])
    assert "görüntü" in turkish["data"][0]["what"]
    assert client.get("/v1/privacy?lang=tr").json() == turkish


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"jobs_keep_days": 30}, "30 days"),
        ({"keep_uploads": 48}, "48 hours"),
        ({}, "until the job has ended"),
        ({"files_url": "s3://secret-bucket"}, "the store of files"),
        ({"database_url": "postgresql://secret-host/jobs"}, "the database that the service is connected to"),
        ({"api_keys": Path("/secret/keys.json")}, "the key that made them, and admins"),
        ({}, "whoever knows the number"),
    ],
)
def test_it_says_what_the_settings_say_and_names_no_place(changes: dict[str, Any], said: str) -> None:
    text = told(replace(Settings(), **changes))
    assert said in text
    assert "secret" not in text
    assert "{" not in told(replace(Settings(), **changes), "tr").replace("{id}", "").replace("{name}", "")


def test_the_pages_have_the_same_table() -> None:
    assert table(Settings(), "en") in (ROOT / "docs/operations.md").read_text(encoding="utf-8")
