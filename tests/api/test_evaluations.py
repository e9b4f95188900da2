"""POST /v1/evaluations, the commands and the clients, beside a real worker."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.client import Client
from tests.support.answers import events_of, finished
from tests.support.pictures import shape, zipped

pytestmark = pytest.mark.slow


NEW = {f"{label}/{number}.png": shape(label, number) for label in ("red", "blue") for number in range(100, 112)}


@pytest.fixture(scope="module")
def judged(taught: TestClient, dog: bytes, cat: bytes) -> dict[str, Any]:
    """The job that judged `shapes` on new pictures, four that it learned from, one that is not what its folder says,
    and some of none of the classes.
    """
    files = {
        **NEW,
        **{f"red/old{number}.png": shape("red", number) for number in range(4)},
        "red/odd.png": shape("blue", 150),
        "bilinmeyen/dog.png": dog,
        "unknown/cat.jpg": cat,
        "loose.png": shape("red", 160),
        "red/notes.txt": b"no picture",
    }
    answer = taught.post("/v1/evaluations?model=shapes&compare=shapes&lang=tr", content=zipped(files))
    assert answer.status_code == 202, answer.text
    return finished(taught, answer.json())


def test_it_tells_how_good_a_model_is(judged: dict[str, Any]) -> None:
    assert judged["status"] == "succeeded", judged["error"]
    assert (judged["kind"], judged["input"]["model"], judged["input"]["lang"]) == ("evaluation", "shapes", "tr")
    result = judged["result"]
    assert (result["model"], result["pictures"]) == ("shapes", 25)
    assert result["accuracy"] == pytest.approx(24 / 25, abs=1e-4)
    assert result["interval_95"] == pytest.approx([0.8046, 0.9929], abs=1e-3)
    assert result["confusion"] == {"labels": ["blue", "red", "other"], "counts": [[12, 0, 0], [1, 12, 0]]}
    assert result["balanced_accuracy"] == pytest.approx((1 + 12 / 13) / 2, abs=1e-4)
    red = result["per_class"][1]
    assert (red["label"], red["n"], red["precision"]) == ("red", 13, 1.0)
    assert red["recall"] == pytest.approx(12 / 13, abs=1e-4)
    assert sum(one["n"] for one in result["calibration"]["bins"]) == 25
    assert result["unknown"]["pictures"] == 2
    assert result["unknown"]["found"] == 1.0
    assert result["comparison"]["both_right"] == 24
    assert result["comparison"]["mcnemar_p"] == 1.0
    assert [one["how"] for one in result["understood"]] == ["class", "class"]


def test_pictures_that_it_learned_from_are_told_and_do_not_count(judged: dict[str, Any]) -> None:
    learned = judged["result"]["duplicates_of_training"]
    assert learned == [f"red/old{number}.png" for number in range(4)]
    kinds = {one["kind"] for one in judged["result"]["warnings"]}
    assert {"learned", "no-label", "skipped"} <= kinds


def test_its_files_are_a_report_a_table_and_a_sheet(taught: TestClient, judged: dict[str, Any]) -> None:
    files = judged["result"]["files"]
    assert set(files) == {"report", "predictions", "sheet"}
    kinds = {role: taught.get(path).headers["content-type"].partition(";")[0] for role, path in files.items()}
    assert kinds == {"report": "text/html", "predictions": "text/csv", "sheet": "image/png"}
    assert len(taught.get(files["predictions"]).text.splitlines()) == 1 + 24 + 4 + 1 + 2 + 1
    (worst,) = judged["result"]["worst"]
    assert (worst["name"], worst["true"], worst["predicted"]) == ("red/odd.png", "red", "blue")
    assert taught.get(worst["href"]).headers["content-type"] == "image/jpeg"


def test_it_tells_how_far_it_has_come(taught: TestClient, judged: dict[str, Any]) -> None:
    events = events_of(taught.get(judged["links"]["events"]).text)
    steps = [event["data"]["step"] for event in events if event["event"] == "progress"]
    assert steps == sorted(steps)
    last = [event["data"] for event in events if event["event"] == "progress"][-1]
    assert last["step"] == last["steps"]


def test_corruptions_are_fourteen_changes_at_five_strengths(taught: TestClient) -> None:
    few = {name: data for name, data in NEW.items() if name.endswith(("100.png", "101.png"))}
    answer = taught.post("/v1/evaluations?model=shapes&corruptions=true", content=zipped(few))
    result = finished(taught, answer.json())["result"]
    assert len(result["corruptions"]) == 14 * 5
    assert len({one["name"] for one in result["corruptions"]}) == 14
    assert result["corrupted"]["pictures"] == 4
    assert all(one["accuracy"] == 1.0 for one in result["corruptions"] if one["severity"] == 1)


@pytest.mark.parametrize(
    ("query", "files", "status", "slug"),
    [
        ("model=shapes", {"robot/1.png": shape("red", 1)}, 422, "unknown-label"),
        ("model=shapes&labels=red=purple", {"red/1.png": shape("red", 1)}, 422, "unknown-label"),
        ("model=shapes&labels=nothing", {"red/1.png": shape("red", 1)}, 422, "validation-error"),
        ("model=shapes&labels={", {"red/1.png": shape("red", 1)}, 422, "validation-error"),
        ("model=imagenet", {"cat/1.png": b"", "tabby/1.png": b""}, 422, "ambiguous-folder"),
        ("model=shapes", {"red/1.txt": b"x"}, 422, "not-enough-images"),
        ("model=nobody", {"red/1.png": b""}, 404, "unknown-model"),
        ("model=shapes&compare=nobody", {"red/1.png": b""}, 404, "unknown-model"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_queued(
    taught: TestClient, query: str, files: dict[str, bytes], status: int, slug: str
) -> None:
    before = taught.get("/v1/jobs").json()["data"]
    answer = taught.post(f"/v1/evaluations?{query}", content=zipped(files))
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (status, slug), answer.text
    assert taught.get("/v1/jobs").json()["data"] == before


def test_labels_are_told_as_json_or_one_by_one(taught: TestClient) -> None:
    files = {name.replace("red", "round").replace("blue", "square"): data for name, data in NEW.items()}
    for told in (
        {"labels": json.dumps({"round": ["red"], "square": "blue"})},
        {"labels": ["round=red", "square=blue"]},
    ):
        answer = taught.post("/v1/evaluations", params={"model": "shapes", **told}, content=zipped(files))
        assert answer.status_code == 202, answer.text
        assert finished(taught, answer.json())["result"]["accuracy"] == 1.0


def test_the_client_judges_a_folder(taught: TestClient, tmp_path: Path) -> None:
    for name, data in NEW.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with Client(http=_through(taught)) as client:
        for labels in ({"red": ["red"]}, ["red=red", "blue=blue"], None):
            job = finished(taught, dict(client.evaluate(tmp_path, model="shapes", labels=labels)))
            assert job["result"]["accuracy"] == 1.0


def _through(taught: TestClient) -> httpx2.Client:
    """A client's connection to the application of the test."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode()
        headers = {"content-type": request.headers.get("content-type", "application/octet-stream")}
        given = taught.request(request.method, path, content=request.read(), headers=headers)
        return httpx2.Response(given.status_code, content=given.content, headers={"content-type": "application/json"})

    return httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://localhost")
