import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.jobs.job import Order
from app.settings import Settings
from app.wiring import job_desk_for
from tests.support.answers import events_of, finished
from tests.support.paths import ROOT, SAMPLES

pytestmark = pytest.mark.slow

QUICK = {"objective": {"label": "zebra"}, "preset": "quick", "steps": 3, "size": 96, "seed": 1}
ENDLESS = {**QUICK, "steps": 2048}


@pytest.fixture(scope="module")
def worker(settings: Settings) -> Iterator[None]:
    """Does the jobs of the application under test."""
    process = subprocess.Popen([sys.executable, "-m", "app", "worker"], cwd=ROOT, env=os.environ | settings.environ())
    yield
    process.terminate()
    assert process.wait(20) == 0


def submit(client: TestClient, body: dict[str, Any] = QUICK, **headers: str) -> dict[str, Any]:
    answer = client.post("/v1/ideal-images", json=body, headers=headers)
    assert answer.status_code in {200, 202}, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_job_is_accepted_with_its_place_and_every_default(client: TestClient) -> None:
    answer = client.post("/v1/ideal-images", json={"objective": {"label": "Zebra"}})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["retry-after"]) >= 1
    assert job["status"] == "queued"
    assert job["queue"]["position"] >= 1
    assert job["input"] == {
        "model": "imagenet",
        "objective": {"label": "zebra"},
        "preset": "clear",
        "steps": 144,
        "seed": job["input"]["seed"],
        "size": 224,
        "count": 1,
        "diversity": 1.0,
    }
    canceled = client.post(job["links"]["cancel"]).json()
    assert (canceled["status"], canceled["started_at"]) == ("canceled", None)


@pytest.mark.usefixtures("worker")
def test_an_ideal_image_is_made_and_checked_by_others(client: TestClient) -> None:
    job = finished(client, submit(client))
    assert job["status"] == "succeeded"
    result = job["result"]
    assert {check["model"] for check in result["checks"]} >= {"efficientnet_lite1", "efficientnet_lite2"}
    final = client.get(result["files"]["final"])
    assert final.headers["content-type"] == "image/png"
    again = client.post("/v1/classify", params={"top_k": 1000}, content=final.content).json()["predictions"]
    score = next(one["score"] for one in again if one["label"] == "zebra")
    assert score == pytest.approx(result["png_score"], abs=1e-3)
    assert client.get(result["files"]["animation"]).headers["content-type"] == "image/webp"
    recipe = client.get(result["files"]["recipe"]).json()
    assert recipe["request"] == job["input"]
    assert client.get(result["files"]["final"], headers={"If-None-Match": final.headers["etag"]}).status_code == 304


@pytest.mark.usefixtures("worker")
def test_facets_have_files_of_their_own_and_a_sheet(client: TestClient) -> None:
    job = finished(client, submit(client, {**QUICK, "count": 2}))
    result = job["result"]
    first, second = result["facets"]
    assert result["files"]["final"] == first["href"]
    assert result["files"]["facet_2"] == second["href"]
    for name in ("label", "score", "png_score", "similarity", "checks"):
        assert result[name] == first[name]
    assert result["success"] == (first["success"] and second["success"])
    for facet in (first, second):
        again = client.post("/v1/classify", params={"top_k": 1000}, content=client.get(facet["href"]).content).json()
        score = next(one["score"] for one in again["predictions"] if one["label"] == "zebra")
        assert score == pytest.approx(facet["png_score"], abs=1e-3)
        assert facet["similarity"] is not None
        assert "file" not in facet
    assert client.get(result["files"]["sheet"]).headers["content-type"] == "image/png"


@pytest.mark.usefixtures("worker")
def test_prefer_wait_answers_with_the_finished_job(client: TestClient) -> None:
    answer = client.post("/v1/ideal-images", json=QUICK, headers={"Prefer": "wait=60"})
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert answer.headers["preference-applied"] == "wait=60"


@pytest.mark.usefixtures("worker")
def test_a_fooled_dog_is_taken_for_a_cat_when_it_is_uploaded_again(client: TestClient, dog: bytes) -> None:
    answer = client.post("/v1/adversarial-images", params={"target": "tabby"}, content=dog)
    result = finished(client, answer.json())["result"]
    assert result["success"]
    assert result["verified"]["jpeg_q75"]
    assert result["before"]["label"] == "basenji"
    assert not result["control"]["noise"]["fooled"]
    picture = client.get(result["files"]["adversarial"]).content
    (seen,) = client.post("/v1/classify", params={"top_k": 1}, content=picture).json()["predictions"]
    assert seen["label"] == result["after"]["label"] == "tabby"
    assert client.get(result["files"]["original"]).status_code == 200


@pytest.mark.usefixtures("worker")
def test_one_picture_fools_two_networks_and_is_verified_on_the_ways_that_were_asked_for(
    client: TestClient, dog: bytes
) -> None:
    both = ["imagenet", "efficientnet_lite1"]
    choices = {"target": "tabby", "models": ",".join(both), "method": "pgd", "survive": ["messenger", "edit"]}
    job = client.post("/v1/adversarial-images", params={**choices, "epsilon": "8/255"}, content=dog).json()
    assert job["input"]["models"] == both
    assert job["input"]["survive"] == ["messenger", "edit"]
    result = finished(client, job)["result"]
    assert result["success"]
    assert {"messenger", "crop", "mirror", "turn", "margin"} < set(result["verified"])
    picture = client.get(result["files"]["adversarial"]).content
    for name, told in zip(both, result["models"], strict=True):
        (seen,) = client.post("/v1/classify", params={"top_k": 1, "model": name}, content=picture).json()["predictions"]
        assert (told["model"], told["label"], told["fooled"]) == (name, seen["label"], True)
        assert set(told["verified"]) == set(result["verified"])
    for way, held in result["verified"].items():
        assert held == all(told["verified"][way] for told in result["models"])
    assert not {one["model"] for one in result["transfer"]} & set(both)


@pytest.mark.usefixtures("worker")
def test_events_tell_the_whole_story_and_resume_where_a_client_left(client: TestClient) -> None:
    job = submit(client)
    events = events_of(client.get(job["links"]["events"]).text)
    names = [event["event"] for event in events]
    assert [name for name in names if name in {"started", "end"}] == ["started", "end"]
    assert names[-1] == "end"
    assert "progress" in names
    assert "queued" not in names[names.index("started") :]
    kept = [event for event in events if "id" in event]
    assert [int(event["id"]) for event in kept] == list(range(1, len(kept) + 1))
    assert kept[-1]["data"]["job"]["status"] == "succeeded"
    rest = client.get(job["links"]["events"], headers={"Last-Event-ID": kept[1]["id"]})
    assert events_of(rest.text) == kept[2:]
    assert client.get(job["links"]["events"], headers={"Last-Event-ID": kept[-1]["id"]}).status_code == 204
    listed = client.get(job["links"]["events"], headers={"Accept": "application/json"}).json()["data"]
    assert [one["event"] for one in listed] == [event["event"] for event in kept]


@pytest.mark.usefixtures("worker")
def test_a_canceled_job_tells_when_it_was_started(client: TestClient) -> None:
    job = submit(client, ENDLESS)
    self, etag = job["links"]["self"], ""
    while job["status"] == "queued":
        answer = client.get(self, headers={"Prefer": "wait=60", "If-None-Match": etag})
        etag, job = answer.headers["etag"], client.get(self).json()
    while not client.get(self).json()["progress"]:  # before its first event, nobody has begun
        answer = client.get(self, headers={"Prefer": "wait=60", "If-None-Match": etag})
        etag = answer.headers["etag"]
    running = client.get(self).json()
    canceled = client.post(job["links"]["cancel"]).json()
    assert canceled["status"] == "canceled"
    began = [datetime.fromisoformat(one["started_at"]) for one in (running, canceled)]
    assert abs(began[0] - began[1]) < timedelta(seconds=30)
    created, ended = (datetime.fromisoformat(canceled[name]) for name in ("created_at", "finished_at"))
    assert created <= began[1] <= ended + timedelta(seconds=1)  # one is told in milliseconds, the other in seconds


@pytest.mark.usefixtures("worker")
def test_a_running_job_is_canceled_and_deleted(client: TestClient) -> None:
    job = submit(client, ENDLESS)
    text = client.get("/v1/jobs", params={"status": "queued"}).text
    assert client.get(job["links"]["self"]).json()["status"] in text + "running"
    canceled = client.post(job["links"]["cancel"]).json()
    assert canceled["status"] == "canceled"
    assert events_of(client.get(job["links"]["events"]).text)[-1]["data"]["status"] == "canceled"
    assert client.delete(job["links"]["self"]).status_code == 204
    missing = client.get(job["links"]["self"])
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/unknown-job")
    assert client.delete(job["links"]["self"]).status_code == 404


def test_polling_with_an_etag_costs_nothing_while_nothing_changes(client: TestClient) -> None:
    job = submit(client, ENDLESS)
    client.post(job["links"]["cancel"])
    first = client.get(job["links"]["self"])
    again = client.get(job["links"]["self"], headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_same_idempotency_key_is_the_same_job(client: TestClient) -> None:
    body = {"objective": {"label": "zebra"}, "steps": 2048}
    headers = {"Idempotency-Key": "test-key"}
    first, second = (client.post("/v1/ideal-images", json=body, headers=headers).json() for _ in range(2))
    assert first["id"] == second["id"]
    other = client.post("/v1/ideal-images", json={**body, "steps": 7}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    client.post(first["links"]["cancel"])


def test_jobs_are_listed_newest_first(client: TestClient) -> None:
    jobs = [submit(client, ENDLESS) for _ in range(2)]
    listed = client.get("/v1/jobs", params={"limit": 2}).json()
    assert listed["object"] == "list"
    assert len(listed["data"]) == 2
    for job in jobs:
        client.post(job["links"]["cancel"])


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ({"objective": {"label": "zebr"}}, 422, "unknown-label"),
        ({"objective": {"label": "zebra"}, "model": "imagnet"}, 404, "unknown-model"),
        ({"objective": {"layer": "_blocks.99", "channel": 0}}, 404, "unknown-layer"),
        ({"objective": {"layer": "_blocks.4", "channel": 40}}, 422, "validation-error"),
        ({"objective": {"layer": "_blocks.4", "channel": 4, "x": 28}}, 422, "validation-error"),
        ({"objective": {"label": "zebra"}, "size": 10_000}, 422, "validation-error"),
        ({"objective": {"label": "zebra"}, "colour": "red"}, 422, "validation-error"),
        ({"objective": {"label": "zebra"}, "count": 10}, 422, "validation-error"),
        ({"objective": {"label": "zebra"}, "count": 2, "preset": "lesson"}, 422, "validation-error"),
        ({}, 422, "validation-error"),
    ],
)
def test_ideal_images_that_cannot_be_are_refused_before_they_wait(
    client: TestClient, body: dict[str, Any], status: int, slug: str
) -> None:
    answer = client.post("/v1/ideal-images", json=body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    if slug.startswith("unknown"):
        assert answer.json()["suggestions"]


def test_a_channel_can_be_asked_for(client: TestClient) -> None:
    job = submit(client, {"objective": {"layer": "_blocks.4", "channel": 39, "x": 27, "y": 0}})
    assert job["input"]["objective"] == {"layer": "_blocks.4", "channel": 39, "x": 27, "y": 0}
    client.post(job["links"]["cancel"])


@pytest.mark.parametrize(
    ("choices", "status", "slug"),
    [
        ({"target": "basenji"}, 422, "target-is-source"),
        ({"target": "253"}, 422, "target-is-source"),
        ({"target": "no such cat"}, 422, "unknown-label"),
        ({"epsilon": "8/0"}, 422, "validation-error"),
        ({"epsilon": "-1"}, 422, "validation-error"),
        ({"norm": "l2", "method": "robust"}, 422, "validation-error"),
        ({"model": "nonsense"}, 404, "unknown-model"),
        ({"models": "imagenet,nonsense"}, 404, "unknown-model"),
        ({"models": "imagenet,cats-vs-dogs", "target": "tabby"}, 422, "unknown-label"),
        ({"models": "imagenet,imagenet"}, 422, "validation-error"),
        ({"models": "imagenet"}, 422, "validation-error"),
        ({"models": "imagenet,efficientnet_lite1", "model": "pets"}, 422, "validation-error"),
        ({"models": "imagenet,efficientnet_lite1", "space": "model"}, 422, "validation-error"),
        ({"patch": "0.1"}, 422, "validation-error"),
        ({"place": "center"}, 422, "validation-error"),
        ({"method": "patch", "place": "nowhere"}, 422, "validation-error"),
        ({"method": "patch", "patch": "0.3"}, 422, "validation-error"),
        ({"method": "patch", "epsilon": "8/255"}, 422, "validation-error"),
        ({"method": "patch", "space": "model"}, 422, "validation-error"),
        ({"survive": "file,fax"}, 422, "validation-error"),
        ({"survive": ""}, 422, "validation-error"),
    ],
)
def test_attacks_that_cannot_be_are_refused_before_they_wait(
    client: TestClient, dog: bytes, choices: dict[str, str], status: int, slug: str
) -> None:
    answer = client.post("/v1/adversarial-images", params=choices, content=dog)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")


def test_epsilon_may_be_a_fraction(client: TestClient, dog: bytes) -> None:
    job = client.post("/v1/adversarial-images", params={"epsilon": "8/255", "method": "pgd"}, content=dog).json()
    assert job["input"]["epsilon"] == pytest.approx(8 / 255)
    client.post(job["links"]["cancel"])


def test_what_is_no_picture_is_refused_at_once(client: TestClient) -> None:
    assert client.post("/v1/adversarial-images", content=b"rubbish").status_code == 415
    files = [("file", (name, (SAMPLES / "cat.jpg").read_bytes())) for name in ("one.jpg", "two.jpg")]
    assert client.post("/v1/adversarial-images", files=files).status_code == 400


def test_unknown_jobs_and_files(client: TestClient) -> None:
    for path in ("/v1/jobs/job_nothing", "/v1/jobs/job_nothing/events", "/v1/jobs/job_nothing/files/final.png"):
        assert client.get(path).json()["type"] == "/problems/unknown-job"
    job = submit(client, ENDLESS)
    client.post(job["links"]["cancel"])
    assert client.get(f"/v1/jobs/{job['id']}/files/final.png").json()["type"] == "/problems/unknown-file"
    assert client.get(f"/v1/jobs/{job['id']}/files/..%2Fupload").status_code in {404, 422}
    assert client.get(f"{job['links']['events']}", headers={"Accept": "image/png"}).status_code == 406


def test_a_wrong_method_is_told_the_right_ones(client: TestClient) -> None:
    answer = client.put("/v1/jobs/job_nothing")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET")


@pytest.mark.usefixtures("worker")
def test_listeners_of_a_job_that_is_deleted_are_told_so(client: TestClient) -> None:
    job = submit(client, ENDLESS)
    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(client.get, job["links"]["events"]) for _ in range(8)]
        text = ""
        while '"step"' not in text:
            text = client.get(job["links"]["events"], headers={"Accept": "application/json"}).text
        assert client.delete(job["links"]["self"]).status_code == 204
        ends = [events_of(stream.result().text)[-1] for stream in streams]
    assert {(end["event"], end["data"]["status"]) for end in ends} <= {("end", "deleted"), ("end", "canceled")}
    assert ends


@pytest.mark.usefixtures("worker")
def test_why_a_job_failed_is_told_by_the_same_table_as_any_error(client: TestClient, settings: Settings) -> None:
    queue = job_desk_for(settings).queue
    order = Order("ideal_image", "imagenet/quick", "testclient", {**QUICK, "objective": {"label": "no such class"}})
    job = queue.submit(replace(order, input={**order.input, "model": "imagenet"}))
    failed = finished(client, {"links": {"self": f"/v1/jobs/{job.id}"}})
    assert failed["error"]["type"] == "/problems/unknown-label"
    assert failed["error"]["status"] == 422
    queue.close()


@pytest.mark.parametrize("choice", ["seed", "steps", "size", "deadline_s"])
def test_true_is_no_number(client: TestClient, choice: str) -> None:
    answer = client.post("/v1/ideal-images", json={"objective": {"label": "zebra"}, choice: True})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/body/{choice}"
