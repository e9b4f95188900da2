"""`inkblot classify` with folders of pictures."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from app.cli.answers import sources_of
from tests.support.commands import run
from tests.support.paths import SAMPLES
from tests.support.pictures import shape

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cats and a dog in folders of their class, one cat in the dogs', one of no class, and what is no picture."""
    top = tmp_path_factory.mktemp("pets")
    for name, sample in {
        "cat/1.jpg": "cat.jpg",
        "cat/2.png": "cat-eye.png",
        "dog/1.PNG": "basenji.png",
        "dog/cat.jpg": "cat.jpg",
        "others/1.png": "bernese.png",
    }.items():
        (top / name).parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLES / sample, top / name)
    (top / "cat/disc.png").write_bytes(shape("red", 0))
    (top / "cat/broken.jpg").write_bytes(b"no picture")
    (top / "cat/.hidden.jpg").write_bytes(b"")
    (top / "notes.txt").write_text("no picture")
    return top


def test_a_folder_is_counted_and_judged_by_the_names_of_its_folders(server: str, pets: Path) -> None:
    wanted = ["classify", str(pets), "-r", "--model", "cats-vs-dogs", "--summary", "--server", server]
    status, out, err = run(*wanted)
    assert status == 1, "one could not be read"
    assert "broken.jpg" in err
    rows = {" ".join(line.split()) for line in out.splitlines()}
    assert {"cat 3 42.9% 2 / 3", "dog 2 28.6% 1 / 2", "unknown 1 14.3%", "could not be read 1 14.3%"} <= rows
    assert "right: 3 of 5 (60.0%), by the names of their folders" in rows
    assert "1 more lie in folders that have no class's name, and are not judged." in rows
    turkish = run(*wanted, "--lang", "tr")[1]
    assert "kedi" in turkish
    assert "%42,9" in turkish
    assert "doğru: 5 görüntüden 3 tanesi (%60,0)" in turkish
    told = json.loads(run(*wanted, "--json")[1])
    assert told["classes"] == {"cat": 3, "dog": 2}
    assert (told["unknown"], told["unread"], told["named"], told["right"]) == (
        1,
        1,
        {"cat": 3, "dog": 2},
        {"cat": 2, "dog": 1},
    )


def test_answers_go_into_files_for_programs(server: str, pets: Path, tmp_path: Path) -> None:
    table, lines = tmp_path / "all.csv", tmp_path / "all.jsonl"
    files = ["--csv", str(table), "--jsonl", str(lines)]
    wanted = ["classify", str(pets), "--recursive", "--model", "cats-vs-dogs", "--lang", "tr", *files]
    status, out, _ = run(*wanted, "--server", server)
    assert status == 1
    assert out.splitlines() == [f"{table}: 7 görüntü", f"{lines}: 7 görüntü"]
    with table.open(newline="", encoding="utf-8") as file:
        rows = {Path(row["picture"]).relative_to(pets).as_posix(): row for row in csv.DictReader(file)}
    assert rows["cat/1.jpg"]["display"] == "kedi"
    assert rows["cat/1.jpg"]["label"] == "cat"
    assert float(rows["cat/1.jpg"]["score"]) > 0.9, "a point, whatever the language"
    assert rows["cat/disc.png"]["unknown"] == "true"
    assert "not a picture" in rows["cat/broken.jpg"]["error"]
    answers = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert [one["picture"] for one in answers] == sorted(str(pets / name) for name in rows)
    assert {one.get("object", one.get("type")) for one in answers} == {"prediction", "/problems/unsupported-image"}
    assert run(*wanted, "--server", server)[0] == 2, "neither is replaced in silence"
    assert run(*wanted, "--overwrite", "--server", server)[0] == 1


@pytest.mark.parametrize("option", ["--csv", "--jsonl"])
def test_an_ending_that_would_lie_is_refused_before_anything_is_asked(pets: Path, option: str) -> None:
    status, _, err = run("classify", str(pets), option, "all.txt", "--server", "http://127.0.0.1:9")
    assert status == 2
    assert f"{option} ends in" in err


def test_a_folder_without_pictures_says_where_else_to_look(pets: Path) -> None:
    status, out, err = run("classify", str(pets), "--server", "http://127.0.0.1:9")
    assert (status, out) == (1, "")
    assert "--recursive looks into its folders" in err.replace("\n", " ")


def test_pictures_of_a_folder_are_called_by_their_paths_in_it(server: str, pets: Path) -> None:
    out = run("classify", str(pets / "dog"), "--top-k", "1", "--server", server)[1]
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["1.PNG", "cat.jpg"]
    found = [one.name for one in sources_of(str(pets), recursive=True)]
    assert found == [
        "cat/1.jpg",
        "cat/2.png",
        "cat/broken.jpg",
        "cat/disc.png",
        "dog/1.PNG",
        "dog/cat.jpg",
        "others/1.png",
    ]
