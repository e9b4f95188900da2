import re

from fastapi.testclient import TestClient


def test_the_root_is_the_page_under_the_strictest_policy(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert answer.headers["Cache-Control"] == "no-cache"
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert "trusted-types 'none'" in policy
    for path in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert client.get(path).status_code == 200, path


def test_modules_are_served_as_scripts_and_samples_as_pictures(client: TestClient) -> None:
    module = client.get("/page/vendor/preact.mjs")
    assert module.headers["Content-Type"].startswith("text/javascript")
    assert "script-src 'self';" in module.headers["Content-Security-Policy"]
    assert module.headers["Content-Encoding"] == "gzip"
    assert client.get("/samples/blot.png").headers["Content-Type"] == "image/png"
    assert client.get("/page/missing.js").status_code == 404


def test_the_documentation_works_offline_under_a_strict_policy(client: TestClient) -> None:
    page = client.get("/docs/")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    for path in ("/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/start.js"):
        assert path in page.text
        assert client.get(path).status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
