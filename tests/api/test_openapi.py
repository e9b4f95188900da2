import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.client import Client
from app.main import create_app
from app.settings import Settings
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

SNAPSHOT = ROOT / "tests/api/openapi.json"


def test_the_contract_has_not_changed_unnoticed(client: TestClient) -> None:
    """After a change that is meant: `.venv/bin/python -m tests.api.test_openapi`."""
    assert client.get("/openapi.json").json() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tidied(server: str) -> Iterator[str]:
    """Cancels in the end what the random requests asked for."""
    yield server
    with Client(server) as client:
        for job in client.jobs(limit=100):
            client.cancel(job["id"])


schema = schemathesis.openapi.from_dict(json.loads(SNAPSHOT.read_text(encoding="utf-8")))


# Archives have no serializer, and are tested where models are taught.
@pytest.mark.filterwarnings("ignore:Skipped test cases with unsupported payload media types:UserWarning")
@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_contract_names(case: "schemathesis.Case[Any]", tidied: str) -> None:
    # Random bytes fit the schema of a picture, and are rightly refused.
    # A busy machine takes half a minute to export.
    case.call_and_validate(base_url=tidied, timeout=120, excluded_checks=[positive_data_acceptance])


if __name__ == "__main__":
    text = json.dumps(create_app(Settings()).openapi(), indent=1, ensure_ascii=False, sort_keys=True)
    SNAPSHOT.write_text(text + "\n", encoding="utf-8")
