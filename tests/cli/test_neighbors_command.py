import json
from pathlib import Path

import pytest
from PIL import Image

from app.client import Client
from tests.support.commands import run
from tests.support.paths import SAMPLES
from tests.support.pictures import shape, shapes, zipped

pytestmark = pytest.mark.slow


def test_an_answer_is_explained_by_what_was_learned(server: str, tmp_path: Path) -> None:
    with Client(server) as client:
        names = json.dumps({"red": {"tr": "kırmızı"}}).encode()
        client.wait(client.teach(zipped({**shapes(3), "labels.json": names}), name="explained"))
    (tmp_path / "new.png").write_bytes(shape("red", 1))
    out = tmp_path / "neighbors.webp"
    choices = ("--method", "neighbors", "--out", str(out), "--server", server)
    status, said, err = run("explain", str(tmp_path / "new.png"), "--model", "explained", *choices)
    assert status == 0, err
    assert said.splitlines()[0].endswith("red  red/1.png")
    turkish = run("explain", str(tmp_path / "new.png"), "--model", "explained", *choices, "--overwrite", "--lang", "tr")
    assert turkish[0] == 0
    similarity, label, _ = turkish[1].splitlines()[0].split("  ")
    assert ("," in similarity, label) == (True, "kırmızı")
    with Image.open(out) as sheet:
        assert (sheet.format, sheet.width > 1000) == ("WEBP", True)
    status, _, err = run("explain", str(SAMPLES / "cat.jpg"), "--model", "imagenet", *choices, "--overwrite")
    assert (status, "'imagenet'" in err) == (1, True)
