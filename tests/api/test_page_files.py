"""The page's files: what names them, how long they may be kept, and how few questions a browser has to ask."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.page_files import PageFiles
from tests.support.paths import ROOT

PAGE = ROOT / "app" / "web" / "page"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "views").mkdir()
    for name, text in {
        "index.html": '<script id="views">{views}</script><script src="/page/app.js"></script><!-- modules -->',
        "app.js": 'import { a } from "./a.js";\nconst bring = async () => await import("./views/one.js");\n',
        "a.js": 'export { b } from "./b.mjs";\n',
        "b.mjs": 'import{c as d}from"./c.mjs";',
        "c.mjs": "export const c = 1;",
        "views/one.js": 'import { a } from "../a.js";\nimport { two } from "./two.js";\n',
        "views/two.js": "export const two = 2;\n",
        "dot.webp": "a picture",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def page(folder: Path) -> TestClient:
    app, files = FastAPI(), PageFiles(folder, {"X-Own": "yes"})
    app.add_api_route("/", files.home)
    app.mount("/page", files)
    return TestClient(app)


def edition(page: TestClient) -> str:
    found = re.search(r"/page/(\w{16})/app\.js", page.get("/").text)
    assert found
    return found[1]


def test_the_page_names_all_that_it_will_run(page: TestClient) -> None:
    text = page.get("/").text
    named = re.findall(r'modulepreload" href="/page/\w{16}/([^"]+)"', text)
    assert named == ["app.js", "a.js", "b.mjs", "c.mjs"]
    assert '{"views/one.js":["views/one.js","views/two.js"]}' in text


def test_what_lies_under_its_digest_is_kept_and_all_else_is_asked_for_again(page: TestClient) -> None:
    digest = edition(page)
    kept, plain, other = (page.get(f"/page/{at}a.js") for at in (f"{digest}/", "", "0123456789abcdef/"))
    assert kept.text == plain.text == other.text
    assert "immutable" in kept.headers["Cache-Control"]
    for answer in (page.get("/"), plain, other):
        assert answer.headers["Cache-Control"] == "no-cache"
        same = {"If-None-Match": answer.headers["ETag"]}
        again = page.get(answer.request.url.path, headers=same)
        assert (again.status_code, again.content) == (304, b"")


def test_a_changed_file_has_another_address(page: TestClient, folder: Path) -> None:
    before = edition(page)
    assert edition(page) == before
    (folder / "a.js").write_text('export { c } from "./c.mjs"; // and no b')
    after = edition(page)
    assert after != before
    assert page.get(f"/page/{after}/a.js").text.endswith("no b")
    assert page.get(f"/page/{before}/a.js").headers["Cache-Control"] == "no-cache"
    assert "b.mjs" not in page.get("/").text


def test_texts_are_packed_for_whoever_unpacks_them(page: TestClient) -> None:
    packed = page.get("/page/b.mjs")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Content-Type"].startswith("text/javascript")
    assert packed.headers["X-Own"] == "yes"
    as_it_is = page.get("/page/b.mjs", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in as_it_is.headers
    assert as_it_is.text == packed.text
    assert "Content-Encoding" not in page.get("/page/dot.webp").headers


def test_nothing_else_is_there(page: TestClient) -> None:
    for path in ("/page/", "/page/none.js", "/page/../conftest.py", "/page/%2e%2e/conftest.py", "/page/views"):
        assert page.get(path).status_code == 404, path
    assert page.post("/page/a.js").status_code == 405
    head = page.head("/page/a.js")
    assert (head.status_code, head.content) == (200, b"")


def test_the_page_that_ships_leaves_no_module_to_be_found_late(client: TestClient) -> None:
    """Every module of the folder is named by the page itself, under the shell or under a view."""
    text = client.get("/").text
    curve = {"vendor/uplot.mjs"}  # comes with the first curve
    modules = {path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.suffix in {".js", ".mjs"}}
    assert {name for name in modules - curve - {"boot.js"} if f'{name}"' not in text} == set()
