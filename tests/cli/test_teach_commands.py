import json
import os
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from app.client import Client, ProblemError
from tests.support.commands import run
from tests.support.pictures import shape, shapes, zipped

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs and squares; one has the wrong label, and one file is from before there were zips."""
    top = tmp_path_factory.mktemp("pictures")
    for name, data in {**shapes(), "red/odd.png": shape("blue", 99)}.items():
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_bytes(data)
    os.utime(top / "red/0.png", (0, 0))
    return top


def test_a_folder_is_taught_and_the_report_can_be_read(server: str, folder: Path, dog: bytes) -> None:
    status, out, err = run("teach", str(folder), "--name", "reported", "--server", server)
    assert status == 0, err
    assert "reported: 92.3% right" in out
    assert "judged on 13 pictures" in out
    assert "recognised" in out
    assert "red/odd.png was taken for blue" in out
    assert "has only 6 pictures" in out
    with Client(server) as client:
        assert client.classify(shape("red", 50), model="reported")["predictions"][0]["label"] == "red"
        assert client.classify(dog, model="reported")["unknown"] is not None


def test_the_report_is_turkish_for_who_reads_turkish(server: str, folder: Path) -> None:
    status, out, err = run("teach", str(folder), "--name", "report-tr", "--lang", "tr", "--server", server)
    assert status == 0, err
    assert "report-tr: %92,3 doğru (%95 güven aralığı %" in out
    assert "13 görüntüyle ölçüldü (çapraz doğrulama:" in out
    assert "Okunan düzen: her sınıf için bir klasör." in out
    assert "red/odd.png şu sanıldı: blue (%" in out
    assert "Görüntü az" in out
    assert "tanınan" in out


def test_a_backbone_without_weights_says_how_to_get_them(server: str, folder: Path, tmp_path: Path) -> None:
    for where in (["--server", server], ["--into", str(tmp_path)]):
        status, out, err = run("teach", str(folder), "--name", "deep", "--backbone", "resnet50", *where)
        assert (status, out) == (1, "")
        assert "inkblot weights get resnet50" in err.replace("\n", " ")


def test_what_was_taught_is_corrected_and_deleted(server: str) -> None:
    with Client(server) as client:
        job = client.teach(BytesIO(zipped(shapes(3))), name="through-client", seed=4)
        *_, end = client.follow(job)
        assert end["data"]["status"] == "succeeded"
        assert end["data"]["job"]["input"]["seed"] == 4
        *_, end = client.follow(client.correct("through-client", {"red/0.png": "blue"}))
        assert end["data"]["job"]["result"]["version"] == 2
        card = next(one for one in client.models() if one["name"] == "through-client")
        assert card["is_trained"]
        assert card["training"]
        assert card["training"]["counts"] == {"red": 2, "blue": 4}
        client.delete_model("through-client")
        assert "through-client" not in {one["name"] for one in client.models()}
        with pytest.raises(ProblemError, match="ships with Inkblot"):
            client.delete_model("imagenet")


def test_json_is_the_job(server: str, folder: Path) -> None:
    status, out, err = run("teach", str(folder), "--name", "as-json", "--json", "--server", server)
    assert status == 0, err
    job = json.loads(out)
    assert (job["status"], job["result"]["model"]) == ("succeeded", "as-json")


def test_a_detached_lesson_is_listed_by_its_name(server: str, folder: Path) -> None:
    status, out, err = run("teach", str(folder), "--name", "detached", "--detach", "--server", server)
    assert status == 0, err
    assert "detached" in run("jobs", out.strip(), "--server", server)[1]
    run("jobs", out.strip(), "--cancel", "--server", server)


@pytest.mark.parametrize(
    ("files", "choices", "told"),
    [
        (shapes(), ["--name", "imagenet"], "There is a model 'imagenet' already."),
        (shapes(), ["--name", "No Slug"], "name: It must have small letters"),
        (shapes(), ["--name", "x", "--backbone", "vgg"], "vgg"),
        ({"red/0.png": b"x", "blue/0.png": b"x"}, ["--name", "x"], "too few: blue (1), red (1)"),
    ],
)
def test_what_the_service_refuses_is_a_sentence(
    server: str, tmp_path: Path, files: dict[str, bytes], choices: list[str], told: str
) -> None:
    (tmp_path / "pictures.zip").write_bytes(zipped(files))
    status, out, err = run("teach", str(tmp_path / "pictures.zip"), *choices, "--server", server)
    assert (status, out) == (1, "")
    assert told in err.replace("\n", " ")


@pytest.mark.parametrize(
    "choices",
    [
        ["no-such-folder", "--name", "x"],
        [__file__, "--name", "x"],
        ["{folder}", "--name", "x", "--strangers", "no-such-folder"],
        ["{folder}", "--name", "x", "--labels", "no-such-file"],
        ["{folder}", "--name", "x", "--mode", "magic"],
        ["{folder}", "--name", "../x", "--into", "{folder}"],
        ["{folder}"],
    ],
)
def test_mistakes_are_told_before_anything_is_sent(folder: Path, choices: list[str]) -> None:
    arguments = [choice.replace("{folder}", str(folder)) for choice in choices]
    assert run("teach", *arguments, "--server", "http://127.0.0.1:9")[0] == 2


def test_a_model_is_written_without_a_service(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKBLOT_ENGINE", "torch")
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path / "var"))
    models = tmp_path / "models"
    (models / "local").mkdir(parents=True)
    (models / "local/model.json").write_text(json.dumps({"licence": "of a person"}))
    strangers, labels = tmp_path / "noise", tmp_path / "names.json"
    strangers.mkdir()
    (strangers / "0.png").write_bytes(shape("blue", 1))
    labels.write_text(json.dumps({"red": {"tr": "kırmızı"}}))
    choices = ["--into", str(models), "--strangers", str(strangers), "--labels", str(labels)]
    status, _, err = run("teach", str(folder), "--name", "local", *choices)
    assert (status, "--replace" in err) == (2, True), "nothing is replaced in silence"
    status, out, err = run("teach", str(folder), "--name", "local", "--replace", *choices)
    assert status == 0, err
    assert "local: 92.3% right" in out
    assert "strangers, noise" in out
    assert {path.name for path in (models / "local").iterdir()} == {"model.json", "labels.json", "head.safetensors"}
    card = json.loads((models / "local/model.json").read_text())
    assert (card["version"], card["licence"], card["num_classes"]) == (1, "of a person", 2)
    assert "kırmızı" in (models / "local/labels.json").read_text()


def test_a_folder_that_holds_too_little_is_told_without_a_service(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red/0.png").write_bytes(shape("red", 0))
    status, _, err = run("teach", str(tmp_path), "--name", "local", "--into", str(tmp_path / "models"))
    assert status == 1
    assert "At least two classes" in err
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(("name", "here"), [("red\x1b[2J", True), ("\ud800", True), ("", False), ("\ud800", False)])
def test_names_that_no_class_can_have_are_refused_with_and_without_a_service(
    folder: Path, tmp_path: Path, server: str, name: str, here: bool
) -> None:
    labels = tmp_path / "names.json"
    labels.write_text(json.dumps({"red": {"tr": name}}))
    where = ["--into", str(tmp_path / "models")] if here else ["--server", server]
    status, _, err = run("teach", str(folder), "--name", "odd", "--labels", str(labels), *where)
    assert status == 1
    assert "No class can be called" in err
    assert "\x1b" not in err


def test_a_model_is_exported_to_a_zip(server: str, tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    status, out, err = run("export", "pets", "--out", str(path), "--server", server)
    assert status == 0, err
    assert "pets.zip" in out
    with ZipFile(path) as bundle:
        assert bundle.testzip() is None
        names = {name.partition("/")[2] for name in bundle.namelist()}
    assert {"head.safetensors", "model.onnx", "predict.py", "reference.json", "model.json"} <= names
    status, _, err = run("export", "pets", "--out", str(path), "--server", server)
    assert (status, "--overwrite" in err) == (2, True)
    assert run("export", "pets", "--out", str(path), "--overwrite", "--server", server)[0] == 0
    status, _, err = run("export", "pet", "--out", str(tmp_path / "no.zip"), "--server", server)
    assert status == 1
    assert "Did you mean pets?" in err
    assert not (tmp_path / "no.zip").exists()
