"""POST /v1/neighbors, of a model that is taught here."""

from base64 import b64decode
from io import BytesIO

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.support.pictures import shape

pytestmark = pytest.mark.slow


def test_a_picture_that_it_learned_is_its_own_neighbor_and_the_others_are_of_its_class(taught: TestClient) -> None:
    answer = taught.post("/v1/neighbors?model=shapes&k=4", content=shape("red", 3))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["first"]["label"] == "red"
    first, *others = found["data"]
    assert (first["name"], first["label"]) == ("red/3.png", "red")
    assert first["similarity"] == pytest.approx(1, abs=0.01)
    similarities = [one["similarity"] for one in found["data"]]
    assert similarities == sorted(similarities, reverse=True)
    assert [one["label"] for one in others] == ["red"] * 3
    with Image.open(BytesIO(b64decode(first["thumbnail"].partition("base64,")[2]))) as thumbnail:
        red, _, blue = thumbnail.resize((1, 1), box=(20, 20, 70, 70)).getpixel((0, 0))  # type: ignore[misc]
        assert red > blue


def test_more_than_there_are_is_all_and_a_sheet_is_drawn(taught: TestClient) -> None:
    assert len(taught.post("/v1/neighbors?model=shapes&k=50", content=shape("blue", 70)).json()["data"]) == 24
    drawn = taught.post("/v1/neighbors?model=shapes&format=png", content=shape("blue", 70))
    with Image.open(BytesIO(drawn.content)) as sheet:
        assert sheet.width > 6 * 200


def test_a_new_version_is_looked_at_anew(taught: TestClient) -> None:
    body = {"corrections": [{"picture": "red/3.png", "label": None}]}
    job = taught.post("/v1/models/shapes/corrections", json=body).json()
    assert taught.get(job["links"]["self"], headers={"Prefer": "wait=60"}).json()["status"] == "succeeded"
    found = taught.post("/v1/neighbors?model=shapes&k=50", content=shape("red", 3)).json()["data"]
    assert len(found) == 23
    assert "red/3.png" not in {one["name"] for one in found}


@pytest.mark.parametrize("model", ["imagenet", "cats-vs-dogs"])
def test_a_model_that_ships_keeps_none(taught: TestClient, dog: bytes, model: str) -> None:
    answer = taught.post(f"/v1/neighbors?model={model}", content=dog)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "no-examples")
