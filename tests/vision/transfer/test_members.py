import gzip
import io
import tarfile
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from app.vision.image import InvalidImageError
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import DatasetError, DatasetLimits, NotEnoughImagesError
from app.vision.transfer.members import is_archive
from tests.support.pictures import zipped

PETS = {"cat/1.jpg": b"cat 1", "cat/2.jpg": b"cat 2", "dog/1.jpg": b"dog 1", "dog/2.jpg": b"dog 2"}
Form = Callable[[bytes], bytes]


def plain(data: bytes) -> bytes:
    return data


def tarred(files: Mapping[str, bytes], *others: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in others:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return file.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def contents(data: bytes, limits: DatasetLimits = DatasetLimits()) -> dict[str, bytes]:  # noqa: B008 -- frozen
    with Archive(io.BytesIO(data), limits) as archive:
        return {entry.name: archive.read(entry) for entry in archive.entries}


both = pytest.mark.parametrize("form", [plain, gzip.compress])


@both
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_is_read_as_a_zip_is(form: Form, format: int, tmp_path: Path) -> None:  # noqa: A002
    folder = tarfile.TarInfo("./pets/cat")
    folder.type = tarfile.DIRTYPE
    data = form(tarred({f"./pets/{name}": content for name, content in PETS.items()}, folder, form=format))
    assert contents(data) == PETS
    path = tmp_path / "pets"
    path.write_bytes(data)
    assert is_archive(path)
    scratch = tmp_path / "scratch"
    with Archive(path, scratch=scratch) as archive:
        assert archive.read(archive.entries[-1]) == b"dog 2"
    assert {found for found in tmp_path.rglob("*") if found.is_file()} == {path}, "nothing is unpacked to a path"


@both
def test_long_and_foreign_names_are_read(form: Form) -> None:
    files = {f"{'deep folder ' * 12}/{label}/çiçek {'x' * 150}.jpg": b"1" for label in ("köpek", "猫")}
    for format_ in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert {name.partition("/")[0] for name in contents(form(tarred(files, form=format_)))} == {"köpek", "猫"}


@both
def test_links_devices_and_paths_that_lead_out_are_left_out(form: Form) -> None:
    odd = [
        special("cat/link.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("cat/hard.jpg", tarfile.LNKTYPE, "cat/1.jpg"),
        special("cat/device.jpg", tarfile.CHRTYPE),
        special("cat/disk.jpg", tarfile.BLKTYPE),
        special("cat/pipe.jpg", tarfile.FIFOTYPE),
        special("../../etc/cat/1.jpg", tarfile.REGTYPE),
        special("/etc/cat/1.jpg", tarfile.REGTYPE),
    ]
    data = form(tarred(PETS, *odd))
    assert contents(data) == PETS
    with Archive(io.BytesIO(data)) as archive:
        told = {one.name: one.reason for one in archive.skipped}
    assert told == {
        "cat/link.jpg": "It is a link.",
        "cat/hard.jpg": "It is a link.",
        "cat/device.jpg": "It is no plain file.",
        "cat/disk.jpg": "It is no plain file.",
        "cat/pipe.jpg": "It is no plain file.",
        "../../etc/cat/1.jpg": "Its path leads out of the archive.",
        "/etc/cat/1.jpg": "Its path leads out of the archive.",
    }


@both
def test_an_archive_cut_anywhere_is_refused(form: Form) -> None:
    data = form(tarred(PETS))
    end = len(data) if form is gzip.compress else len(data.rstrip(b"\0")) + 512
    for length in range(0, end - 8, 7):
        with pytest.raises(DatasetError):
            contents(data[:length])


@both
def test_an_archive_with_any_byte_wrong_gives_pictures_or_one_of_our_errors(form: Form) -> None:
    data = form(tarred(PETS | {"labels.csv": b"file,label\ncat/1.jpg,cat\n"}))
    for position in range(0, min(len(data), 6000), 3):
        for value in (0, 0x7F, 0xFF):
            try:
                found = contents(data[:position] + bytes([value]) + data[position + 1 :])
                assert all(len(one) < 10_000 for one in found.values())
            except (DatasetError, InvalidImageError):
                pass


def test_a_bomb_is_refused_before_it_fills_the_disk() -> None:
    bomb = gzip.compress(bytes(64 << 20))
    with pytest.raises(DatasetError, match="unpacks to more than 34 MiB"):
        contents(bomb, DatasetLimits(max_entries=3_000, max_unpacked_bytes=30 << 20))
    large = gzip.compress(tarred(dict.fromkeys(PETS, bytes(9 << 20))))
    with pytest.raises(DatasetError, match="The pictures unpack to 36 MiB; at most 35 MiB are accepted"):
        contents(large, DatasetLimits(max_unpacked_bytes=35 << 20))


def test_a_name_of_a_gigabyte_is_not_read_into_memory() -> None:
    info = special("long", tarfile.GNUTYPE_LONGNAME)
    info.size = 300 << 20
    packed = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(300 << 20), 1)
    tracemalloc.start()
    with pytest.raises(DatasetError, match="A header is longer than a name can be"):
        contents(packed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


def test_headers_that_follow_each_other_for_ever_are_refused() -> None:
    name = special("long", tarfile.GNUTYPE_LONGNAME)
    name.size = 1
    with pytest.raises(DatasetError):
        contents((name.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 20_000)


@both
def test_too_many_entries_are_refused(form: Form) -> None:
    files = {f"cat/{number}.jpg": b"" for number in range(5)}
    with pytest.raises(DatasetError, match="more than 3 entries"):
        contents(form(tarred(files)), DatasetLimits(max_entries=3))


def test_a_large_picture_is_left_out_and_the_others_are_used() -> None:
    data = tarred(PETS | {"cat/3.jpg": bytes(11 << 20)})
    assert contents(data) == PETS
    with Archive(io.BytesIO(data)) as archive:
        assert [one.reason for one in archive.skipped] == ["It is larger than 10 MiB."]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "This is a 7z archive; accepted are zip, tar and tar.gz."),
        (b"Rar!\x1a\x07" + bytes(600), "This is a rar archive"),
        (b"BZh91AY", "This is a bzip2 archive"),
        (gzip.compress(b"no tar", mtime=0), "what is compressed is no tar"),
        (gzip.compress(zipped(PETS), mtime=0), "what is compressed is no tar"),
        (b"\x1f\x8b" + bytes(99), "This is not a whole tar.gz archive"),
        (bytes(10_240), "This is not a whole zip archive"),
        (tarred({}) * 2, "This is not a whole zip archive"),
    ],
)
def test_what_is_no_archive_is_refused_by_its_name(data: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=told):
        contents(data)
    path = tmp_path / "junk"
    path.write_bytes(data.replace(b"\x1f\x8b", b""))
    assert not is_archive(path)


def test_an_archive_among_pictures_is_told_where_nothing_else_is() -> None:
    kaggle = zipped({"train.zip": b"", "test1.zip": b"", "sampleSubmission.csv": b"id,label\n1,0\n"})
    with (
        Archive(io.BytesIO(kaggle)) as archive,
        pytest.raises(NotEnoughImagesError, match=r"train.zip was left out: It is an archive in the archive"),
    ):
        archive.check()


def test_threads_may_read_at_once() -> None:
    files = {
        f"{label}/{number}.jpg": f"{label} {number} ".encode() * 999 for label in ("a", "b") for number in range(50)
    }
    wrong: list[str] = []
    with Archive(io.BytesIO(tarred(files))) as archive:

        def read() -> None:
            wrong.extend(entry.name for entry in archive.entries if archive.read(entry) != files[entry.name])

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_size_below_nothing_is_refused() -> None:
    """Whose bytes, read as they are asked for, would be all that follow."""
    info = tarfile.TarInfo("labels.csv")
    info.size = -1
    with pytest.raises(DatasetError):
        contents(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + tarred(PETS)))


def test_headers_that_hold_for_all_that_follow_are_not_kept() -> None:
    many = b"".join(
        tarfile.TarInfo.create_pax_global_header({f"key{number}": "x" * 60_000}) + tarfile.TarInfo(f"{number}").tobuf()
        for number in range(600)
    )
    packed = gzip.compress(many + tarred(PETS), 1)
    tracemalloc.start()
    assert contents(packed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20  # all of them are 36 MB
