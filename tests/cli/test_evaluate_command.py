"""`inkblot evaluate`, and `teach --test`."""

from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.paths import SAMPLES
from tests.support.pictures import shape, shapes

pytestmark = pytest.mark.slow

SHIPPED = {"model.json", "labels.json", "head.safetensors"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A cat and a dog, and a cat among the dogs."""
    for name, sample in {"cat/1.jpg": "cat.jpg", "dog/1.png": "basenji.png", "dog/odd.jpg": "cat.jpg"}.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes((SAMPLES / sample).read_bytes())
    return tmp_path / "photos"


def test_a_folder_is_judged_and_a_report_written(server: str, photos: Path) -> None:
    out = photos.parent / "report.html"
    choices = ("--compare", "cats-vs-dogs", "--out", str(out), "--server", server)
    status, said, err = run("evaluate", "imagenet", str(photos), *choices)
    assert status == 0, err
    assert "imagenet: 66.7% right" in said
    assert "cat counts as tabby, tiger cat" in said
    assert "cats-vs-dogs: 66.7% right" in said
    assert "dog/odd.jpg was taken for" in said
    assert "dog has only 2 pictures" in said.replace("The folder ", "")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    turkish, said, err = run("evaluate", "imagenet", str(photos), *choices, "--overwrite", "--lang", "tr")
    assert turkish == 0, err
    assert "imagenet: %66,7 doğru" in said
    assert "cat klasöründe doğru sayılan: tabby, tiger cat" in said
    assert "dog klasöründe hesaba katılan yalnızca 2 görüntü var" in said
    again, _, err = run("evaluate", "imagenet", str(photos), *choices)
    assert (again, "is there already" in " ".join(err.replace("│", " ").split())) == (2, True)


def test_what_a_folder_means_can_be_told(server: str, photos: Path) -> None:
    (photos / "cat").rename(photos / "mine")
    out = ("--out", str(photos.parent / "told.html"), "--server", server)
    status, _, err = run("evaluate", "imagenet", str(photos), *out)
    assert status == 1
    assert "labels=mine=" in err
    status, said, err = run("evaluate", "imagenet", str(photos), "--label", "mine=tabby,tiger cat,Egyptian cat", *out)
    assert status == 0, err
    assert "mine counts as tabby, tiger cat, Egyptian cat" in said


@pytest.mark.parametrize("here", [False, True])
def test_teaching_ends_with_the_test_pictures(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.setenv("INKBLOT_ENGINE", "torch")
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path / "var"))
    where = ["--into", "models"] if here else ["--server", server]
    monkeypatch.chdir(tmp_path)
    new = {f"{label}/{number}.png": shape(label, number) for label in ("red", "blue") for number in range(100, 104)}
    for part, pictures in {"train": shapes(), "test": {**new, "red/old.png": shape("red", 0)}}.items():
        for name, data in pictures.items():
            (tmp_path / part / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / part / name).write_bytes(data)
    status, said, err = run("teach", "train", "--test", "test", "--name", "tested", *where)
    assert status == 0, err
    assert "judged on 12 pictures" in said
    assert "tested: 100.0% right" in said
    assert "of 8 pictures" in said
    assert "that tested learned from" in said
    assert (tmp_path / "tested-report.html").is_file()
    assert not here or {path.name for path in Path("models/tested").iterdir()} == SHIPPED
    status, _, err = run("teach", "train", "--test", "nowhere", "--name", "tested", *where)
    assert (status, "nowhere" in err) == (2, True)
    status, _, err = run("teach", "train", "--test", "test", "--name", "tested", "--detach", *where)
    assert (status, "--detach" in err) == (2, True)
