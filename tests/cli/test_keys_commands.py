import json
import os
from pathlib import Path

import pytest

from app.keys import KeyRing
from tests.support.commands import run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_shown_once_alone_on_standard_output(file: Path) -> None:
    code, shown, errors = run("keys", "add", "ayse", "--scope", "predict", "--scope", "jobs", "--file", str(file))
    assert code == 0
    secret = shown.strip()
    found = KeyRing(file).find(secret)
    assert found
    assert (found.name, sorted(found.scopes)) == ("ayse", ["jobs", "predict"])
    assert secret not in errors, "not in the line of the audit"
    line = json.loads(next(one for one in errors.splitlines() if one.startswith("{")))
    assert (line["logger"], line["action"], line["key"]) == ("inkblot.audit", "add-key", "ayse")
    assert secret not in file.read_text()
    code, shown, _ = run("keys", "list", "--file", str(file), "--json")
    assert code == 0
    assert [(one["name"], one["scopes"]) for one in json.loads(shown)] == [("ayse", ["predict", "jobs"])]
    assert found.digest not in shown


def test_a_key_that_is_removed_opens_nothing(file: Path) -> None:
    secret = run("keys", "add", "ayse", "--scope", "admin", "--file", str(file))[1].strip()
    ring = KeyRing(file)
    code, _, errors = run("keys", "remove", "ayse", "--file", str(file))
    assert (code, ring.find(secret)) == (0, None)
    assert "remove-key" in errors
    code, _, errors = run("keys", "remove", "ayse", "--file", str(file))
    assert (code, "no key of the name ayse" in errors) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ayse", "--scope", "root"), "no scope 'root'"),
        (("Ayşe", "--scope", "jobs"), "cannot be called"),
        (("there", "--scope", "jobs"), "already"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(file: Path, arguments: tuple[str, ...], said: str) -> None:
    run("keys", "add", "there", "--scope", "jobs", "--file", str(file))
    before = file.read_bytes()
    code, shown, errors = run("keys", "add", *arguments, "--file", str(file))
    assert (code, shown) == (1, "")
    assert said in errors
    assert "audit" not in errors
    assert file.read_bytes() == before


def test_the_file_is_the_services(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("keys", "add", "ayse", "--scope", "jobs")[0] == 2
    monkeypatch.setitem(os.environ, "INKBLOT_API_KEYS", str(file))
    assert run("keys", "add", "ayse", "--scope", "jobs")[0] == 0
    assert file.exists()


def test_a_class_gets_short_keys_with_links_and_names_that_are_free(file: Path) -> None:
    run("keys", "add", "student-02", "--scope", "admin", "--file", str(file))
    code, shown, _ = run("keys", "class", "30", "--url", "http://10.0.0.7:8000/", "--file", str(file))
    assert code == 0
    rows = [line.split("\t") for line in shown.splitlines()]
    assert [name for name, *_ in rows] == [f"student-{number:02}" for number in (1, *range(3, 32))]
    ring = KeyRing(file)
    for name, secret, link in rows:
        assert link == f"http://10.0.0.7:8000/#key={secret}"
        found = ring.find(secret)
        assert found
        assert (found.name, sorted(found.scopes)) == (name, ["jobs", "predict", "teach"])


def test_a_class_can_be_printed(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "keys.html"
    code, shown, _ = run("keys", "class", "3", "--prefix", "kedi", "--html", str(page), "--file", str(file))
    assert (code, shown) == (0, "")
    text = page.read_text()
    assert text.count("<section>") == 3
    assert "kedi-03" in text
    assert page.stat().st_mode & 0o077 == 0, "secrets are in it"
