import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from tests.support.answers import events_of, finished, label_of, teach
from tests.support.asgi import archive_sent
from tests.support.paths import ROOT
from tests.support.pictures import shape, shapes, zipped
from tests.support.service import wait_until_ready

pytestmark = pytest.mark.slow

NAMES = {"red": {"en": "red disc", "tr": "kırmızı daire"}, "blue": {"en": "blue square", "tr": "mavi kare"}}
LEFT = {"type": "http.disconnect"}
ODD = {**shapes(), "red/odd.png": shape("blue", 99)}
"""One picture has the wrong label."""


@pytest.fixture(scope="module")
def school_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With limits that a test can exceed."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("parent") / "var",
        engine="torch",
        worker="external",
        max_picture_bytes=500_000,
        max_request_bytes=1_000_000,
        max_archive_bytes=3_000_000,
    )


@pytest.fixture(scope="module")
def service(school_settings: Settings) -> Iterator[TestClient]:
    """The real application beside a real worker."""
    environ = os.environ | school_settings.environ()
    worker = subprocess.Popen([sys.executable, "-m", "app", "worker"], cwd=ROOT, env=environ)
    with TestClient(create_app(school_settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.fixture(autouse=True)
def nothing_is_left(school_settings: Settings) -> Iterator[None]:
    """Whatever was sent, and however it ended, no upload stays on the disk."""
    yield
    folder = school_settings.data_dir / "uploads"
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def taught(service: TestClient) -> dict[str, Any]:
    """The job that taught `shapes`."""
    pictures = {**shapes(12), "red/odd.png": shape("blue", 99)}  # of fewer nobody knows what is unknown
    return teach(service, "shapes", zipped({**pictures, "labels.json": json.dumps(NAMES)}))


def refused(service: TestClient, archive: bytes, **choices: str) -> tuple[int, str]:
    before = service.get("/v1/jobs").json()["data"]
    answer = service.post("/v1/models", params={"name": "refused", **choices}, content=archive)
    assert service.get("/v1/jobs").json()["data"] == before, "nothing was queued"
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def test_an_archive_becomes_a_model_that_serves_at_once(service: TestClient, taught: dict[str, Any]) -> None:
    assert taught["status"] == "succeeded", taught["error"]
    assert taught["kind"] == "model"
    assert (taught["input"]["name"], taught["input"]["seed"]) == ("shapes", 0)
    assert label_of(service, "shapes", shape("red", 50)) == "red"
    assert label_of(service, "shapes", shape("blue", 51)) == "blue"
    assert "shapes" in [one["name"] for one in service.get("/v1/models").json()["data"]]


def test_a_browsers_folder_becomes_a_model(service: TestClient) -> None:
    files = [("files", (name, data)) for name, data in shapes().items()]
    job = finished(service, service.post("/v1/models", params={"name": "folder"}, files=files).json())
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["metrics"]["pictures_judged"] == 12
    assert [one["kind"] for one in job["result"]["warnings"]] == ["few-pictures"]
    assert label_of(service, "folder", shape("red", 50)) == "red"


def test_a_form_may_hold_the_zip(service: TestClient) -> None:
    files = {"file": ("shapes.zip", zipped({"red/0.png": b"x"}))}
    answer = service.post("/v1/models", params={"name": "refused"}, files=files)
    assert answer.json()["counts"] == {"red": 1}


def test_the_result_tells_how_good_it_is_and_shows_the_mistakes(service: TestClient, taught: dict[str, Any]) -> None:
    result = taught["result"]
    metrics = result["metrics"]
    assert (result["model"], result["version"], metrics["pictures_judged"]) == ("shapes", 1, 25)
    assert metrics["accuracy"] == pytest.approx(24 / 25, abs=1e-3)
    low, high = metrics["accuracy_interval"]
    assert low < metrics["accuracy"] < high
    assert metrics["baseline_accuracy"] == pytest.approx(13 / 25, abs=1e-3)
    assert metrics["confusion"] == [[12, 0], [1, 12]]
    assert {one["label"]: one["pictures"] for one in metrics["per_class"]} == {"blue": 12, "red": 13}
    assert set(metrics["calibration_error"]) == {"before", "after"}
    assert set(result["seconds"]) == {"features", "fit"}
    (mistake,) = result["worst"]
    assert (mistake["picture"], mistake["true"], mistake["predicted"]) == ("red/odd.png", "red", "blue")
    shown = service.get(mistake["href"])
    assert shown.headers["content-type"] == "image/jpeg"
    with Image.open(BytesIO(shown.content)) as picture:
        assert min(picture.size) >= 90
    assert service.get(taught["links"]["model"]).json()["name"] == "shapes"


def test_its_events_are_a_curve(service: TestClient, taught: dict[str, Any]) -> None:
    events = events_of(service.get(taught["links"]["events"]).text)
    assert [event["event"] for event in events if event["event"] in {"started", "end"}] == ["started", "end"]
    metrics = [event["data"] for event in events if event["event"] == "metric"]
    assert metrics
    attempts = [(metric["attempt"], metric["l2_penalty"]) for metric in metrics]
    assert attempts == [(1, 1.0), (2, 0.1), (3, 0.01), (4, 0.001)], "what is tried one after the other is no epoch"
    assert all({"split", "loss", "accuracy"} <= metric.keys() and "epoch" not in metric for metric in metrics)
    steps = [event["data"]["step"] for event in events if event["event"] == "progress"]
    assert steps == sorted(steps)
    last = [event["data"] for event in events if event["event"] == "progress"][-1]
    assert last["step"] == last["steps"]


@pytest.mark.usefixtures("taught")
def test_a_stranger_is_unknown_and_a_new_picture_is_not(service: TestClient, dog: bytes) -> None:
    def unknown(picture: bytes) -> bool:
        found: bool = service.post("/v1/classify?model=shapes", content=picture).json()["unknown"]["is_unknown"]
        return found

    assert unknown(dog)
    assert not unknown(shape("red", 50))


@pytest.mark.usefixtures("taught")
def test_its_card_tells_how_it_was_taught(service: TestClient) -> None:
    card = service.get("/v1/models/shapes").json()
    assert (card["num_classes"], card["version"], card["is_trained"]) == (2, 1, True)
    assert card["training"]["counts"] == {"red": 13, "blue": 12}
    assert {"mode", "seed", "seconds", "versions", "created_at"} <= card["training"].keys()
    assert "job" not in card["training"]
    assert card["metrics"]["unknown"]["threshold"] > 0
    assert card["links"]["export"] == "/v1/models/shapes/export"
    (listed,) = [one for one in service.get("/v1/models").json()["data"] if one["name"] == "shapes"]
    tables = {"confusion", "per_class"}
    assert listed["metrics"] == {name: found for name, found in card["metrics"].items() if name not in tables}
    assert tables <= card["metrics"].keys()
    shipped = service.get("/v1/models/imagenet").json()
    assert (shipped["training"], shipped["is_trained"]) == (None, False)


@pytest.mark.usefixtures("taught")
def test_its_classes_are_called_as_the_archive_says(service: TestClient) -> None:
    for language in ("en", "tr"):
        labels = service.get("/v1/models/shapes/labels", params={"lang": language}).json()["data"]
        assert {one["label"]: one["display"] for one in labels} == {
            name: displays[language] for name, displays in NAMES.items()
        }


@pytest.mark.usefixtures("taught")
@pytest.mark.parametrize(
    ("choices", "status", "slug"),
    [
        ({"name": "shapes"}, 409, "model-exists"),
        ({"name": "imagenet"}, 409, "model-exists"),
        ({"name": "imagenet", "replace": "true"}, 409, "model-exists"),
        ({"name": "efficientnet_lite1", "replace": "true"}, 409, "model-exists"),
        ({"name": "No Slug"}, 422, "validation-error"),
        ({"name": "../x"}, 422, "validation-error"),
        ({"name": "a" * 65}, 422, "validation-error"),
        ({"mode": "magic"}, 422, "validation-error"),
        ({"colour": "red"}, 422, "validation-error"),
        ({"backbone": "vgg"}, 404, "unknown-backbone"),
        ({"backbone": "vgg16"}, 503, "missing-weights"),
    ],
)
def test_what_cannot_be_is_refused_before_the_pictures_are_looked_at(
    service: TestClient, choices: dict[str, str], status: int, slug: str
) -> None:
    assert refused(service, b"junk", **choices) == (status, slug)


def test_too_few_pictures_are_counted(service: TestClient) -> None:
    archive = zipped({"red/0.png": shape("red", 0), "blue/0.png": shape("blue", 0), "blue/1.png": shape("blue", 1)})
    assert refused(service, archive) == (422, "not-enough-images")
    answer = service.post("/v1/models?name=refused", content=archive)
    assert answer.json()["counts"] == {"red": 1, "blue": 2}


def test_missing_weights_are_told_with_the_command_that_brings_them(service: TestClient) -> None:
    answer = service.post("/v1/models?name=refused&backbone=resnet50", content=b"x")
    assert "`inkblot weights get resnet50` brings them" in answer.json()["detail"]
    assert "retry-after" not in answer.headers, "no waiting mends it"


def test_oxfords_layout_in_a_tar_is_taught_and_told(service: TestClient) -> None:
    """`images/Abyssinian_12.jpg`, all in one folder."""
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for label, breed in (("red", "Abyssinian"), ("blue", "american_bulldog")):
            for number in range(4):
                member = tarfile.TarInfo(f"images/{breed}_{number}.jpg")
                data = shape(label, number)
                member.size = len(data)
                archive.addfile(member, BytesIO(data))
    job = teach(service, "oxford", file.getvalue())
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["layout"] == {
        "name": "file-names",
        "detail": "Read as pictures whose names are their class and a number: Abyssinian (4), american_bulldog (4).",
        "pictures": {"learning": 8},
    }
    assert service.get("/v1/models/oxford").json()["training"]["layout"]["name"] == "file-names"
    assert label_of(service, "oxford", shape("red", 50)) == "Abyssinian"


def test_what_can_be_read_in_two_ways_is_refused_with_both(service: TestClient) -> None:
    nested = {f"red/small/{number}.png": shape("red", number) for number in (50, 51)}
    assert refused(service, zipped(shapes() | nested)) == (422, "invalid-archive")
    detail = service.post("/v1/models?name=refused", content=zipped(shapes() | nested)).json()["detail"]
    assert (
        "the 2 folders blue and red are the classes, or the folders in them (small) are classes of their own" in detail
    )


def test_pictures_that_cannot_be_read_fail_the_job_with_the_reason(service: TestClient) -> None:
    job = teach(service, "refused", zipped(dict.fromkeys(shapes(), b"no picture")))
    assert job["status"] == "failed"
    assert job["error"]["type"] == "/problems/not-enough-images"
    assert service.get("/v1/models/refused").status_code == 404


def encrypted(archive: bytes) -> bytes:
    """Marked so, which is as far as anybody comes without the password."""
    marked = bytearray(archive)
    for mark, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        place = marked.find(mark)
        while place >= 0:
            marked[place + flags] |= 1
            place = marked.find(mark, place + 4)
    return bytes(marked)


@pytest.mark.parametrize(
    "archive", [b"junk", zipped(shapes())[:-30], encrypted(zipped(shapes())), b"\x1f\x8b" + bytes(100)]
)
def test_what_is_no_whole_archive_is_refused(service: TestClient, archive: bytes) -> None:
    assert refused(service, archive) == (422, "invalid-archive")


def test_a_body_that_is_nothing_is_malformed(service: TestClient) -> None:
    assert refused(service, b"") == (400, "malformed-request")
    answer = service.post("/v1/models?name=refused", files={"files": (None, "text")})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-request")
    answer = service.post("/v1/models?name=refused", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-request")


def test_a_hostile_archive_writes_nothing_outside_and_its_good_pictures_are_learned(
    service: TestClient, school_settings: Settings
) -> None:
    def outside() -> set[Path]:
        parent = school_settings.data_dir.parent
        return {path for path in parent.rglob("*") if not path.is_relative_to(school_settings.data_dir)}

    file = BytesIO()
    with ZipFile(file, "w") as archive:
        for name, data in shapes().items():
            archive.writestr(name, data)
        for name in ("../red/evil.png", "../../../red/evil.png", "/tmp/red/evil.png", "C:\\red\\evil.png", "evil.png"):
            archive.writestr(name, shape("red", 60))
        link = ZipInfo("red/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("red/nested.zip", zipped(shapes()))
        archive.writestr("red/naïve 名前 \u202egnp.exe.png", shape("red", 61))
        archive.writestr("red/broken.png", b"\x89PNG\r\n\x1a\n")
    before = outside()
    job = teach(service, "hostile", file.getvalue())
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["metrics"]["pictures_judged"] == 13
    (skipped,) = [one for one in job["result"]["warnings"] if one["kind"] == "skipped"]
    assert {"red/link.png", "red/nested.zip", "red/broken.png", "evil.png"} <= set(skipped["pictures"])
    assert outside() == before
    assert not Path("/tmp/red").exists()
    assert label_of(service, "hostile", shape("blue", 51)) == "blue"


def test_this_path_alone_takes_more_than_a_request_and_not_more_than_an_archive(service: TestClient) -> None:
    large, too_large = (zipped({f"red/{n}.png": os.urandom(400_000) for n in range(count)}) for count in (4, 8))
    assert refused(service, large) == (422, "not-enough-images")
    assert service.post("/v1/classify", content=large).status_code == 413
    assert service.post("/v1/models/shapes/corrections", content=large).status_code == 413
    assert refused(service, too_large) == (413, "body-too-large")
    chunks = (too_large[start : start + 100_000] for start in range(0, len(too_large), 100_000))
    untold = service.post("/v1/models?name=refused", content=chunks)
    assert (untold.status_code, untold.json()["type"]) == (413, "/problems/body-too-large")
    files = [("files", (f"red/{n}.png", os.urandom(400_000))) for n in range(8)]
    assert service.post("/v1/models?name=refused", files=files).status_code == 413


def test_a_client_that_breaks_off_leaves_nothing(service: TestClient, school_settings: Settings) -> None:
    received: list[int] = []

    async def receive() -> dict[str, Any]:
        received.append(len(list((school_settings.data_dir / "uploads").iterdir())))
        return {"type": "http.request", "body": b"PK", "more_body": True} if len(received) < 3 else LEFT

    async def send(_message: object) -> None: ...

    for content_type in (b"application/zip", b"multipart/form-data; boundary=x"):
        received.clear()
        scope = archive_sent(service, "broken-off", content_type)
        assert service.portal
        service.portal.call(service.app, scope, receive, send)
        assert received[-1] == 1, "it was being written"
        assert list((school_settings.data_dir / "uploads").iterdir()) == []


def test_replacing_makes_the_next_version(service: TestClient) -> None:
    assert teach(service, "again", zipped(shapes()))["result"]["version"] == 1
    assert label_of(service, "again", shape("red", 50)) == "red"
    swapped = {name.replace("red", "circle"): data for name, data in shapes(7).items()}
    second = teach(service, "again", zipped(swapped), replace="true")
    assert (second["status"], second["result"]["version"]) == ("succeeded", 2)
    assert second["result"]["metrics"]["pictures_judged"] == 14
    assert label_of(service, "again", shape("red", 50)) == "circle"
    assert service.get("/v1/models/again").json()["version"] == 2


def test_corrections_make_the_next_version_without_the_pictures(service: TestClient) -> None:
    first = teach(service, "corrected", zipped(ODD))
    (mistake,) = first["result"]["worst"]
    body = {"corrections": [{"picture": mistake["picture"], "label": "blue"}, {"picture": "red/0.png", "label": None}]}
    key = {"Idempotency-Key": "correct-once"}
    answer = service.post("/v1/models/corrected/corrections", json=body, headers=key)
    assert (answer.status_code, answer.json()["kind"]) == (202, "correction")
    job = finished(service, answer.json())
    assert job["status"] == "succeeded", job["error"]
    assert (job["result"]["version"], job["result"]["worst"]) == (2, [])
    card = service.get("/v1/models/corrected").json()
    assert (card["version"], card["training"]["counts"]) == (2, {"red": 5, "blue": 7})
    assert card["metrics"]["accuracy"] == 1
    assert service.post("/v1/models/corrected/corrections", json=body, headers=key).json()["id"] == job["id"]
    gone = service.post("/v1/models/corrected/corrections", json=body)
    assert (gone.status_code, gone.json()["type"]) == (422, "/problems/unknown-picture")


@pytest.mark.usefixtures("taught")
@pytest.mark.parametrize(
    ("model", "picture", "status", "slug"),
    [
        ("shapes", "red/od.png", 422, "unknown-picture"),
        ("cats-vs-dogs", "cat/1.jpg", 422, "no-examples"),
        ("efficientnet_lite1", "cat/1.jpg", 422, "no-examples"),
        ("shape", "red/odd.png", 404, "unknown-model"),
    ],
)
def test_corrections_that_cannot_be(service: TestClient, model: str, picture: str, status: int, slug: str) -> None:
    body = {"corrections": [{"picture": picture, "label": "blue"}]}
    answer = service.post(f"/v1/models/{model}/corrections", json=body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    if slug.startswith("unknown"):
        assert answer.json()["suggestions"]


def test_corrections_that_leave_too_little_fail_and_the_model_stays(service: TestClient) -> None:
    teach(service, "kept", zipped(shapes(2)))
    body = {"corrections": [{"picture": "red/0.png", "label": None}]}
    job = finished(service, service.post("/v1/models/kept/corrections", json=body).json())
    assert (job["status"], job["error"]["type"]) == ("failed", "/problems/not-enough-images")
    assert service.get("/v1/models/kept").json()["version"] == 1


def test_a_taught_model_is_deleted_and_its_name_is_free(service: TestClient) -> None:
    teach(service, "short-lived", zipped(shapes(2)))
    assert service.post("/v1/classify?model=short-lived", content=shape("red", 50)).status_code == 200
    assert service.delete("/v1/models/short-lived").status_code == 204
    for answer in (
        service.delete("/v1/models/short-lived"),
        service.get("/v1/models/short-lived"),
        service.post("/v1/classify?model=short-lived", content=shape("red", 50)),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-model")
    assert teach(service, "short-lived", zipped(shapes(2)))["result"]["version"] == 1


@pytest.mark.parametrize("name", ["cats-vs-dogs", "imagenet", "efficientnet_lite1"])
def test_a_shipped_model_is_not_deleted(service: TestClient, name: str) -> None:
    answer = service.delete(f"/v1/models/{name}")
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
    assert service.get(f"/v1/models/{name}").status_code == 200


def test_the_same_key_is_the_same_job(service: TestClient) -> None:
    headers = {"Idempotency-Key": "teach-once"}
    params = {"name": "once"}
    archive = zipped(shapes(2))  # once: a zip holds the time at which it was made
    first, second = (service.post("/v1/models", params=params, content=archive, headers=headers) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    other = service.post("/v1/models", params=params, content=zipped(shapes(3)), headers=headers)
    assert other.json()["type"] in {"/problems/idempotency-key-reused", "/problems/model-exists"}
    assert finished(service, first.json())["status"] == "succeeded"
    after = service.post("/v1/models", params=params, content=archive, headers=headers)
    assert after.json()["id"] == first.json()["id"], "also when the model is there"


def test_two_jobs_of_one_name_make_one_model(service: TestClient) -> None:
    answers = [service.post("/v1/models?name=twice", content=zipped(shapes(each))) for each in (2, 3)]
    ended = [finished(service, answer.json()) for answer in answers]
    assert sorted(job["status"] for job in ended) == ["failed", "succeeded"]
    (lost,) = [job for job in ended if job["status"] == "failed"]
    assert lost["error"]["type"] == "/problems/model-exists"


def test_a_lesson_is_canceled(service: TestClient) -> None:
    params = {"name": "canceled", "mode": "fine_tune", "epochs": "100"}
    job = service.post("/v1/models", params=params, content=zipped(shapes())).json()
    canceled = service.post(job["links"]["cancel"]).json()
    assert canceled["status"] == "canceled"
    assert teach(service, "after", zipped(shapes(2)))["status"] == "succeeded"
    assert service.get("/v1/models/canceled").status_code == 404


def test_a_lesson_that_takes_too_long_fails(service: TestClient) -> None:
    job = teach(service, "late", zipped(shapes()), mode="fine_tune", epochs="100", deadline_s="0.5")
    assert (job["status"], job["error"]["type"]) == ("failed", "/problems/deadline-exceeded")
    assert service.get("/v1/models/late").status_code == 404


def test_fine_tuning_makes_a_model_of_its_own_weights(service: TestClient) -> None:
    job = teach(service, "tuned", zipped(shapes(4)), mode="fine_tune", epochs="1")
    assert job["status"] == "succeeded", job["error"]
    assert label_of(service, "tuned", shape("red", 50)) == "red"
    answer = service.post("/v1/models/tuned/corrections", json={"corrections": [{"picture": "a", "label": "b"}]})
    assert answer.json()["type"] == "/problems/no-examples"


def test_more_uploads_than_the_service_takes_at_once_come_again(service: TestClient) -> None:
    turns = service.app_state["uploads"]
    with ExitStack() as others:
        for _ in range(4):
            others.enter_context(turns.take()).add(1 << 40)
        answer = service.post("/v1/models?name=refused", content=zipped(shapes()))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
    assert answer.headers["retry-after"]
