import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from app import __version__
from app.cli.main import app
from app.client import Client, ClientError, NoServerError, ProblemError, read_picture
from app.client.answers import read_object
from app.client.calls import Call
from tests.support.commands import run
from tests.support.paths import INKBLOT, ROOT, SAMPLES
from tests.support.pictures import shape
from tests.support.service import free_port

pytestmark = pytest.mark.slow


def test_pictures_are_classified_in_a_table(server: str) -> None:
    status, out, err = run("classify", str(SAMPLES / "basenji.png"), str(SAMPLES / "cat-eye.png"), "--server", server)
    assert status == 0
    assert "basenji" in out
    assert "Persian cat" in out
    assert "%" in out
    assert err == ""


def test_names_are_in_the_language_that_was_asked_for(server: str) -> None:
    assert "İran kedisi" in run("classify", str(SAMPLES / "cat-eye.png"), "--lang", "tr", "--server", server)[1]


def test_a_picture_of_no_class_is_unknown_before_anything_else(server: str, tmp_path: Path) -> None:
    (tmp_path / "disc.png").write_bytes(shape("red", 0))
    told = run("classify", str(tmp_path / "disc.png"), "--model", "cats-vs-dogs", "--server", server)[1].splitlines()
    assert told[1].split()[:2] == ["disc.png", "unknown:"]
    assert {line.split()[0] for line in told[2:]} == {"cat", "dog"}
    known = run("classify", str(SAMPLES / "cat.jpg"), "--model", "cats-vs-dogs", "--lang", "tr", "--server", server)[1]
    assert "bilinmiyor" not in known
    assert "%99," in known


def test_json_is_one_object_for_one_picture_and_a_list_for_several(server: str, tmp_path: Path) -> None:
    bad = tmp_path / "[bold]notes.txt"
    bad.write_text("no picture")
    one = json.loads(run("classify", str(SAMPLES / "basenji.png"), "--json", "--server", server)[1])
    assert one["predictions"][0]["label"] == "basenji"
    status, out, err = run("classify", str(SAMPLES / "basenji.png"), str(bad), "--json", "--server", server)
    assert status == 1
    assert [entry.get("object", entry.get("type")) for entry in json.loads(out)] == [
        "prediction",
        "/problems/unsupported-image",
    ]
    assert "[bold]notes.txt: This is not a picture" in err


def test_a_service_on_this_machine_is_asked_without_a_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Client(server) as client:
        assert client.ready()["status"] == "ready"


def test_errors_are_sentences_and_set_the_status(server: str, tmp_path: Path) -> None:
    status, out, err = run("classify", str(tmp_path / "no.jpg"), "--server", server)
    assert (status, out) == (1, "")
    assert "no.jpg cannot be read: No such file or directory." in err.replace("\n", "")
    status, _, err = run("classify", str(SAMPLES / "cat.jpg"), "--model", "imagnet", "--server", server)
    assert status == 1
    assert "There is no model 'imagnet'. Did you mean imagenet?" in err
    status, _, err = run("classify", str(SAMPLES / "cat.jpg"), "--server", "http://127.0.0.1:9")
    assert status == 1
    assert "Start one with `inkblot serve`" in err


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("INKBLOT_PROT", "1", "There is no setting INKBLOT_PROT; did you mean INKBLOT_PORT?"),
        ("INKBLOT_DEFAULT_MODEL", "none", "There is no model 'none'."),
        ("INKBLOT_DEVICE", "toaster", "INKBLOT_DEVICE=toaster"),
        ("INKBLOT_PORT", "taken", "cannot be listened on: Address already in use"),
    ],
)
def test_a_service_that_cannot_start_says_why(
    server: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, server.rpartition(":")[2] if value == "taken" else value)
    status, _, err = run("serve")
    assert status == 2
    assert sentence in err


def test_help_and_version_need_no_torch() -> None:
    code = "import sys; sys.argv=['inkblot', sys.argv[1]]\nfrom app.cli.main import main\n"
    code += "try: main()\nexcept SystemExit: print('torch' in sys.modules)"
    for option in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code, option], check=True, capture_output=True, text=True, cwd=ROOT
        )
        assert "inkblot" in done.stdout
        assert done.stdout.rstrip().endswith("False")


def test_doctor_finds_this_machine_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INKBLOT_PORT", str(free_port()))
    status, out, _ = run("doctor")
    assert status == 0
    assert "cats-vs-dogs by" in out
    assert "ms a picture" in out


def test_doctor_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str) -> None:
    (tmp_path / "models/broken").mkdir(parents=True)
    (tmp_path / "models/broken/model.json").write_text("{}")
    (tmp_path / "var").write_text("a file")
    monkeypatch.setenv("INKBLOT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("INKBLOT_PORT", server.rpartition(":")[2])
    status, out, _ = run("doctor", "--json")
    found = {(one["subject"], one["verdict"]) for one in json.loads(out)}
    assert status == 1
    assert {("data", "fail"), ("model", "fail"), ("model", "warn"), ("port", "warn")} <= found
    monkeypatch.setenv("INKBLOT_PROT", "1")
    assert "did you mean" in run("doctor")[1]


def test_doctor_outlives_settings_that_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INKBLOT_DEVICE", "toaster")
    monkeypatch.setenv("INKBLOT_HOST", "no host at all")
    status, out, _ = run("doctor", "--json")
    found = {one["subject"]: one["verdict"] for one in json.loads(out)}
    assert status == 1
    assert (found["device"], found["port"], found["data"]) == ("fail", "fail", "ok")


def test_classify_needs_no_torch(server: str) -> None:
    code = "import sys; from app.cli.main import main\n"
    code += "try: main()\nexcept SystemExit as end: print(end.code, 'torch' in sys.modules)"
    arguments = ["classify", str(SAMPLES / "cat.jpg"), "--server", server]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "0 False"


def test_a_picture_may_come_from_standard_input(server: str, dog: bytes) -> None:
    def piped(data: bytes) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["classify", "-", "--server", server], input=data)
        return result.exit_code, result.stdout, result.stderr

    assert "basenji" in piped(dog)[1]
    status, _, err = piped(b"")
    assert (status, err) == (1, "Standard input is empty.\n")


def test_a_service_that_is_not_there_is_missed_once() -> None:
    cats = [str(SAMPLES / "cat.jpg"), str(SAMPLES / "cat-eye.png")]
    status, out, err = run("classify", *cats, "--server", "http://127.0.0.1:9")
    assert (status, out) == (1, "")
    assert err.count("No Inkblot answers") == 1
    status, out, _ = run("classify", *cats, "--json", "--server", "http://127.0.0.1:9")
    assert [one["title"] for one in json.loads(out)] == ["Not sent"] * 2


def test_the_version_is_told_with_and_without_a_service(server: str) -> None:
    status, out, err = run("version", "--server", server, "--lang", "tr")
    assert (status, err) == (0, "")
    own, of_service = out.splitlines()
    assert own == f"inkblot {__version__}"
    assert of_service.startswith(f"{server}: {__version__}, imagenet, cpu, ")
    assert run("version", "--server", "http://127.0.0.1:9")[1].splitlines() == [own]


def test_the_first_variable_of_the_locale_that_is_not_empty_decides(server: str) -> None:
    for environ, name in (
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "tr_TR.UTF-8"}, "İran kedisi"),
        ({"LC_ALL": "C", "LC_MESSAGES": "", "LANG": "tr_TR.UTF-8"}, "Persian cat"),
        ({"LC_ALL": "", "LC_MESSAGES": "tr", "LANG": "en_GB.UTF-8"}, "İran kedisi"),
    ):
        result = CliRunner().invoke(app, ["classify", str(SAMPLES / "cat-eye.png"), "--server", server], env=environ)
        assert name in result.stdout


def test_names_of_files_are_shown_as_they_are_but_send_no_commands(server: str, tmp_path: Path) -> None:
    long = "[bold]çığ " + "long name " * 12 + ".png"
    for name in (long, "\x1b[31mred.png"):
        (tmp_path / name).write_bytes((SAMPLES / "basenji.png").read_bytes())
    _, out, _ = run("classify", str(tmp_path / long), str(tmp_path / "\x1b[31mred.png"), "--server", server)
    assert long in out
    assert "\N{REPLACEMENT CHARACTER}[31mred.png" in out
    assert "\x1b" not in out


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are no text")
def test_an_output_that_lacks_letters_shows_the_others(server: str, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff.png")
    file.write_bytes((SAMPLES / "cat-eye.png").read_bytes())
    for encoding in ("ascii:strict", "utf-8:strict"):
        for form in ([], ["--json"]):
            done = subprocess.run(
                [*INKBLOT, "classify", str(file), str(tmp_path / os.fsdecode(b"\xfe")), "--lang", "tr", *form],
                check=False,
                capture_output=True,
                cwd=ROOT,
                env=os.environ | {"PYTHONIOENCODING": encoding, "INKBLOT_URL": server},
            )
            assert done.returncode == 1
            assert b"ran kedisi" in done.stdout
            assert b"cannot be read: No such file or directory." in done.stderr
            assert b"Traceback" not in done.stderr


def test_a_picture_without_a_likely_class_says_so(server: str) -> None:
    status, out, _ = run("classify", str(SAMPLES / "cat.jpg"), "--min-score", "0.99", "--server", server)
    assert status == 0
    assert "nothing reaches --min-score" in out


class Busy(BaseHTTPRequestHandler):
    """Refuses twice, then answers; serves a picture too, and a page."""

    refusals = 2

    def do_GET(self) -> None:
        if self.path == "/cat.jpg":
            self.answer(200, (SAMPLES / "cat.jpg").read_bytes(), "image/jpeg")
        elif self.path == "/page":
            self.answer(404, b"<html>", "text/html")
        elif Busy.refusals:
            Busy.refusals -= 1
            self.answer(503, b'{"title": "Wait"}', "application/problem+json", {"Retry-After": "0"})
        else:
            self.answer(200, b'{"status": "ready"}', "application/json")

    do_POST = do_GET  # noqa: N815

    def answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def busy() -> Iterator[str]:
    Busy.refusals = 2
    with HTTPServer(("127.0.0.1", 0), Busy) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_busy_service_is_asked_again(busy: str) -> None:
    with Client(busy) as client:
        assert client.ready() == {"status": "ready"}
    assert Busy.refusals == 0


def test_an_address_is_fetched_on_the_users_side(busy: str) -> None:
    assert read_picture(f"{busy}/cat.jpg") == (SAMPLES / "cat.jpg").read_bytes()
    with pytest.raises(ClientError, match="cannot be fetched"):
        read_picture(f"{busy}/page")


def test_something_else_than_an_inkblot_is_noticed(busy: str) -> None:
    with Client(http=httpx2.Client(base_url=busy)) as client, pytest.raises(NoServerError, match="no Inkblot"):
        client.ask(Call(read_object, "GET", "/page"))


def test_a_problem_keeps_the_whole_answer(server: str) -> None:
    with Client(server) as client, pytest.raises(ProblemError) as refused:
        client.classify(b"nothing")
    assert refused.value.problem["status"] == 415
    with Client(server) as client:
        assert "imagenet" in [model["name"] for model in client.models()]
