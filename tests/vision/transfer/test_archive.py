import io
import json
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image

from app.vision.image import ImageLimits, InvalidImageError, Picture
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import STRANGERS, DatasetError, DatasetLimits, NotEnoughImagesError
from tests.support.class_names import NO_CLASS_NAMES

PETS = {"cat/1.jpg": b"cat 1", "cat/2.jpg": b"cat 2", "dog/1.jpg": b"dog 1", "dog/2.jpg": b"dog 2"}


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer


def with_member(
    change: Callable[[zipfile.ZipInfo], None], data: bytes = b"cat 3", name: str = "cat/3.jpg"
) -> io.BytesIO:
    """The pets and one more file, whose entry in the directory is changed after it was written."""
    buffer = zipped(PETS)
    with zipfile.ZipFile(buffer, "a") as archive:
        member = zipfile.ZipInfo(name)
        archive.writestr(member, data, zipfile.ZIP_DEFLATED)
        change(member)
    return buffer


def set_to(**values: int) -> Callable[[zipfile.ZipInfo], None]:
    def change(member: zipfile.ZipInfo) -> None:
        for name, value in values.items():
            setattr(member, name, value)

    return change


def names(file: io.BytesIO | Path) -> list[str]:
    with Archive(file) as archive:
        return [entry.name for entry in archive.entries]


def reasons(file: io.BytesIO) -> dict[str, str]:
    with Archive(file) as archive:
        return {skipped.name: skipped.reason for skipped in archive.skipped}


def only(archive: Archive, name: str) -> bytes:
    return archive.read(next(entry for entry in archive.entries if entry.name == name))


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "somewhere" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    yield
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "sent.zip"] == []


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    path = tmp_path / "sent.zip"
    path.write_bytes(zipped(PETS).getvalue())
    with Archive(path) as archive:
        assert archive.labels == ("cat", "dog")
        assert archive.counts == {"cat": 2, "dog": 2}
        assert {entry.name: archive.read(entry) for entry in archive.entries} == PETS
        assert archive.skipped == ()
        assert archive.out_of_distribution == ()
        archive.check()


@pytest.mark.parametrize("top", ["", "data/", "a/b/c/", "./", "data//"])
def test_the_label_is_the_folder_directly_above_the_file(top: str) -> None:
    assert names(zipped({top + name: data for name, data in PETS.items()})) == list(PETS)


def test_the_order_in_the_zip_does_not_matter() -> None:
    files = PETS | {"cat /1.jpg": b"another", " cat/1.jpg": b"a third", "cat/1 (2).jpg": b"taken"}
    contents = []
    for order in (files, dict(reversed(files.items()))):
        with Archive(zipped(order)) as archive:
            contents.append({entry.name: archive.read(entry) for entry in archive.entries})
            assert list(contents[-1]) == [entry.name for entry in archive.entries]
    assert contents[0] == contents[1]
    assert list(contents[0].items()) == list(contents[1].items())


def test_names_that_collide_are_made_unique() -> None:
    files = {"cat /1.jpg": b"b", " cat/1.jpg": b"a", "cat/1.jpg": b"c", "cat/1 (2).jpg": b"d"}
    with Archive(zipped(files)) as archive:
        read = {entry.name: archive.read(entry) for entry in archive.entries}
    assert read == {"cat/1 (2).jpg": b"d", "cat/1 (3).jpg": b"b", "cat/1 (4).jpg": b"c", "cat/1.jpg": b"a"}


def test_one_path_twice_in_a_zip_is_two_pictures() -> None:
    buffer = zipped(PETS)
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("cat/1.jpg", b"hidden behind the first")
    with Archive(buffer) as opened:
        cats = {opened.read(entry) for entry in opened.entries if entry.label == "cat"}
        assert cats == {b"cat 1", b"cat 2", b"hidden behind the first"}
        assert len({entry.name for entry in opened.entries}) == 5


@pytest.mark.parametrize(
    "label", ["kedi yavrusu", "ÇİĞDEM ışık", "猫", "кошка", "गाय", "قطة", "🐈", "👩‍🔬", "it's 100 % {cat}; rm -rf"]
)
def test_labels_may_be_of_any_script(label: str) -> None:
    with Archive(zipped({f"{label}/{label} 1.jpg": b"data"})) as archive:
        assert archive.labels == (label,)
        assert archive.entries[0].name == f"{label}/{label} 1.jpg"
        assert archive.read(archive.entries[0]) == b"data"


def test_utf8_names_without_the_flag_are_understood_and_others_kept() -> None:
    flagged = zipped({"çiçek/ş.jpg": b"1"}).getvalue()
    with zipfile.ZipFile(io.BytesIO(flagged)) as archive:
        assert archive.infolist()[0].flag_bits == 0x800
    assert names(io.BytesIO(flagged.replace(b"\x00\x08\x00\x00", b"\x00\x00\x00\x00"))) == ["çiçek/ş.jpg"]
    cp437 = zipped({"k______pek/1.jpg": b"1"}).getvalue().replace(b"k______pek", "köpek".encode("cp437") + b"-----")
    assert names(io.BytesIO(cp437)) == ["köpek-----/1.jpg"]


def test_decomposed_letters_and_backslashes_are_the_same_folder() -> None:
    composed, decomposed = "k\u00f6pek", "ko\u0308pek"
    assert names(zipped({f"{composed}/1.jpg": b"", f"{decomposed}\\2.jpg": b"", f" {composed} /3.jpg": b""})) == [
        f"{composed}/{number}.jpg" for number in (1, 2, 3)
    ]


def test_clutter_is_ignored_silently() -> None:
    clutter = ["__MACOSX/cat/._1.jpg", "cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini", ".git/x/1.jpg"]
    clutter += ["cat/.ipynb_checkpoints/1.jpg", "bird/", "fish\\", "/"]
    with Archive(zipped(PETS | dict.fromkeys(clutter, b""))) as archive:
        assert archive.labels == ("cat", "dog")
        assert archive.skipped == ()


def test_what_is_evidently_no_picture_is_told_and_anything_else_is_a_candidate() -> None:
    others = ["cat/notes.TXT", "cat/boxes.xml", "dog/inner.zip", "dog/inner.tar.gz", "top.jpg", "README"]
    file = zipped(PETS | dict.fromkeys([*others, "dog/no extension", "dog/3.heic"], b""))
    assert set(reasons(file)) == set(others)
    assert reasons(file)["cat/notes.TXT"] == ".TXT files are no pictures."
    assert reasons(file)["top.jpg"] == "It is in no folder, so that it has no label."
    assert "archive" in reasons(file)["dog/inner.zip"]
    assert names(file) == [*list(PETS)[:3], "dog/2.jpg", "dog/3.heic", "dog/no extension"]


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/cron/1.jpg",
        "C:\\cat\\1.jpg",
        "C:cat/1.jpg",
        "cat/../../1.jpg",
        "..\\cat\\1.jpg",
        "//a/b/c",
    ],
)
def test_paths_that_lead_out_are_skipped(path: str) -> None:
    file = zipped(PETS | {path: b"evil"})
    assert names(file) == list(PETS)
    assert list(reasons(file).values()) == ["Its path leads out of the archive."]


@pytest.mark.parametrize("label", [name for name in NO_CLASS_NAMES if name not in ("", "\x00", "\ud800")], ids=ascii)
def test_folders_whose_names_are_no_labels_are_skipped(label: str) -> None:
    file = zipped(PETS | {f"{label}/1.jpg": b"", f"{STRANGERS}/{label}/1.jpg": b""})
    assert names(file) == list(PETS)
    assert len(reasons(file)) == 2
    assert all("no label" in reason for reason in reasons(file).values())
    assert not any("\x1b" in name or "\u202e" in name for name in reasons(file))


def test_links_are_skipped() -> None:
    link = with_member(set_to(external_attr=(stat.S_IFLNK | 0o777) << 16), b"/etc/passwd")
    assert names(link) == list(PETS)
    assert reasons(link) == {"cat/3.jpg": "It is a link."}


def test_a_single_encrypted_file_is_skipped_and_an_encrypted_archive_refused() -> None:
    assert reasons(with_member(set_to(flag_bits=1))) == {"cat/3.jpg": "It is encrypted."}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat/1.jpg", b"secret")
        archive.infolist()[0].flag_bits = 1
    with pytest.raises(DatasetError, match="without a password"):
        Archive(buffer)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_inflate_without_a_bound_are_skipped(method: int) -> None:
    assert "neither stored nor deflated" in reasons(zipped({"cat/1.jpg": b"0" * 1000}, method))["cat/1.jpg"]


@pytest.mark.parametrize(
    "change",
    [
        set_to(CRC=1),
        set_to(file_size=3),  # then the checksum is of something else
        set_to(file_size=6),
        set_to(file_size=6, compress_size=100_000),
        set_to(compress_size=1),
        set_to(compress_type=zipfile.ZIP_STORED),
        set_to(header_offset=0),  # that is another file's
        set_to(header_offset=10**9),
        set_to(flag_bits=0x20),
        set_to(flag_bits=0x40),
    ],
)
def test_a_file_that_is_not_what_the_directory_says_is_invalid_and_the_others_are_not(
    change: Callable[[zipfile.ZipInfo], None],
) -> None:
    with Archive(with_member(change)) as archive:
        with pytest.raises(InvalidImageError):
            only(archive, "cat/3.jpg")
        assert only(archive, "cat/1.jpg") == b"cat 1"


def test_a_file_that_is_larger_than_it_declares_is_not_inflated_further() -> None:
    with Archive(with_member(set_to(file_size=1000), bytes(200 << 20))) as archive:
        tracemalloc.start()
        with pytest.raises(InvalidImageError):
            only(archive, "cat/3.jpg")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2 << 20


def test_a_large_file_is_skipped_and_the_others_are_used() -> None:
    file = with_member(set_to(file_size=5 << 30))
    assert names(file) == list(PETS)
    assert reasons(file) == {"cat/3.jpg": "It is larger than 10 MiB."}


def test_a_bomb_is_refused_before_anything_is_inflated() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(150):
            archive.writestr(f"cat/{number}.jpg", b"")
        for member in archive.infolist():
            member.file_size = 9 << 20
    with pytest.raises(DatasetError, match="The pictures unpack to 1,350 MiB; at most 1,024 MiB are accepted"):
        Archive(buffer)


@pytest.mark.parametrize("number", [65_000, 100_000])  # the latter with ZIP64's end records
def test_too_many_entries_are_refused_without_listing_them(number: int) -> None:
    data = directory_of(numbered(number)).getvalue()
    tracemalloc.start()
    with pytest.raises(DatasetError, match="more than 20,000 entries"):
        Archive(io.BytesIO(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(data)


def test_the_number_that_the_end_record_claims_is_not_believed() -> None:
    data = bytearray(directory_of(numbered(30_000)).getvalue())
    data[-14:-10] = struct.pack("<HH", 1, 1)
    with pytest.raises(DatasetError, match="more than 20,000 entries"):
        Archive(io.BytesIO(data))


def test_a_directory_of_a_few_huge_entries_is_not_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat/1.jpg", b"")
        archive.infolist()[0].comment = bytes(60_000)
    assert names(buffer) == ["cat/1.jpg"]
    with pytest.raises(DatasetError, match="more than 50 entries"):
        Archive(buffer, DatasetLimits(max_entries=50))


def numbered(number: int) -> list[str]:
    return [f"cat/{name}.jpg" for name in range(number)]


def directory_of(names: list[str]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.filelist = [zipfile.ZipInfo(name) for name in names]
        for member in archive.filelist:
            member.header_offset = member.CRC = 0
        archive._didModify = True  # type: ignore[attr-defined]
    return buffer


def test_as_many_entries_as_are_allowed_are_listed() -> None:
    with Archive(directory_of(numbered(20_000))) as archive:
        assert archive.counts == {"cat": 20_000}
    with pytest.raises(DatasetError, match="more than 3 entries"):
        Archive(zipped(PETS), DatasetLimits(max_entries=3))


def test_zip64_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    file = zipped(PETS)
    assert b"PK\6\6" in file.getvalue()
    assert names(file) == list(PETS)
    with pytest.raises(DatasetError, match="more than 3 entries"):
        Archive(file, DatasetLimits(max_entries=3))


def test_thousands_of_files_of_one_name_get_names() -> None:
    names = ["cat/1.jpg"] * 15_000
    with Archive(directory_of(names)) as archive:
        assert len({entry.name for entry in archive.entries}) == 15_000


def test_too_many_classes_are_refused() -> None:
    with pytest.raises(DatasetError, match="There are 3 classes; at most 2 may be"):
        Archive(zipped({f"{label}/1.jpg": b"" for label in "abc"}), DatasetLimits(max_classes=2))


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"PK\x03\x04", b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18, b"\x89PNG" * 99]
)
def test_what_is_no_zip_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sent.zip"
    path.write_bytes(data)
    for file in (io.BytesIO(data), path):
        with pytest.raises(DatasetError, match="not a whole zip archive"):
            Archive(file)


def test_a_zip_cut_anywhere_is_refused() -> None:
    data = zipped(PETS).getvalue()
    for length in range(len(data)):
        with pytest.raises(DatasetError, match="not a whole zip archive"):
            Archive(io.BytesIO(data[:length]))


def test_a_zip_with_any_byte_wrong_gives_pictures_or_one_of_our_errors() -> None:
    data = zipped(PETS | {"labels.json": b'{"cat": {"tr": "kedi"}}'}).getvalue()
    for position in range(len(data)):
        for value in (0, 0x7F, 0xFF):
            wrong = io.BytesIO(data[:position] + bytes([value]) + data[position + 1 :])
            try:
                with Archive(wrong) as archive:
                    for entry in archive.entries:
                        assert len(archive.read(entry)) < 100
            except (DatasetError, InvalidImageError):
                pass


def test_too_few_are_told_with_the_counts() -> None:
    with Archive(zipped({})) as archive, pytest.raises(NotEnoughImagesError, match="found: none"):
        archive.check()
    with Archive(zipped({"cat/1.jpg": b"", "cat/2.jpg": b""})) as archive:
        with pytest.raises(NotEnoughImagesError, match=r"two classes .* found: cat \(2\)") as one:
            archive.check()
        assert one.value.counts == {"cat": 2}
    with Archive(zipped(PETS | {"fish/1.jpg": b""})) as archive:
        with pytest.raises(NotEnoughImagesError, match=r"at least 2 pictures; too few: fish \(1\)\.") as few:
            archive.check()
        assert few.value.counts == {"cat": 2, "dog": 2, "fish": 1}


def test_strangers_are_of_no_class_and_know_their_folder() -> None:
    files = dict.fromkeys([f"data/{STRANGERS}/{name}" for name in ("1.jpg", "noise/1.jpg", "mri/yes/1.jpg")], b"who")
    with Archive(zipped(PETS | files)) as archive:
        assert archive.labels == ("cat", "dog")
        assert [(entry.name, entry.group) for entry in archive.out_of_distribution] == [
            (f"{STRANGERS}/1.jpg", STRANGERS),
            (f"{STRANGERS}/mri/1.jpg", "mri"),
            (f"{STRANGERS}/noise/1.jpg", "noise"),
        ]
        assert {entry.label for entry in archive.out_of_distribution} == {STRANGERS}
        assert archive.read(archive.out_of_distribution[0]) == b"who"


NAMED = {"cat": {"en": "cat", "tr": "kedi", "imagenet": [281, "tabby"]}, "dog": {"tr": "köpek"}}
RECORDS = [
    {"label": "cat", "display": {"en": "cat", "tr": "kedi"}, "imagenet": [281, "tabby"]},
    {"label": "dog", "display": {"tr": "köpek"}},
]


@pytest.mark.parametrize("content", [NAMED, RECORDS])
@pytest.mark.parametrize("top", ["", "data/"])
def test_the_classes_names_are_read_from_labels_json(content: object, top: str) -> None:
    files = {top + name: data for name, data in (PETS | {"labels.json": json.dumps(content).encode()}).items()}
    with Archive(zipped(files)) as archive:
        assert archive.displays == {"cat": {"en": "cat", "tr": "kedi"}, "dog": {"tr": "köpek"}}
        assert archive.zero_shot == {"cat": (281, "tabby")}
        assert archive.labels == ("cat", "dog")
        assert archive.skipped == ()


def test_names_of_classes_without_pictures_are_told() -> None:
    file = zipped(PETS | {"labels.json": b'{"cat": {"tr": "kedi"}, "Dog": {"tr": "k"}}'})
    assert reasons(file) == {"labels.json": "Of these classes there are no pictures: Dog"}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"3", b'"cat"', b'{"cat": "kedi"}', b'{"cat": {"tr": 3}}', b"[1]", b'[{"label": 1}]',
        b'{"cat": {"imagenet": 281}}', b'{"cat": {"imagenet": [true]}}', b"[" * 100_000, b"9" * 10_000,
        b" " * (2 << 20),
    ],
)  # fmt: skip
def test_a_malformed_labels_json_is_told_and_the_pictures_are_used(content: bytes) -> None:
    with Archive(zipped(PETS | {"labels.json": content})) as archive:
        assert archive.displays == {}
        assert archive.zero_shot == {}
        assert [skipped.name for skipped in archive.skipped] == ["labels.json"]
        assert "names of the classes cannot be read" in archive.skipped[0].reason
        assert len(archive.entries) == 4


@pytest.mark.parametrize("name", NO_CLASS_NAMES, ids=ascii)
@pytest.mark.parametrize("content", ['{"cat": {"tr": %s}}', "{%s: {}}", '[{"label": %s}]'])
def test_a_labels_json_with_a_name_that_no_class_can_have_is_refused(name: str, content: str) -> None:
    file = zipped(PETS | {"labels.json": (content % json.dumps(name)).encode()})
    with pytest.raises(DatasetError, match=r"labels\.json: No class can be called") as error:
        Archive(file)
    assert str(error.value).isprintable()


def test_real_photos_come_out_as_they_went_in(cat: bytes, dog: bytes) -> None:
    with Archive(zipped({"cat/cat.jpg": cat, "dog/dog.png": dog, "dog/broken.jpg": cat[: len(cat) // 2]})) as archive:
        pictures = {entry.name: archive.read(entry) for entry in archive.entries}
    assert (pictures["cat/cat.jpg"], pictures["dog/dog.png"]) == (cat, dog)
    assert isinstance(Picture.read(pictures["dog/dog.png"], ImageLimits()).image, Image.Image)
    with pytest.raises(InvalidImageError):
        Picture.read(pictures["dog/broken.jpg"], ImageLimits())


@pytest.mark.parametrize(("number", "size"), [(17, 10), (2, 3 << 20)])
def test_more_tables_than_a_data_set_has_are_refused_before_they_fill_the_memory(number: int, size: int) -> None:
    tables = {f"{place}.csv": b"file,label\n" + b"a" * size for place in range(number)}
    with pytest.raises(DatasetError, match="tables"):
        Archive(zipped({**PETS, **tables}), DatasetLimits())
