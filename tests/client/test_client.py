import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.client import DEFAULT_URL, MAX_PICTURE_BYTES, Client, NoServerError, PictureError, ProblemError, read_picture
from app.client.connections import options
from tests.support.clock import Clock
from tests.support.http_server import answering, problem, send, serving
from tests.support.paths import ROOT


@pytest.fixture
def inkblot(client: TestClient) -> Iterator[Client]:
    with Client(http=client) as inkblot:
        yield inkblot


def test_a_file_and_its_bytes_get_the_same_prediction(inkblot: Client, dog: bytes, tmp_path: Path) -> None:
    file = tmp_path / "dog.png"
    file.write_bytes(dog)
    from_file, from_bytes = inkblot.classify(file), inkblot.classify(dog)
    assert from_file["predictions"] == from_bytes["predictions"]
    assert from_file["predictions"][0]["label"] == "basenji"
    assert len(from_file["predictions"]) == 5


def test_choices_reach_the_service(inkblot: Client, dog: bytes) -> None:
    assert len(inkblot.classify(dog, top_k=1000, min_score=0.5)["predictions"]) == 1
    assert inkblot.classify(dog, model="efficientnet_lite1", top_k=1)["model"]["backbone"] == "efficientnet_lite1"
    turkish = {one["label"]: one["display"] for one in inkblot.labels("imagenet", lang="tr")}
    best = inkblot.classify(dog, lang="tr", top_k=1)["predictions"][0]
    assert best["display"] == turkish[best["label"]]


def test_tells_models_labels_and_who_answers(inkblot: Client) -> None:
    models = inkblot.models()
    assert [model["name"] for model in models if model["is_default"]] == ["imagenet"]
    assert len(inkblot.labels("imagenet")) == 1000
    assert [one["index"] for one in inkblot.labels("imagenet", search="basenji")] == [253]
    assert inkblot.ready()["model"] == "imagenet"


def test_a_problem_is_an_error_with_all_that_the_service_said(inkblot: Client, dog: bytes) -> None:
    with pytest.raises(ProblemError, match=r"There is no model 'imagnet'\. Did you mean imagenet\?") as caught:
        inkblot.classify(dog, model="imagnet")
    error = caught.value
    assert (error.slug, error.title, error.detail) == ("unknown-model", "No such model", "There is no model 'imagnet'.")
    assert error.suggestions == ("imagenet",)
    assert error.request_id == error.problem["request_id"] != ""
    assert error.retry_after is None
    with pytest.raises(ProblemError, match="not a picture"):
        inkblot.classify(b"plain text")


def test_the_name_of_a_model_is_never_a_path(inkblot: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        inkblot.labels("../imagenet?q=x#")
    assert caught.value.problem["status"] == 404


def test_a_client_that_was_lent_stays_open(client: TestClient) -> None:
    with Client(http=client):
        pass
    assert not client.is_closed


def test_an_internal_error_says_where_it_was_logged() -> None:
    client, _ = answering(problem("internal", 500))
    with pytest.raises(ProblemError, match=r"^A title\. The service logged it under r1\.$"):
        client.models()


def test_asks_again_while_the_service_says_when_to_come_back(clock: Clock) -> None:
    loading, busy = problem("model-loading", 503, "0"), problem("overloaded", 503, "5")
    client, asked = answering(loading, busy, loading, httpx2.Response(200, json={"object": "list", "data": []}))
    assert client.models() == []
    assert len(asked) == 4
    assert clock.pauses == [0.1, 5, 0.4]


def test_sends_the_picture_again_with_each_attempt(clock: Clock) -> None:
    client, asked = answering(
        problem("overloaded", 503, "0"), httpx2.Response(200, json={"object": "prediction", "predictions": []})
    )
    client.classify(b"a picture", top_k=3)
    assert [(request.content, str(request.url.query, "ascii")) for request in asked] == [
        (b"a picture", "top_k=3&min_score=0.0")
    ] * 2


def test_gives_up_when_the_service_does_not_come_back_for_a_minute(clock: Clock) -> None:
    client, asked = answering(problem("overloaded", 503, "0"))
    with pytest.raises(ProblemError) as caught:
        client.models()
    assert (caught.value.slug, caught.value.retry_after) == ("overloaded", 0)
    assert 55 < clock.now <= 60
    assert len(asked) == len(clock.pauses) + 1


@pytest.mark.parametrize("retry_after", [None, "3600", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"])
def test_does_not_wait_for_longer_than_a_person_would(retry_after: str | None) -> None:
    client, asked = answering(problem("model-unavailable", 503, retry_after))
    with pytest.raises(ProblemError):
        client.models()
    assert len(asked) == 1


def test_says_how_to_start_a_service_when_none_listens(nobody: str) -> None:
    with Client(nobody) as client, pytest.raises(NoServerError) as caught:
        client.ready()
    assert str(caught.value).startswith(
        f"No Inkblot answers at {nobody}. Start one with `inkblot serve` or `make serve`"
    )


@pytest.mark.parametrize("address", ["localhost:8000", "", "ftp://here", "http://", "http://here:port"])
def test_an_address_that_cannot_be_is_told_before_anything_is_sent(address: str) -> None:
    with pytest.raises(NoServerError, match="is no address of a service"):
        Client(address)


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, html="<h1>It works!</h1>"),
        httpx2.Response(200, json={"hello": "world"}),
        httpx2.Response(200, json=[]),
        httpx2.Response(502, json={"message": "no upstream"}),
        httpx2.Response(302, headers={"Location": "https://elsewhere.example"}),
    ],
)
def test_another_server_is_recognised(answer: httpx2.Response) -> None:
    client, _ = answering(answer)
    with pytest.raises(NoServerError, match=rf"is no Inkblot: it said {answer.status_code}"):
        client.models()


def test_a_connection_that_breaks_off_is_told() -> None:
    def hang_up(request: BaseHTTPRequestHandler) -> None:
        request.connection.shutdown(socket.SHUT_RDWR)

    with serving(hang_up) as url, Client(url) as client, pytest.raises(NoServerError, match="did not answer"):
        client.models()


def test_an_address_is_fetched_here_through_redirects(dog: bytes) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/dog.png":
            send(request, dog)
        else:
            send(request, b"", 302, Location="/dog.png")

    with serving(answer) as url:
        assert read_picture(f"{url}/moved") == dog
        assert read_picture(f"{url}/dog.png".replace("http", "HTTP")) == dog


def test_an_address_without_a_picture_is_a_sentence(nobody: str) -> None:
    with (
        serving(lambda request: send(request, b"gone", 404)) as url,
        pytest.raises(PictureError, match=rf"^{url}/x\.jpg cannot be fetched: 404 Not Found\.$"),
    ):
        read_picture(f"{url}/x.jpg")
    with serving(lambda request: send(request, b"")) as url, pytest.raises(PictureError, match="is empty"):
        read_picture(url)
    with (
        serving(lambda request: send(request, b"", 302, Location="file:///etc/passwd")) as url,
        pytest.raises(PictureError, match="cannot be fetched"),
    ):
        read_picture(url)
    with pytest.raises(PictureError, match="cannot be fetched"):
        read_picture(nobody)
    with pytest.raises(PictureError, match="cannot be fetched"):
        read_picture("http://here:port/")


def test_an_endless_download_is_cut_off() -> None:
    def pour(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(bytes(1 << 20))

    with serving(pour) as url, pytest.raises(PictureError, match="larger than 64 MiB"):
        read_picture(url)


def test_a_file_that_cannot_be_a_picture_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"dog\.jpg cannot be read: No such file or directory\.$"):
        read_picture(str(tmp_path / "dog.jpg"))
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture(str(tmp_path))
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture("a\0b")
    empty, huge = tmp_path / "empty", tmp_path / "huge"
    empty.touch()
    with huge.open("wb") as file:
        file.truncate(MAX_PICTURE_BYTES + 1)
    with pytest.raises(PictureError, match="is empty"):
        read_picture(str(empty))
    with pytest.raises(PictureError, match="larger than 64 MiB"):
        read_picture(str(huge))


def test_a_file_is_sent_from_its_beginning_with_each_attempt(clock: Clock) -> None:
    job = {"object": "job", "id": "job_1"}
    client, asked = answering(problem("overloaded", 503, "0"), httpx2.Response(202, json=job))
    archive = BytesIO(b"a zip")
    archive.seek(3)
    assert client.teach(archive, name="shapes", mode="linear_probe", seed=None)["id"] == job["id"]
    assert [(request.read(), str(request.url)) for request in asked] == [
        (b"a zip", "http://inkblot/v1/models?name=shapes&mode=linear_probe")
    ] * 2


def test_models_are_corrected_exported_and_deleted_by_their_names() -> None:
    client, asked = answering(
        httpx2.Response(202, json={"object": "job"}), httpx2.Response(200, content=b"PK"), httpx2.Response(204)
    )
    client.correct("a/b", {"cat/1.jpg": "dog", "cat/2.jpg": None})
    assert client.export("a/b") == b"PK"
    client.delete_model("a/b")
    assert [(request.method, request.url.raw_path) for request in asked] == [
        ("POST", b"/v1/models/a%2Fb/corrections"),
        ("GET", b"/v1/models/a%2Fb/export"),
        ("DELETE", b"/v1/models/a%2Fb"),
    ]
    assert json.loads(asked[0].content) == {
        "corrections": [{"picture": "cat/1.jpg", "label": "dog"}, {"picture": "cat/2.jpg", "label": None}]
    }


def test_the_environment_names_the_service(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKBLOT_URL", nobody)
    with Client() as client, pytest.raises(NoServerError, match=f"No Inkblot answers at {nobody}"):
        client.ready()
    with (
        Client("http://127.0.0.2:1") as client,
        pytest.raises(NoServerError, match=r"answers at http://127\.0\.0\.2:1"),
    ):
        client.ready()
    monkeypatch.setenv("INKBLOT_URL", "")
    assert options(None)["base_url"] == httpx2.URL(DEFAULT_URL)


def test_the_key_is_the_one_that_is_given_or_else_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKBLOT_KEY", "ink_ours")
    assert options(None)["headers"] == {"Authorization": "Bearer ink_ours"}
    assert options(None, "ink_mine")["headers"] == {"Authorization": "Bearer ink_mine"}
    assert options(None, "")["headers"] == {}
    monkeypatch.delenv("INKBLOT_KEY")
    assert options(None)["headers"] == {}
    with pytest.raises(NoServerError, match="INKBLOT_KEY"):
        options(None, "two words")


def test_neither_torch_nor_numpy_nor_asyncio_is_loaded_with_the_client() -> None:
    heavy = "{'torch', 'numpy', 'PIL', 'asyncio', 'IPython', 'fastapi'} & sys.modules.keys()"
    command = [sys.executable, "-c", f"import sys, app.client; print({heavy})"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_certificates_are_read_only_where_some_may_be_asked_for() -> None:
    assert options("https://127.0.0.1:8443")["verify"] is True
    assert options("http://inkblot.example")["verify"] is True  # the way there may lead through a proxy with TLS
    trusted: ssl.SSLContext = options("http://127.0.0.1:8000")["verify"]
    assert trusted.verify_mode is ssl.CERT_REQUIRED
    assert trusted.cert_store_stats()["x509_ca"] == 0
