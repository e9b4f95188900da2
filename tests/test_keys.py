import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.keys import Key, KeyFileError, KeyRing, changing_keys, long_secret, read_keys, short_secret
from tests.support.keys import secret_of, write_keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys.json")


def test_a_secret_finds_its_key_and_is_nowhere_in_the_file(file: Path) -> None:
    ring = KeyRing(file)
    found = ring.find(secret_of("ayse"))
    assert found
    assert found.name == "ayse"
    assert found.may(["teach"])
    assert not found.may(["admin"])
    assert ring.find("ink_nobody") is ring.find("") is None
    assert secret_of("ayse") not in file.read_text()


def test_admin_includes_all(file: Path) -> None:
    root = KeyRing(file).find(secret_of("root"))
    assert root
    assert all(root.may([scope]) for scope in ("predict", "jobs", "teach", "admin"))


def test_a_key_that_is_added_or_removed_is_so_at_the_next_request(file: Path, audited: list[dict[str, Any]]) -> None:
    ring = KeyRing(file)
    with changing_keys(file) as keys:
        del keys["bora"]
        keys["can"] = Key.made("can", "ink_can", ["jobs"])
    assert ring.find(secret_of("bora")) is None
    assert ring.find("ink_can")
    (fields,) = audited
    assert (fields["action"], fields["added"], fields["removed"]) == ("keys", ["can"], ["bora"])


def test_a_file_that_breaks_leaves_the_keys_as_they_were_and_one_that_is_gone_leaves_none(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = KeyRing(file)
    file.write_text('{"keys": [')
    assert ring.find(secret_of("ayse"))
    assert "The keys of before go on being valid" in caplog.text
    file.unlink()
    assert ring.find(secret_of("ayse")) is None


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"keys": [1]}',
        '{"keys": [{"name": "a"}]}',
        '{"keys": [{"name": "A!", "sha256": "' + "0" * 64 + '", "scopes": ["jobs"]}]}',
        '{"keys": [{"name": "a", "sha256": "' + "0" * 64 + '", "scopes": ["root"]}]}',
        '{"keys": [{"name": "a", "sha256": "' + "0" * 64 + '", "scopes": []}]}',
        '{"keys": [{"name": "a", "sha256": "0", "scopes": ["jobs"]}]}',
    ],
)
def test_a_file_that_holds_no_keys_is_told_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(KeyFileError):
        read_keys(path)


def test_two_keys_of_one_name_are_refused(file: Path) -> None:
    found = json.loads(file.read_text())
    file.write_text(json.dumps({"keys": found["keys"] * 2}))
    with pytest.raises(KeyFileError, match="two keys"):
        read_keys(file)


def test_only_its_owner_reads_a_new_file_and_a_change_keeps_what_it_was_given(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        file = write_keys(tmp_path / "keys.json")
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o640)
        write_keys(file)
        assert file.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(umask)


def test_a_change_that_fails_leaves_the_file_as_it_was(file: Path) -> None:
    before = file.read_bytes()

    def change() -> None:
        with changing_keys(file) as keys:
            del keys["ayse"]
            del keys["nobody"]

    with pytest.raises(KeyError):
        change()
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_secrets_have_enough_bits_and_short_ones_can_be_typed() -> None:
    assert len({long_secret() for _ in range(100)}) == 100
    assert len(long_secret()) >= len("ink_") + 43  # 256 bits in base64
    letters = set("0123456789abcdefghjkmnpqrstvwxyz")
    short = [short_secret() for _ in range(100)]
    assert {len(secret.replace("-", "")) for secret in short} == {16}  # of 32 letters: 80 bits
    assert set("".join(short).replace("-", "")) <= letters
    assert len(set(short)) == 100
