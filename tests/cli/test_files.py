from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from app.cli.files import PICTURES, place_for, stem_of, write_picture
from tests.support.paths import SAMPLES


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_without_a_name_of_its_own_never_replaces_another() -> None:
    names = []
    for _ in range(3):
        path = place_for(None, "zebra-seed3.png", PICTURES, overwrite=False)
        path.write_bytes(b"")
        names.append(path.name)
    assert names == ["zebra-seed3.png", "zebra-seed3-2.png", "zebra-seed3-3.png"]
    assert place_for(None, "zebra-seed3.png", PICTURES, overwrite=True).name == "zebra-seed3.png"


def test_a_named_file_is_replaced_only_when_that_is_said() -> None:
    Path("mine.png").write_bytes(b"mine")
    with pytest.raises(typer.BadParameter, match="--overwrite"):
        place_for(Path("mine.png"), "", PICTURES, overwrite=False)
    assert place_for(Path("mine.png"), "", PICTURES, overwrite=True) == Path("mine.png")


@pytest.mark.parametrize("name", ["cat.jpg", "cat.jpeg", "cat", "png"])
def test_an_ending_that_would_lie_is_refused(name: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"\.png or \.webp"):
        place_for(Path(name), "", PICTURES, overwrite=False)


def test_webp_holds_the_very_pixels_of_the_png() -> None:
    png = (SAMPLES / "basenji.png").read_bytes()
    write_picture(Path("a.PNG"), png)
    write_picture(Path("a.webp"), png)
    assert Path("a.PNG").read_bytes() == png
    with Image.open(BytesIO(png)) as image, Image.open("a.webp") as again:
        assert again.format == "WEBP"
        np.testing.assert_array_equal(np.asarray(again.convert("RGB")), np.asarray(image.convert("RGB")))


def test_names_of_files_are_made_of_labels() -> None:
    assert stem_of("golden retriever") == "golden-retriever"
    assert stem_of("../..") == "picture"
