"""POST /v1/stability, and what classification tells of it."""

from io import BytesIO

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.vision.evaluation.changes import CHANGES


def test_the_answer_is_told_for_each_change_at_each_strength(client: TestClient, dog: bytes) -> None:
    answer = client.post("/v1/stability?model=imagenet&lang=tr&changes=jpeg&changes=noise", content=dog)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["first"]["label"], told["target"]["label"]) == ("basenji", "basenji")
    assert [one["name"] for one in told["changes"]] == ["jpeg", "noise"]
    for change in told["changes"]:
        assert [one["severity"] for one in change["severities"]] == [1, 2, 3, 4, 5]
        flips = [one["severity"] for one in change["severities"] if not one["holds"]]
        assert change["flips_at"] == (flips[0] if flips else None)
    held = [one["holds"] for change in told["changes"] for one in change["severities"]]
    assert told["stable_share"] == pytest.approx(sum(held) / 10)
    assert told["image"]["seen"]["width"] > 0.8
    assert "inference" in answer.headers["server-timing"]


@pytest.mark.slow
def test_without_a_choice_it_is_all_of_them_and_a_sheet_for_who_wants_a_picture(client: TestClient, dog: bytes) -> None:
    answer = client.post("/v1/stability?model=imagenet", content=dog)
    assert [one["name"] for one in answer.json()["changes"]] == [*CHANGES]
    assert len(CHANGES) == 14
    for form, name in (("png", "PNG"), ("webp", "WEBP")):
        drawn = client.post("/v1/stability?model=imagenet", content=dog, headers={"Accept": f"image/{form}"})
        with Image.open(BytesIO(drawn.content)) as sheet:
            assert sheet.format == name
            assert sheet.width > 1000


@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ("changes=rust", 422, "validation-error"),
        ("target=nothing", 422, "unknown-label"),
        ("model=nobody", 404, "unknown-model"),
    ],
)
def test_what_cannot_be_is_refused(client: TestClient, dog: bytes, query: str, status: int, slug: str) -> None:
    answer = client.post(f"/v1/stability?{query}", content=dog)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (status, slug)


def test_classification_tells_whether_the_answer_holds_if_it_is_asked(client: TestClient, dog: bytes) -> None:
    assert client.post("/v1/classify", content=dog).json()["stability"] is None
    told = client.post("/v1/classify?stability=true", content=dog).json()
    assert told["stability"]["of"] == 8
    assert told["stability"]["agreeing"] >= 6
    assert told["stability"]["suspicious"] is False
    files = [("file", ("dog.png", dog)), ("file", ("broken.png", b"\x89PNG"))]
    one, broken = client.post("/v1/classify?stability=true", files=files).json()["data"]
    assert one["stability"] == told["stability"]
    assert broken["type"].endswith("image")
