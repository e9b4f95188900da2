import io
import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.support.pictures import png

JPEG_HEADER_ONLY = b"\xff\xd8\xff\xe0"


def test_a_photo_of_a_dog_is_a_basenji_and_one_of_a_cat_a_tabby(client: TestClient, dog: bytes, cat: bytes) -> None:
    answer = client.post("/v1/classify", content=dog)
    assert answer.status_code == 200
    body = answer.json()
    assert body["object"] == "prediction"
    assert body["predictions"][0]["label"] == "basenji"
    assert body["predictions"][0]["index"] == 253
    assert body["predictions"][0]["score"] > 0.5
    assert body["model"] == {"name": "imagenet", "version": 1, "backbone": "efficientnet_lite0", "num_classes": 1000}
    assert (body["image"]["width"], body["image"]["height"], body["image"]["format"]) == (299, 299, "PNG")
    assert len(body["image"]["sha256"]) == 64
    assert body["unknown"] is None
    top = client.post("/v1/classify", content=cat).json()["predictions"]
    assert top[0]["label"] in {"tabby", "Egyptian cat", "tiger cat"}


def test_a_photo_of_twelve_megapixels_is_taken_as_a_png_too(client: TestClient) -> None:
    """A fooled one has 10.5 MB; noise, which compresses worse than any photo, has three bytes a pixel."""
    noise = Image.effect_noise((2600, 1700), 90).convert("RGB")
    noise = Image.merge(
        "RGB", [noise.getchannel(0), noise.getchannel(0).rotate(180), Image.effect_noise(noise.size, 9)]
    )
    file = io.BytesIO()
    noise.save(file, "PNG", compress_level=1)
    assert file.tell() > 10.5e6
    assert client.post("/v1/classify", content=file.getvalue()).status_code == 200


def test_scores_fall_and_the_whole_thousand_sums_to_one(client: TestClient, dog: bytes) -> None:
    scores = [one["score"] for one in client.post("/v1/classify?top_k=1000", content=dog).json()["predictions"]]
    assert len(scores) == 1000
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-3)


def test_top_k_and_min_score_choose_how_many(client: TestClient, dog: bytes) -> None:
    assert len(client.post("/v1/classify?top_k=2", content=dog).json()["predictions"]) == 2
    sure = client.post("/v1/classify?top_k=1000&min_score=0.3", content=dog).json()["predictions"]
    assert 0 < len(sure) < 4
    assert all(one["score"] >= 0.3 for one in sure)


def test_display_names_are_in_the_language_that_was_asked_for(client: TestClient, dog: bytes) -> None:
    def display(query: str = "", **headers: str) -> str:
        answer = client.post(f"/v1/classify?top_k=1{query}", content=dog, headers=headers)
        assert "Accept-Language" in answer.headers["Vary"]
        return str(answer.json()["predictions"][0]["display"])

    labels = client.get("/v1/models/imagenet/labels?q=basenji&lang=tr").json()["data"]
    turkish = labels[0]["display"]
    assert display("&lang=tr") == turkish
    assert display(**{"Accept-Language": "de, tr-TR;q=0.9, en;q=0.8"}) == turkish
    assert display(**{"Accept-Language": "tr;q=0, fr"}) == display()
    assert display(**{"Accept-Language": "tr;q=x, en;q=0.5"}) == turkish


def test_multipart_gives_the_same_prediction_as_the_raw_body(client: TestClient, dog: bytes) -> None:
    raw = client.post("/v1/classify", content=dog).json()
    form = client.post("/v1/classify", files={"file": ("dog.jpg", dog, "text/plain")}).json()
    assert form["predictions"] == raw["predictions"]
    assert form["image"] == raw["image"]


def test_each_of_several_pictures_gets_its_own_prediction_or_problem(
    client: TestClient, dog: bytes, cat: bytes
) -> None:
    files = [("file", ("a", dog)), ("file", ("b", b"no picture")), ("file", ("c", cat)), ("file", ("d", dog[:2000]))]
    answer = client.post("/v1/classify", files=files)
    assert answer.status_code == 200
    body = answer.json()
    assert body["object"] == "list"
    assert [one.get("object", one.get("type")) for one in body["data"]] == [
        "prediction", "/problems/unsupported-image", "prediction", "/problems/invalid-image",
    ]  # fmt: skip
    assert body["data"][0]["predictions"][0]["label"] == "basenji"
    assert body["data"][1]["status"] == 415
    assert body["data"][3]["status"] == 422


def test_times_are_told_in_the_body_and_in_server_timing(client: TestClient, dog: bytes) -> None:
    answer = client.post("/v1/classify", content=dog)
    timing = answer.json()["timing_ms"]
    assert timing["total"] >= timing["decode"] + timing["inference"] > 0
    told = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
    assert {name: float(value) for name, value in told.items()} == timing


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"plain text", 415, "unsupported-image"),
        (JPEG_HEADER_ONLY, 422, "invalid-image"),
        (png(6000, 5000), 413, "image-too-large"),
        (b"", 400, "malformed-request"),
    ],
)
def test_what_cannot_be_classified_is_a_problem(client: TestClient, content: bytes, status: int, slug: str) -> None:
    answer = client.post("/v1/classify", content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{slug}"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert client.get(answer.json()["type"]).status_code == 200


def test_a_wrong_model_suggests_the_nearest(client: TestClient, dog: bytes) -> None:
    answer = client.post("/v1/classify?model=imagnet", content=dog)
    assert answer.status_code == 404
    assert answer.json()["suggestions"][0] == "imagenet"


@pytest.mark.parametrize(
    "query", ["top_k=0", "top_k=1001", "top_k=x", "min_score=1.1", "min_score=nan", "lang=de", "topk=3"]
)
def test_a_choice_that_cannot_be_is_pointed_at(client: TestClient, dog: bytes, query: str) -> None:
    answer = client.post(f"/v1/classify?{query}", content=dog)
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/validation-error"
    assert answer.json()["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


@pytest.mark.parametrize("form", [{}, {"data": {"top_k": "3"}}])
def test_a_form_without_a_file_says_what_is_missing(client: TestClient, form: dict[str, dict[str, str]]) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b"--x--\r\n" if not form else b'--x\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n3\r\n--x--\r\n'
    answer = client.post("/v1/classify", content=body, headers=headers)
    assert answer.status_code == 400
    assert "file" in answer.json()["detail"]


def test_a_broken_form_and_too_many_files_are_refused(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    assert client.post("/v1/classify", content=b"--x", headers=headers).status_code == 400
    answer = client.post("/v1/classify", files=[("file", (str(n), png())) for n in range(17)])
    assert answer.status_code == 400
    assert "16" in answer.json()["detail"]


@pytest.mark.parametrize("accept", ["image/png", "text/html;q=0.9, application/json;q=0"])
def test_a_client_that_wants_no_json_is_told_so(client: TestClient, dog: bytes, accept: str) -> None:
    answer = client.post("/v1/classify", content=dog, headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.json()["type"] == "/problems/not-acceptable"


def test_the_eight_orientations_of_one_picture_get_one_answer(client: TestClient, cat: bytes) -> None:
    with Image.open(io.BytesIO(cat)) as image:
        upright = image.resize((640, 360))
    lay_down = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # undone by the EXIF orientation
    answers = []
    for orientation, transposition in lay_down.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        stored = upright if transposition is None else upright.transpose(Image.Transpose(transposition))
        stored.save(buffer, "PNG", exif=exif)
        answers.append(client.post("/v1/classify", content=buffer.getvalue()).json())
    assert all(answer["predictions"] == answers[0]["predictions"] for answer in answers)
    assert {(answer["image"]["width"], answer["image"]["height"]) for answer in answers} == {(640, 360)}


@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
def test_photos_that_were_saved_in_other_orientations_get_the_same_likely_classes(
    client: TestClient, shared_data: Path, shape: str
) -> None:
    """The files were compressed anew for each orientation, so that scores differ a little."""
    answers = []
    for orientation in (1, 3, 6, 8):
        data = (shared_data / f"nasty/exif_{shape}_{orientation}.jpg").read_bytes()
        answers.append(client.post("/v1/classify?top_k=3", content=data).json())
    likely = [{one["label"] for one in answer["predictions"]} for answer in answers]
    assert all(answer["predictions"][0]["label"] in set.intersection(*likely) for answer in answers)
    assert len({(answer["image"]["width"], answer["image"]["height"]) for answer in answers}) == 1


def test_the_hostile_corpus_is_answered_and_the_next_good_picture_too(
    client: TestClient, shared_data: Path, dog: bytes
) -> None:
    manifest = json.loads((shared_data / "nasty/manifest.json").read_text(encoding="utf-8"))
    for name, entry in manifest.items():
        status = client.post("/v1/classify", content=(shared_data / "nasty" / name).read_bytes()).status_code
        expected = {"ok": {200}, "4xx": {400, 413, 415, 422}, "ok_or_415": {200, 415}}
        assert status in expected.get(entry["expect"], {200, 413, 415, 422}), name
    assert client.post("/v1/classify", content=dog).json()["predictions"][0]["label"] == "basenji"
