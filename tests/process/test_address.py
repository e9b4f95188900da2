from dataclasses import replace
from pathlib import Path

import pytest

from app.process.address import check_open
from app.process.places import CannotServeError
from app.settings import Settings
from tests.support.commands import run
from tests.support.keys import write_keys


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "inkblot.example.org"])
def test_without_keys_only_this_machine_is_listened_to_unless_that_is_meant(host: str) -> None:
    with pytest.raises(CannotServeError, match="INKBLOT_OPEN=yes"):
        check_open(Settings(host=host))
    check_open(Settings(host=host, open="yes"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    check_open(Settings(host=host))


def test_with_keys_every_address_will_do(tmp_path: Path) -> None:
    check_open(Settings(host="0.0.0.0", api_keys=write_keys(tmp_path / "keys.json")))


@pytest.mark.parametrize("text", [None, "{"])
def test_a_file_that_has_no_keys_is_told_before_anything_listens(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "keys.json"
    if text:
        path.write_text(text)
    with pytest.raises(CannotServeError, match=r"INKBLOT_API_KEYS: .*keys.json .*inkblot keys add"):
        check_open(replace(Settings(), api_keys=path))


def test_the_command_says_why_it_does_not_serve() -> None:
    code, _, errors = run("serve", "--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert "INKBLOT_API_KEYS" in errors
