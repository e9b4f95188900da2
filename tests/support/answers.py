"""What the API answers about jobs and models."""

import json
from typing import Any

from fastapi.testclient import TestClient


def finished(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = client.get(job["links"]["self"], headers={"Prefer": "wait=60"}).json()
        if found["status"] not in {"queued", "running"}:
            return found


def events_of(text: str) -> list[dict[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def teach(client: TestClient, name: str, archive: bytes, **choices: str) -> dict[str, Any]:
    """The job when it has ended."""
    answer = client.post("/v1/models", params={"name": name, **choices}, content=archive)
    assert answer.status_code == 202, answer.text
    return finished(client, answer.json())


def label_of(client: TestClient, model: str, picture: bytes) -> str:
    answer = client.post("/v1/classify", params={"model": model}, content=picture)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["predictions"][0]["label"]
    return found
