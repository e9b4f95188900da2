"""The data sets of the lesson in their published layouts, made small, each taught by one command."""

import io
import json
import shutil
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.commands import run

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKBLOT_ENGINE", "torch")
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path / "var"))


def photos(folder: Path, number: int) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".jpg")[:number]


def taught(pictures: Path, into: Path) -> tuple[str, dict[str, object]]:
    """The report, and what the card tells of the training."""
    status, out, err = run("teach", str(pictures), "--name", "lesson", "--into", str(into))
    assert status == 0, err
    training: dict[str, object] = json.loads((into / "lesson/model.json").read_text())["training"]
    return out.replace("\n", " "), training


def test_cats_and_dogs_as_kaggle_zips_them(shared_data: Path, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "train.zip", "w") as archive:
        for label in ("cat", "dog"):
            for number, path in enumerate(photos(shared_data / "cats-dogs/train" / label, 6)):
                archive.write(path, f"train/{label}.{number}.jpg")
    report, training = taught(tmp_path / "train.zip", tmp_path / "models")
    assert "Read as pictures whose names are their class and a number: cat (6), dog (6)." in report
    assert training["counts"] == {"cat": 6, "dog": 6}


def test_cats_and_dogs_as_microsoft_zips_them_with_its_broken_files(shared_data: Path, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "kagglecatsanddogs.zip", "w") as archive:
        archive.writestr("readme[1].txt", "terms")
        archive.writestr("MSR-LA - 3467.docx", b"PK")
        for label, broken in (("Cat", "666.jpg"), ("Dog", "11702.jpg")):
            for number, path in enumerate(photos(shared_data / "cats-dogs/train" / label.lower(), 6)):
                archive.write(path, f"PetImages/{label}/{number}.jpg")
            archive.writestr(f"PetImages/{label}/{broken}", b"")
            archive.writestr(f"PetImages/{label}/Thumbs.db", b"\xd0\xcf\x11\xe0")
            archive.writestr(f"__MACOSX/PetImages/{label}/._0.jpg", b"\0\5\26\7")
        lying = (shared_data / "nasty/pillow_hopper.gif").read_bytes()
        archive.writestr("PetImages/Cat/lying.jpg", lying)
    report, training = taught(tmp_path / "kagglecatsanddogs.zip", tmp_path / "models")
    assert training["counts"] == {"Cat": 7, "Dog": 6}
    assert "4 files were left out" in report
    assert "Read as a folder for each class: Cat (8), Dog (7)." in report


def test_pets_as_oxford_packs_them(shared_data: Path, tmp_path: Path) -> None:
    breeds = sorted(path for path in (shared_data / "pets/train").iterdir() if path.is_dir())[:4]
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as archive:
        for breed in breeds:
            for number, path in enumerate(photos(breed, 4)):
                archive.add(path, f"images/{breed.name}_{number}.jpg")
        archive.addfile(tarfile.TarInfo("images/Abyssinian_100.mat"), io.BytesIO())
    report, training = taught(tmp_path / "images.tar.gz", tmp_path / "models")
    assert training["counts"] == {breed.name: 4 for breed in breeds}
    assert "images/Abyssinian_100.mat" in report


def test_a_folder_with_train_and_test_is_judged_on_the_test_set(shared_data: Path, tmp_path: Path) -> None:
    for part, number in (("train", 6), ("test", 4)):
        for label in ("cat", "dog"):
            folder = tmp_path / "cats-dogs" / part / label
            folder.mkdir(parents=True)
            for path in photos(shared_data / "cats-dogs" / part / label, number):
                shutil.copy(path, folder)
    report, training = taught(tmp_path / "cats-dogs", tmp_path / "models")
    assert "judged on 8 pictures of the test set" in report
    assert "train is learned from (12), test judges and is not learned from (8)" in report
    assert training["counts"] == {"cat": 6, "dog": 6}
