import json
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.support.commands import run
from tests.support.paths import SAMPLES

pytestmark = pytest.mark.slow


def test_the_sheet_is_written_and_the_answers_are_told(server: str, tmp_path: Path) -> None:
    dog, out = str(SAMPLES / "basenji.png"), tmp_path / "held.webp"
    choices = ("--change", "jpeg", "--change", "motion_blur", "--model", "imagenet", "--server", server)
    status, said, err = run("stability", dog, *choices, "--out", str(out), "--lang", "tr")
    assert status == 0, err
    assert "hareket bulanıklığı" in said
    assert re.search(r"yanıt, değişikliklerin %[\d,]+ kadarında aynı kalıyor", said)
    with Image.open(out) as sheet:
        assert (sheet.format, sheet.width > 600) == ("WEBP", True)
    status, said, _ = run("stability", dog, *choices, "--json")
    assert status == 0
    assert [one["name"] for one in json.loads(said)["changes"]] == ["jpeg", "motion_blur"]
    status, _, err = run("stability", dog, "--change", "rust", "--server", server)
    assert (status, "motion_blur" in err) == (1, True), err
