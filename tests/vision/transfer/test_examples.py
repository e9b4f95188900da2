import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from app.vision.ask import run_steps
from app.vision.image import ImageLimits, Preprocessing
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import Skipped
from app.vision.transfer.examples import Examples, UnknownPictureError
from app.vision.transfer.extraction import Extractor
from tests.support.pictures import shapes, zipped

FILES = {**shapes(), "red/broken.png": b"\x89PNG\r\n\x1a\n and no more", "red/6.txt.png": b"words"}


@dataclass
class MeanColours:
    """The mean red, green and blue of the left half, so that a mirrored picture is another one."""

    name = "colours"
    best_batch = 3
    seen: list[int] = field(default_factory=list)

    def __call__(self, canvases: NDArray[np.uint8]) -> Tensor:
        self.seen.append(len(canvases))
        return torch.from_numpy(canvases[:, :, :16].mean((1, 2))).float()


def extractor(forward: MeanColours, *, mirror: bool = False) -> Extractor:
    return Extractor(forward, Preprocessing(36, 32), ImageLimits(), threads=2, mirror=mirror)


def extracted(
    files: dict[str, bytes], known: Examples | None = None, *, mirror: bool = False
) -> tuple[Examples, list[Skipped], int]:
    """And how many canvases the network had to look at."""
    forward = MeanColours()
    with Archive(BytesIO(zipped(files))) as archive:
        looking = extractor(forward, mirror=mirror).extract(archive, archive.entries, known, len(archive.entries))
        examples, skipped = run_steps(looking)
    return examples, skipped, sum(forward.seen)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return extracted(FILES)[0]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [one for one in threading.enumerate() if one.name.startswith("features")]


def test_the_order_is_the_archives_and_broken_pictures_are_told() -> None:
    examples, skipped, looked = extracted(FILES)
    names = sorted(shapes())
    assert list(examples.names) == names
    assert list(examples.labels) == [name.split("/")[0] for name in names]
    assert [one.name for one in skipped] == ["red/6.txt.png", "red/broken.png"]
    assert all(one.reason for one in skipped)
    assert looked == len(examples) == 12
    for name, row in zip(names, examples.features, strict=True):
        alone, _, _ = extracted({name: FILES[name]})
        assert torch.equal(alone.features[0], row)
    assert all(max(Image.open(BytesIO(one)).size) <= 96 for one in examples.thumbnails)


def test_nothing_that_can_be_read_is_no_examples() -> None:
    examples, skipped, _ = extracted({"red/1.png": b"", "red/2.png": b"GIF8"})
    assert len(examples) == 0
    assert len(skipped) == 2
    assert len(Examples.to_bytes(examples, "x")) > 0


def test_a_picture_that_is_known_is_not_looked_at_again(examples: Examples) -> None:
    moved = {f"any/{name.replace('/', '-')}": data for name, data in FILES.items()}
    again, skipped, looked = extracted(moved, examples)
    assert looked == 0
    assert len(skipped) == 2
    assert torch.equal(again.features, examples.features)
    assert again.thumbnails == examples.thumbnails
    assert set(again.labels) == {"any"}
    one_more = {**shapes(), "red/new.png": shapes(8)["red/7.png"]}
    assert extracted(one_more, examples)[2] == 1


def test_mirrored_pictures_are_seen_too_unless_they_are_known(examples: Examples) -> None:
    mirrored, _, looked = extracted(FILES, examples, mirror=True)
    assert looked == 24  # `examples` do not know their mirrored selves
    assert torch.equal(mirrored.features, examples.features)
    name = "red/0.png"
    flipped = BytesIO()
    Image.open(BytesIO(FILES[name])).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(flipped, "PNG")
    alone, _, _ = extracted({name: flipped.getvalue()})
    assert torch.allclose(mirrored.mirrored[mirrored.names.index(name)], alone.features[0], atol=0.5)
    again, _, looked = extracted(FILES, mirrored, mirror=True)
    assert looked == 0
    assert torch.equal(again.mirrored, mirrored.mirrored)
    assert len(extracted(FILES, mirrored)[0].mirrored) == 0


@pytest.mark.parametrize("mirror", [False, True])
def test_a_file_gives_back_what_was_put_in_for_its_own_backbone_alone(tmp_path: Path, *, mirror: bool) -> None:
    examples = extracted({f"{name[0]} çay 茶/{name[-5:]}": data for name, data in FILES.items()}, mirror=mirror)[0]
    path = tmp_path / "examples.safetensors"
    assert Examples.read(path, "lite0.pth") is None
    path.write_bytes(examples.to_bytes("lite0.pth"))
    again = Examples.read(path, "lite0.pth")
    assert again
    for name in ("features", "mirrored"):
        assert torch.equal(getattr(again, name), getattr(examples, name))
    assert np.array_equal(again.hashes, examples.hashes)
    for name in ("labels", "names", "digests", "thumbnails"):
        assert getattr(again, name) == getattr(examples, name)
    assert Examples.names_in(path) == examples.names
    assert Examples.read(path, "lite1.pth") is None


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\xff" * 64, None])
def test_a_damaged_file_counts_as_none(examples: Examples, tmp_path: Path, content: bytes | None) -> None:
    whole = examples.to_bytes("lite0.pth")
    path = tmp_path / "examples.safetensors"
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert Examples.read(path, "lite0.pth") is None
    assert Examples.names_in(path) is None
    assert Examples.names_in(tmp_path / "elsewhere") is None


def test_corrections_change_labels_and_leave_pictures_out(examples: Examples) -> None:
    corrected = examples.corrected({"red/0.png": "blue", "blue/1.png": None})
    assert len(corrected) == len(examples) - 1
    assert "blue/1.png" not in corrected.names
    labels = dict(zip(corrected.names, corrected.labels, strict=True))
    assert labels["red/0.png"] == "blue"
    assert labels["red/1.png"] == "red"
    for position, name in enumerate(corrected.names):
        before = examples.names.index(name)
        assert torch.equal(corrected.features[position], examples.features[before])
        assert corrected.thumbnails[position] == examples.thumbnails[before]
    assert len(examples.corrected(dict.fromkeys(examples.names))) == 0


def test_a_correction_of_a_picture_that_is_not_there_is_told_with_the_nearest(examples: Examples) -> None:
    with pytest.raises(UnknownPictureError) as refused:
        examples.corrected({"red/00.png": "blue"})
    assert "red/0.png" in refused.value.suggestions


def test_whoever_stops_gets_the_threads_back() -> None:
    with Archive(BytesIO(zipped(FILES))) as archive:
        looking = extractor(MeanColours()).extract(archive, archive.entries, None, 14)
        first = next(looking)
        assert first.progress
        assert (first.progress.step, first.progress.steps) == (3, 14)
        looking.close()
