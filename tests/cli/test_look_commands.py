import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops
from typer.testing import CliRunner

from app.cli.main import app
from app.client import Client, ProblemError
from tests.support.paths import SAMPLES

pytestmark = pytest.mark.slow

CAT = str(SAMPLES / "cat.jpg")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files without a name of their own are written into the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(server: str, *arguments: str, language: str = "C") -> tuple[int, str, str]:
    environ = {"LANG": language, "LC_ALL": "", "COLUMNS": "200"}
    result = CliRunner().invoke(app, [*arguments, "--server", server], env=environ)
    return result.exit_code, result.stdout, result.stderr


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_look_writes_a_grid_named_after_the_picture_and_the_layer(server: str, elsewhere: Path) -> None:
    status, out, err = run(server, "look", CAT, "--layer", "_blocks.15", "--channels", "0-2")
    assert (status, out.strip(), err) == (0, "cat-_blocks.15.png", "")
    assert size_of(elsewhere / "cat-_blocks.15.png")[0] >= 3 * 112
    assert run(server, "look", CAT)[1].strip() == "cat-layers.png"


def test_the_name_of_the_file_says_the_form(server: str, elsewhere: Path) -> None:
    assert run(server, "look", CAT, "--layer", "_blocks.15", "--out", "maps.npy")[0] == 0
    assert np.load(elsewhere / "maps.npy").shape == (320, 7, 7)
    assert run(server, "look", CAT, "--overlay", "--out", "over.webp")[0] == 0
    assert run(server, "look", CAT, "--overlay", "--opacity", "0", "--out", "bare.webp")[0] == 0
    assert Path("bare.webp").read_bytes() != Path("over.webp").read_bytes()
    with Image.open(elsewhere / "over.webp") as image:
        assert (image.format, image.width) == ("WEBP", 1920)
    status, _, err = run(server, "explain", CAT, "--out", "maps.npy")
    assert status == 2
    assert ".png" in err


def test_explain_writes_a_heat_map_and_tells_in_json(server: str, elsewhere: Path) -> None:
    status, out, _ = run(server, "explain", CAT, "--target", "tabby", "--no-caption")
    assert (status, out.strip()) == (0, "cat-grad_cam.png")
    assert size_of(elsewhere / "cat-grad_cam.png") == (1920, 1080)
    assert run(server, "explain", CAT, "--out", "captioned.png")[0] == 0
    assert size_of(elsewhere / "captioned.png")[1] > 1080
    told = json.loads(run(server, "explain", CAT, "--target", "tabby", "--json", language="tr_TR.UTF-8")[1])
    assert (told["target"]["label"], told["target"]["display"]) == ("tabby", "tekir kedi")
    assert not (elsewhere / "-.png").exists()
    maps = json.loads(run(server, "look", CAT, "--layer", "_blocks.15", "--channels", "7", "--json")[1])
    assert [one["channel"] for one in maps["channels"]] == [7]


@pytest.mark.parametrize("command", [["explain", CAT, "--target", "tabby"], ["look", CAT]])
def test_a_sheet_shows_the_picture_the_map_and_both_in_the_language_of_its_reader(
    server: str, elsewhere: Path, command: list[str]
) -> None:
    status, out, err = run(server, *command, "--sheet", "--out", "en.png", language="C")
    assert (status, out.strip(), err) == (0, "en.png", "")
    assert run(server, *command, "--sheet", "--out", "tr.webp", language="tr_TR.UTF-8")[0] == 0
    with Image.open("en.png") as english, Image.open("tr.webp") as turkish:
        assert english.width == turkish.width == 12 + 3 * 412
        left, middle, right = (
            np.asarray(english.convert("RGB").crop((12 + place * 412, 12, 412 + place * 412, 237)), float)
            for place in range(3)
        )
        with Image.open(CAT) as photo:
            small = np.asarray(photo.convert("RGB").resize((400, 225)), float)
        assert np.abs(left - small).mean() < 5
        assert np.abs(middle - small).mean() > 20 < np.abs(middle - right).mean()
        assert np.abs(right - small).mean() > 20
        below = (0, 240, english.width, english.height)
        drawn = ImageChops.difference(
            english.convert("RGB").crop((0, 0, english.width, 237)),
            turkish.convert("RGB").crop((0, 0, english.width, 237)),
        )
        assert drawn.getbbox() is None, "the pictures are the same"
        assert ImageChops.difference(english.convert("RGB").crop(below), turkish.convert("RGB").crop(below)).getbbox()


def test_no_file_is_replaced_unless_that_is_said(server: str, elsewhere: Path) -> None:
    Path("mine.png").write_bytes(b"mine")
    for command in (["look", CAT], ["explain", CAT]):
        status, _, err = run(server, *command, "--out", "mine.png")
        assert (status, "--overwrite" in err) == (2, True)
        assert Path("mine.png").read_bytes() == b"mine"
        names = [run(server, *command)[1].strip() for _ in range(2)]
        assert names[1] == names[0].replace(".png", "-2.png")
    assert run(server, "explain", CAT, "--out", "mine.png", "-f")[0] == 0
    assert size_of(elsewhere / "mine.png")[0] == 1920


def test_problems_are_sentences(server: str) -> None:
    status, _, err = run(server, "look", CAT, "--layer", "_block.15")
    assert status == 1
    assert "Did you mean" in err
    assert run(server, "explain", CAT, "--target", "tabbi")[0] == 1
    assert run(server, "explain", "no.jpg")[0] == 1


def test_the_client_gives_numbers_and_files(server: str, cat: bytes) -> None:
    with Client(server) as client:
        assert len(client.look(cat, layer="_blocks.15")["channels"]) == 16
        assert client.explain(cat, method="grad_cam")["object"] == "explanation"
        assert client.look_drawn(cat, form="npy").startswith(b"\x93NUMPY")
        assert client.explain_drawn(cat, view="heat_map", caption=False).startswith(b"\x89PNG")
        with pytest.raises(ProblemError, match="no label"):
            client.explain_drawn(cat, target="nothing like this")
