import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from app.vision.transfer.perceptual_hash import duplicate_groups, near_duplicates, perceptual_hash
from tests.support.paths import SAMPLES

# The blot is drawn, and its own mirror image.
NAMES = [path.name for path in sorted(SAMPLES.iterdir()) if path.suffix in {".png", ".jpg"} and path.stem != "blot"]


def photo(name: str) -> Image.Image:
    with Image.open(SAMPLES / name) as image:
        return image.convert("RGB")


def jpeg(image: Image.Image, quality: int = 60) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def distance(first: Image.Image, second: Image.Image) -> int:
    return int(np.bitwise_count(perceptual_hash(first) ^ perceptual_hash(second)).sum())


def plain(colour: str | tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (300, 200), colour)


def random_hashes(number: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**64, (number, 4), np.uint64, endpoint=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_saved_again_or_scaled_is_nearly_itself(name: str) -> None:
    original = photo(name)
    assert distance(original, jpeg(original)) <= 10
    assert distance(original, original.resize((224, 224))) <= 10
    assert distance(original, jpeg(original.resize((original.width // 3, original.height // 2)))) <= 10
    assert distance(original, original.resize((3000, 2000))) <= 10


def test_different_photos_are_far_apart() -> None:
    photos = [photo(name) for name in NAMES]
    assert len(photos) >= 5
    assert min(distance(one, other) for one in photos for other in photos if one is not other) > 40
    assert all(distance(one, one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 40 for one in photos)


def test_plain_pictures_are_the_same_only_if_their_colours_are() -> None:
    assert distance(plain("red"), plain("blue")) > 40
    assert distance(plain("black"), plain("white")) > 40
    assert distance(plain((100, 100, 100)), plain((130, 100, 100))) == 10
    assert distance(plain((100, 150, 200)), jpeg(plain((102, 150, 199)))) <= 3


def test_a_shape_on_white_is_told_from_the_same_shape_of_another_colour() -> None:
    red, blue = plain("white"), plain("white")
    red.paste("red", (100, 50, 200, 150))
    blue.paste("blue", (100, 50, 200, 150))
    assert distance(red, blue) > 10
    assert distance(red, jpeg(red)) <= 10


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (17, 16), (6000, 2)])
def test_extreme_shapes_have_a_hash(size: tuple[int, int]) -> None:
    row = perceptual_hash(Image.new("RGB", size, "red"))
    assert row.shape == (4,)
    assert row.dtype == np.uint64


def test_pairs_are_those_within_the_distance() -> None:
    hashes = random_hashes(300)
    hashes[150:200] = hashes[:50] ^ np.uint64(0b11)  # 8 bits in all four words
    hashes[200:230] = hashes[50:80] ^ np.uint64(0b111)  # 12
    assert near_duplicates(hashes) == [(number, number + 150) for number in range(50)]
    assert len(near_duplicates(hashes, distance=12)) == 80
    assert near_duplicates(hashes, distance=7) == []


def test_pairs_link_the_same_pictures_as_comparing_each_with_each() -> None:
    random = np.random.default_rng(1)
    hashes = random_hashes(40)[random.integers(0, 40, 400)]
    hashes[:, 0] ^= np.uint64(1) << random.integers(0, 64, 400, np.uint64)
    hashes[:, 3] ^= np.uint64(1) << random.integers(0, 64, 400, np.uint64)
    for limit in (0, 2, 4):
        differing = np.bitwise_count(hashes[:, None] ^ hashes).sum(axis=2)
        every = [(i, j) for i in range(400) for j in range(i + 1, 400) if differing[i, j] <= limit]
        pairs = near_duplicates(hashes, distance=limit)
        assert set(pairs) <= set(every)
        assert len(pairs) < 400
        assert (duplicate_groups(400, pairs) == duplicate_groups(400, every)).all()


def test_no_picture_or_one_has_no_duplicates() -> None:
    assert near_duplicates(random_hashes(0)) == near_duplicates(random_hashes(1)) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["different", "same"])
def test_twenty_thousand_pictures_are_compared_in_bounded_memory(kind: str) -> None:
    hashes = random_hashes(20_000) if kind == "different" else np.tile(random_hashes(1), (20_000, 1))
    tracemalloc.start()
    pairs = near_duplicates(hashes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert pairs == ([] if kind == "different" else [(0, number) for number in range(1, 20_000)])


def test_groups_are_named_after_their_first_picture() -> None:
    assert duplicate_groups(7, [(4, 5), (1, 4), (2, 6)]).tolist() == [0, 1, 2, 3, 1, 1, 2]
    assert duplicate_groups(3, []).tolist() == [0, 1, 2]
