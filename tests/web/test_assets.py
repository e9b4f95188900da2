"""What the page is made of: small, complete, and what it borrows is what its makers published."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGE = ROOT / "app" / "web" / "page"
VENDOR = PAGE / "vendor"
CATALOGUES = {name: json.loads((PAGE / "words" / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "tr")}
OURS = [path for path in sorted(PAGE.rglob("*")) if path.suffix in {".js", ".css"} and VENDOR not in path.parents]


@pytest.mark.parametrize("folder", [VENDOR, Path(__file__).parent / "vendor"], ids=["page", "tests"])
def test_borrowed_files_are_as_the_manifest_says(folder: Path) -> None:
    packages = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["packages"]
    listed = {name: digest for one in packages for name, digest in one["files"].items()}
    licences = {one["licence_file"] for one in packages}
    assert {path.name for path in folder.iterdir()} == {*listed, *licences, "manifest.json"}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    for one in packages:
        assert one["integrity"].startswith("sha512-")
        assert one["licence"] in {"MIT", "Apache-2.0", "MPL-2.0"}


def with_imports(module: Path) -> set[Path]:
    """The module and whatever it cannot run without; a view that is brought on demand is not."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in found or VENDOR in path.parents:
            continue
        found.add(path)
        names = re.findall(
            r'^(?:import|export) [^"\n]* from "([^"]+)";', path.read_text(encoding="utf-8"), re.MULTILINE
        )
        waiting += [(path.parent / name).resolve() for name in names]
    return found


ON_DEMAND = re.findall(r'import\("\./([\w/]+\.js)"\)', (PAGE / "app.js").read_text(encoding="utf-8"))


@pytest.mark.parametrize("view", ON_DEMAND)
def test_a_view_is_small(view: str) -> None:
    """All of our JavaScript and CSS that a reader loads who opens this view, as it lies here."""
    modules = with_imports(PAGE / "app.js") | with_imports(PAGE / view) | {PAGE / "boot.js"}
    assert sum(path.stat().st_size for path in {*modules, *PAGE.glob("*.css")}) <= 150_000


def test_the_page_stays_small() -> None:
    borrowed = sum(path.stat().st_size for path in VENDOR.iterdir() if path.suffix in {".js", ".mjs", ".css"})
    assert borrowed <= 80_000
    assert sum(path.stat().st_size for path in OURS) <= 252_000  # six views, of which a reader loads what is opened
    packed = sum(len(gzip.compress(path.read_bytes())) for path in OURS)
    assert packed <= 94_000


def test_every_module_belongs_to_a_view() -> None:
    assert len(ON_DEMAND) == 9  # six views, the link of a job, the camera, and the dialog that asks for a key
    reached = {PAGE / "boot.js", *with_imports(PAGE / "app.js")}.union(
        *(with_imports(PAGE / view) for view in ON_DEMAND)
    )
    assert {path for path in OURS if path.suffix == ".js"} == reached


def test_no_file_of_the_page_is_long() -> None:
    assert {path.name for path in OURS if len(path.read_text(encoding="utf-8").splitlines()) > 300} == set()


def test_the_catalogues_have_the_same_keys_and_places() -> None:
    english, turkish = CATALOGUES["en"], CATALOGUES["tr"]
    assert list(english) == list(turkish)
    for key, words in english.items():
        places = set(re.findall(r"\{(\w+)\}", words)) - {"a"}  # the article, which Turkish has none of
        assert set(re.findall(r"\{(\w+)\}", turkish[key])) == places, key


def test_every_word_is_used_and_every_use_has_its_words() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in OURS if path.suffix == ".js")
    keys = set(CATALOGUES["en"])
    used = set(re.findall(r'\b(?:t|rich)\("([^"]+)"', source))
    assert used <= keys
    quoted = set(re.findall(r'"([\w.-]+)"', source))
    patterns = [
        re.compile(re.sub(r"\\\$\\\{.*?\\\}", r"[\\w.-]+", re.escape(template)) + "$")
        for template in re.findall(r"\b(?:t|rich)\(`([^`]+)`", source)
    ]
    unused = {key for key in keys if key not in quoted and not any(one.match(key) for one in patterns)}
    assert unused == set()
