"""Requests by hand, for what no HTTP client does."""

from typing import Any

from fastapi.testclient import TestClient


def archive_sent(service: TestClient, name: str, content_type: bytes) -> dict[str, Any]:
    """The scope of a POST /v1/models whose body the test deals out itself."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "root_path": "",
        "path": "/v1/models",
        "raw_path": b"/v1/models",
        "query_string": f"name={name}".encode(),
        "headers": [(b"content-type", content_type)],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": dict(service.app_state),
    }
