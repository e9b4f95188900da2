import re
from pathlib import PurePosixPath

import pytest

from app.vision.transfer.dataset import DatasetError
from app.vision.transfer.label_table import read_table
from app.vision.transfer.layouts import Layout, Placed, read_layout
from app.vision.transfer.split_names import part_of


def pictures(*folders: str, each: int = 2) -> list[str]:
    return [f"{folder}/{number}.jpg".lstrip("/") for folder in folders for number in range(each)]


def read(*paths: str, **tables: str) -> Layout:
    """`tables` are CSV files at the top, by their name without an ending."""
    found = [read_table(PurePosixPath(f"{name}.csv"), text.encode()) for name, text in tables.items()]
    return read_layout([PurePosixPath(path) for path in paths], [table for table in found if table])


def labels(layout: Layout) -> list[str | None]:
    return [one.label if isinstance(one, Placed) else None for one in layout.places]


def parts(layout: Layout) -> dict[str, set[str]]:
    """The classes of each part, by what it is for and its folder."""
    found: dict[str, set[str]] = {}
    for one in layout.places:
        if isinstance(one, Placed):
            found.setdefault(f"{one.part}: {one.folder}".rstrip(": "), set()).add(one.label)
    return found


def refused(*paths: str, **tables: str) -> str:
    with pytest.raises(DatasetError) as error:
        read(*paths, **tables)
    return str(error.value)


PETS = ["cat", "dog"]


@pytest.mark.parametrize("top", ["", "data/", "a/b/c/", "test/", "train/"])
def test_a_folder_is_a_class_wherever_the_folders_lie(top: str) -> None:
    layout = read(*pictures(f"{top}cat", f"{top}dog"))
    assert (layout.name, labels(layout)) == ("folders", ["cat", "cat", "dog", "dog"])
    assert parts(layout) == {"learning": {"cat", "dog"}}
    assert layout.detail == "Read as a folder for each class: cat (2), dog (2)."


@pytest.mark.parametrize(
    ("learning", "validation", "test"),
    [
        ("train", "val", "test"),
        ("TRAIN", "Valid", "Test"),
        ("training_set", "validation_set", "test_set"),
        ("seg_train", "seg_dev", "seg_test"),
        ("train2017", "val2017", "test2017"),
        ("eğitim", "doğrulama", "sınama"),
        ("EĞİTİM", "DOĞRULAMA", "SINAMA"),
        ("Eğitim Verileri", "Geçerleme", "deneme"),
        ("egitim", "dogrulama", "sinama"),
        ("e\u0306g\u0306itim".replace("e\u0306", "e"), "dog\u0306rulama", "Test"),
    ],
)
def test_parts_are_known_in_both_languages_and_any_case(learning: str, validation: str, test: str) -> None:
    folders = [f"set/{part}/{label}" for part in (learning, validation, test) for label in PETS]
    layout = read(*pictures(*folders))
    both = {"cat", "dog"}
    assert parts(layout) == {f"learning: {learning}": both, f"validation: {validation}": both, f"test: {test}": both}
    assert f"{learning} is learned from (4), {validation} chooses (4), {test} judges" in layout.detail


def test_without_a_test_set_the_last_part_judges() -> None:
    layout = read(*pictures("train/ants", "train/bees", "val/ants", "val/bees"))
    assert parts(layout) == {"learning: train": {"ants", "bees"}, "test: val": {"ants", "bees"}}
    assert "val judges and is not learned from (4)" in layout.detail


def test_parts_within_the_classes_and_twice_named_parts_are_read_too() -> None:
    inside = read(*pictures("cat/train", "cat/test", "dog/train", "dog/test"))
    assert parts(inside) == {"learning: train": {"cat", "dog"}, "test: test": {"cat", "dog"}}
    twice = read(*pictures("seg_train/seg_train/sea", "seg_train/seg_train/street", "seg_test/seg_test/sea"))
    assert parts(twice) == {"learning: seg_train": {"sea", "street"}, "test: seg_test": {"sea"}}


@pytest.mark.parametrize("name", ["train", "Test", "valid"])
def test_a_class_may_be_called_like_a_part(name: str) -> None:
    assert labels(read(*pictures(name, "bus"))) == [name, name, "bus", "bus"]


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (
            pictures("train/cat", "train/dog", "test/cat", "test/dog", "extra/cat"),
            "train and test are parts of one set and extra is to be left out, or each of these folders is a class",
        ),
        (
            [*pictures("cat", "dog"), *pictures("cat/kittens", each=3)],
            "the folders in them (kittens) are classes of their own. Found: cat/ with 2 pictures, cat/kittens/ with 3",
        ),
        (
            pictures("animals/cat", "animals/dog", "vehicles/bus"),
            "the 2 folders animals and vehicles are the classes, or the folders in them (bus, cat and dog) are classes",
        ),
        (pictures("train", "test"), "train and test are parts of one set, whose pictures have no class, or they are"),
        (pictures("test/cat", "val/cat"), "no folder to learn from"),
        (pictures("train/cat", "training/cat", "test/cat"), "train and training are called alike"),
        (
            [
                *pictures("train/cat", "train/dog"),
                "test/cat.1.jpg",
                "test/cat.2.jpg",
                "test/dog.1.jpg",
                "test/dog.2.jpg",
            ],
            "do not say their classes alike (train by folders and test by file-names)",
        ),
    ],
)
def test_what_is_ambiguous_is_refused_with_the_readings(paths: list[str], told: str) -> None:
    assert told in refused(*paths)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["Birman_1", "Birman_12", "american_bulldog_2", "american_bulldog_100"], ["Birman", "american_bulldog"]),
        (["cat.0", "cat.1", "dog.0", "dog.11"], ["cat", "dog"]),
        (["kedi (1)", "kedi (2)", "köpek (1)", "köpek (2)"], ["kedi", "köpek"]),
        (["cat1", "cat2", "dog-1", "dog - 2"], ["cat", "dog"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("top", ["", "images/", "train/"])
def test_a_name_with_a_number_is_a_class(files: list[str], found: list[str], top: str) -> None:
    layout = read(*(f"{top}{name}.jpg" for name in files))
    one, other = found
    assert (layout.name, labels(layout)) == ("file-names", [one, one, other, other])
    assert layout.detail == f"Read as pictures whose names are their class and a number: {one} (2), {other} (2)."


def test_what_cameras_and_programs_write_names_no_class() -> None:
    names = ["IMG_1", "IMG_2", "DSC00012", "DSC00013", "foto 1", "foto 2", "12", "13", "WhatsApp Image 3", "frame-1"]
    layout = read(*(f"pictures/{name}.jpg" for name in names))
    assert (layout.name, set(labels(layout))) == ("folders", {"pictures"})


def test_kaggles_test_pictures_that_only_a_jury_knows_are_left_out_and_the_others_learned() -> None:
    layout = read(*(f"train/{label}.{number}.jpg" for label in PETS for number in range(5)), *pictures("test1"))
    assert layout.name == "file-names"
    assert parts(layout) == {"learning": {"cat", "dog"}}
    assert layout.places[-1] == "test1 does not say what its pictures show."


def test_parts_may_be_flat() -> None:
    layout = read(*(f"{part}/{label}.{number}.jpg" for part in ("train", "test") for label in PETS for number in "12"))
    assert parts(layout) == {"learning: train": {"cat", "dog"}, "test: test": {"cat", "dog"}}


def test_a_part_of_one_class_is_a_part() -> None:
    layout = read(*pictures("train/cat", "train/dog", "test/dog"))
    assert parts(layout) == {"learning: train": {"cat", "dog"}, "test: test": {"dog"}}


def test_pictures_above_the_classes_are_left_out_and_told() -> None:
    paths = ["cover.jpg", *pictures("data/cat", "data/dog", each=9), "data/odd.jpg"]
    layout = read(*paths)
    assert parts(layout) == {"learning": {"cat", "dog"}}
    assert [one for one in layout.places if isinstance(one, str)] == [
        "It is in no folder, so that it has no label.",
        "It lies beside the folders of the classes and in none of them, so that it has no label.",
    ]


def test_a_teachable_machine_project_is_read() -> None:
    layout = read("Class 1-!-0.jpg", "Class 1-!-1.jpg", "my-!-dog-!-0.jpg", "logo.png")
    assert (layout.name, labels(layout)) == ("teachable-machine", ["Class 1", "Class 1", "my-!-dog", None])


FLAT = [f"images/{number}.jpg" for number in range(4)]


@pytest.mark.parametrize(
    "text",
    [
        "file,label\nimages/0.jpg,cat\nimages/1.jpg,cat\nimages/2.jpg,dog\nimages/3.jpg,dog\n",
        "\ufeffid;breed;weight\r\n0;cat;1\r\n1;cat;1\r\n2;dog;\r\n3;dog;2\r\n",
        "label\tfilename\ncat\t0.jpg\ncat\t1.jpg\ndog\t2.jpg\ndog\t3.jpg",
        "DOSYA ADI,SINIF\nimages\\0.jpg,cat\nimages\\1.jpg,cat\n3.jpg,dog\n\n2.jpg,dog\n",
        "0.jpg,cat\n1.jpg,cat\n2.jpg,dog\n3.jpg,dog\n",
        "id,image,class\n900,0,cat\n901,1,cat\n902,2,dog\n903,3,dog\n",
    ],
)
def test_a_table_says_the_classes(text: str) -> None:
    layout = read(*FLAT, labels=text)
    assert (layout.name, labels(layout)) == ("table", ["cat", "cat", "dog", "dog"])
    assert layout.detail.startswith("Read as labels.csv, whose column ")
    assert layout.missing == ""


def test_a_table_in_turkish_letters_of_excel_is_read() -> None:
    table = read_table(PurePosixPath("labels.csv"), "dosya;sınıf\n0.jpg;çiçek\n1.jpg;kuş\n".encode("cp1254"))
    assert table
    assert [label for _, label, _ in table.rows] == ["çiçek", "kuş"]


def test_a_tables_split_and_what_it_does_not_name_or_find() -> None:
    text = "file,label,split\n0.jpg,cat,train\n1.jpg,dog,train\n2.jpg,cat,TEST\n9.jpg,cat,test\n"
    layout = read(*FLAT, labels=text)
    assert parts(layout) == {"learning": {"cat", "dog"}, "test": {"cat"}}
    assert layout.places[3] == "labels.csv does not name it."
    assert layout.missing == "Of these files there is none: 9.jpg"
    assert "train is learned from (2), test judges and is not learned from (1)" in layout.detail


def test_a_table_and_folders_that_agree_are_folders_and_others_are_refused() -> None:
    paths = pictures("cat", "dog")
    agree = "file,label\ncat/0.jpg,0\ncat/1.jpg,0\ndog/0.jpg,1\ndog/1.jpg,1\n"
    assert (read(*paths, labels=agree).name, labels(read(*paths, labels=agree))[0]) == ("folders", "cat")
    told = refused(*paths, labels=agree.replace("cat/1.jpg,0", "cat/1.jpg,1"))
    assert "the classes are the folders (cat (2), dog (2)), or labels.csv says them (0 (1), 1 (3))" in told


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        (
            {"labels": "file,label,species\n0.jpg,a,b\n"},
            "its column 'label' holds the classes, or its column 'species'",
        ),
        (
            {"a": "file,label\n0.jpg,a\n1.jpg,b\n", "b": "file,label\n0.jpg,a\n"},
            "a.csv says what the pictures show, or b",
        ),
        ({"labels": "file,label\n0.jpg,a\n0.jpg,b\n"}, "labels.csv says of 0.jpg that it is 'a' and 'b'"),
    ],
)
def test_tables_that_can_be_read_in_two_ways_are_refused(tables: dict[str, str], told: str) -> None:
    assert told in refused(*FLAT, **tables)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a,b,c\n1,2,3\n", "x" * 200_000, '"' * 99, "\0", "file,label\nnowhere.jpg,cat\n", "width,height\n2,3\n"],
)
def test_a_table_of_something_else_is_no_matter(text: str) -> None:
    assert read(*pictures("cat", "dog"), boxes=text).name == "folders"


def test_names_cannot_break_what_shows_them() -> None:
    told = refused(*pictures("train\x1b[2J/cat", "\u202etest/cat", "x/y"))
    assert re.search(r"[\x00-\x1f\u202e]", told) is None


@pytest.mark.parametrize(
    ("name", "part"),
    [("train", "learning"), ("TESTING", "test"), ("val", "validation"), ("test1", "test"), ("Sınama Kümesi", "test")],
)
def test_a_part_is_known_by_its_name(name: str, part: str) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize("name", ["trainer", "test tube", "testimony", "", "12", "set", "train test", "bullet train"])
def test_other_words_are_no_parts(name: str) -> None:
    assert part_of(name) is None
