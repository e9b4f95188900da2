import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import cast

import httpx2
import numpy as np
import pytest
from PIL import Image, ImageChops
from rich.console import Console

from app.cli.jobs import _follow, point_told, table_of
from app.client import Client, ClientError, Job, ProblemError
from tests.support.commands import run
from tests.support.http_server import answering, problem
from tests.support.paths import ROOT, SAMPLES

pytestmark = pytest.mark.slow


def test_an_ideal_image_that_became_something_else_is_kept_and_fails(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    choices = ["--preset", "quick", "--steps", "1", "--seed", "7", "--size", "96"]
    for name in ("zebra-seed7.png", "zebra-seed7-2.png"):
        status, out, err = run("ideal", "zebra", *choices, "--server", server)
        assert status == 1
        with Image.open(name) as picture:
            assert picture.size == (96, 96)
        assert err.lstrip().startswith("It became '")
        assert "another seed" in err
        if "--json" not in choices:
            assert out.startswith(f"{name}: ")
            assert "efficientnet_lite2" in out
        choices.append("--json")
    assert json.loads(out)["result"]["success"] is False


def test_facets_are_a_sheet_and_a_file_each(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = ["--layer", "_blocks.4", "--channel", "7", "--count", "2", "--steps", "2", "--size", "64", "--seed", "1"]
    status, out, err = run("ideal", *chosen, "--lang", "tr", "--server", server)
    assert status == 0, err
    sheet, first, second = out.splitlines()
    assert sheet == "blocks-4-7-seed1.png"
    assert first.startswith("  blocks-4-7-seed1-1.png: ")
    assert "benzerlik" in second
    with Image.open(sheet) as whole, Image.open("blocks-4-7-seed1-2.png") as facet:
        assert whole.width > 2 * 64
        assert facet.size == (64, 64)


def test_the_lesson_is_one_sheet_of_one_noise_and_a_film(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = ["--lesson", "kedi,zebra", "--steps", "2", "--size", "64", "--seed", "1", "--lang", "tr"]
    status, out, err = run("ideal", *chosen, "--server", server)
    assert status == 0, err
    sheet, film = out.splitlines()
    assert (sheet, film) == ("kedi-zebra-seed1.png", "kedi-zebra-seed1-film.webp")
    with Image.open(sheet) as whole, Image.open(film) as frames:
        levels = np.asarray(whole.convert("RGB").crop((12, 12, 252, 252)))
        assert frames.n_frames >= 2  # type: ignore[attr-defined]
        assert frames.height > frames.width
    assert (levels.min(), levels.max()) == (0, 255), "the contrast of the pixels' pictures is stretched"
    with Client(server) as client:
        jobs = [
            job for job in client.jobs(limit=100) if job["input"].get("seed") == 1 and job["input"].get("size") == 64
        ]
    drawn = {(job["input"]["objective"].get("label"), job["input"]["preset"]) for job in jobs}
    assert drawn >= {(label, preset) for label in ("tabby", "zebra") for preset in ("raw", "lesson", "fine")}


def test_a_kind_that_is_not_there_costs_nobody_a_job(server: str) -> None:
    with Client(server) as client:
        before = client.jobs()
        status, _, err = run("ideal", "--lesson", "zebra,xqzzyw", "--server", server)
        assert status == 2
        assert "xqzzyw" in err
        assert client.jobs() == before


def test_an_ending_that_would_lie_costs_nobody_a_job(server: str, tmp_path: Path) -> None:
    with Client(server) as client:
        before = client.jobs()
        for command in (["ideal", "zebra"], ["fool", str(SAMPLES / "basenji.png"), "--as", "tabby"]):
            status, _, err = run(*command, "--out", str(tmp_path / "x.jpg"), "--server", server)
            assert status == 2
            assert ".webp" in err
        assert client.jobs() == before


def test_a_channel_is_drawn_too(server: str, tmp_path: Path) -> None:
    path = tmp_path / "channel.png"
    chosen = ["--layer", "_blocks.4", "--channel", "7", "--steps", "2", "--out", str(path), "--json"]
    status, out, _ = run("ideal", *chosen, "--server", server)
    assert status == 0
    assert json.loads(out)["input"]["objective"] == {"layer": "_blocks.4", "channel": 7}
    assert path.exists()


def test_a_dog_is_fooled_into_a_file_that_still_fools(server: str, tmp_path: Path) -> None:
    path = tmp_path / "cat.webp"
    status, out, err = run(
        "fool", str(SAMPLES / "basenji.png"), "--as", "tabby", "--out", str(path), "--server", server
    )
    assert status == 0, err
    assert "basenji" in out
    assert "jpeg_q75" in out
    with Client(server) as client:
        assert client.classify(path)["predictions"][0]["label"] == "tabby"


def test_a_patch_is_written_to_print(server: str, tmp_path: Path) -> None:
    chosen = ["--as", "tabby", "--method", "patch", "--patch", "0.1", "--steps", "2", "--model", "imagenet"]
    where = ("--place", "bottom-right", "--out", str(tmp_path / "dog.png"), "--server", server)
    status, out, _ = run("fool", str(SAMPLES / "basenji.png"), *chosen, *where)
    assert status in {0, 1}  # two steps are too few for some
    assert "dog-patch.png: to print; it fools at" in " ".join(out.split())
    with Image.open(tmp_path / "dog-patch.png") as disc:
        assert disc.mode == "RGBA"
    with Image.open(SAMPLES / "basenji.png") as before, Image.open(tmp_path / "dog.png") as after:
        left, top, *_ = ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() or (0, 0, 0, 0)
    assert left > before.width / 3
    assert top > before.height / 3


def test_what_an_attack_does_not_survive_is_told_of_each_network(server: str, tmp_path: Path) -> None:
    chosen = ["--model", "imagenet", "--with", "efficientnet_lite1", "--method", "pgd", "--survive", "messenger,edit"]
    chosen += ["--as", "tabby", "--seed", "1", "--lang", "tr", "--out", str(tmp_path / "cat.png"), "--server", server]
    status, out, err = run("fool", str(SAMPLES / "basenji.png"), *chosen)
    assert (status, err) == (0, "")
    assert "efficientnet_lite1 bunu görüyor: tekir kedi (%" in out
    still, lost = out.splitlines()[-2:]
    assert still.strip().startswith("şunlardan sonra da kandırıyor: PNG, yeniden yükleme")
    assert lost.strip().startswith("şunlardan sonra kandırmıyor: ")
    for way in ("mesajlaşma uygulaması", "kırpma", "ayna görüntüsü", "3° döndürme", "beyaz kenar"):
        assert (way in still) != (way in lost)


def test_an_attack_is_told_in_turkish_and_shown_on_a_sheet(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dog = str(SAMPLES / "basenji.png")
    status, out, err = run("fool", dog, "--as", "tabby", "--seed", "1", "--sheet", "--lang", "tr", "--server", server)
    assert (status, err) == (0, "")
    first, *_ = out.splitlines()
    assert first.startswith("basenji-tabby-seed1.png: basenji (%")
    assert "→ tekir kedi (%" in first
    assert "en çok" in out
    assert "yarı boyut" in out
    with Image.open("basenji-tabby-seed1-sheet.png") as sheet, Image.open("basenji-tabby-seed1.png") as fooled:
        assert sheet.width == 12 + 3 * 412
        tall = round(400 * fooled.height / fooled.width)
        assert sheet.height > 12 + tall
        shown = sheet.convert("RGB").crop((2 * 412 + 12, 12, 3 * 412, 12 + tall))
        difference = ImageChops.difference(shown, fooled.convert("RGB").resize((400, tall), Image.Resampling.BICUBIC))
        assert np.asarray(difference).max() < 40


def test_what_a_job_made_is_fetched_under_one_name(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Client(server) as client:
        job = client.wait(client.draw(objective={"label": "zebra"}, preset="quick", steps=1, size=64, seed=7))
        attack = client.wait(client.fool(SAMPLES / "basenji.png", method="fgsm", seed=2))
    found = run("jobs", job["id"], "--fetch", "--server", server)[1].split()
    assert found == ["zebra-seed7.png", "zebra-seed7.webp", "zebra-seed7-recipe.json"]
    assert json.loads(Path("zebra-seed7-recipe.json").read_text())["request"]["seed"] == 7
    with Image.open("zebra-seed7.png") as picture, Image.open("zebra-seed7.webp") as film:
        assert picture.size == (64, 64)
        assert film.format == "WEBP"
    Path("zebra-seed7.png").unlink()
    again = run("jobs", job["id"], "--fetch", "--server", server)[1].split()
    assert again == [name.replace("seed7", "seed7-2") for name in found], "they stay together"
    assert run("jobs", job["id"], "--fetch", "--overwrite", "--server", server)[1].split() == found
    fooled = run("jobs", attack["id"], "--fetch", "--server", server)[1].split()
    assert "fooled-seed2-original.png" in fooled
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*found, *again, *fooled])


def test_of_a_job_that_is_not_done_nothing_is_fetched(server: str) -> None:
    job = run("ideal", "lion", "--steps", "2000", "--detach", "--server", server)[1].strip()
    run("jobs", job, "--cancel", "--server", server)
    status, out, err = run("jobs", job, "--fetch", "--lang", "tr", "--server", server)
    assert (status, out) == (1, "")
    assert "iptal edildi" in err


@pytest.mark.parametrize("width", [40, 60])
def test_ids_are_whole_on_a_narrow_terminal(server: str, width: int) -> None:
    with Client(server) as client:
        jobs = [client.draw(objective={"label": label}, steps=1) for label in ("zebra", "golden retriever")]
    console = Console(width=width, file=StringIO())
    console.print(table_of(jobs, "tr"))
    told = cast("StringIO", console.file).getvalue()
    assert all(job["id"] in told for job in jobs)
    assert max(map(len, told.splitlines())) <= max(width, 29 + 4 * 2 + 4)


def test_a_strength_is_no_epoch() -> None:
    strength = {"attempt": 2, "l2_penalty": 0.1, "split": "validation", "loss": 0.25, "accuracy": 0.5}
    assert "validation, L2   0.1" in point_told(strength, "en").plain
    assert "doğrulama, L2   0,1" in point_told(strength, "tr").plain
    epoch = {"epoch": 3, "split": "training", "loss": 0.25}
    assert "training, epoch   3  " in point_told(epoch, "en").plain
    assert "kayıp 0,2500" in point_told(epoch, "tr").plain


def test_what_could_not_be_reached_is_told_and_fails(server: str, tmp_path: Path) -> None:
    choices = ["--as", "tabby", "--method", "fgsm", "--epsilon", "1/255", "--out", str(tmp_path / "no.png")]
    status, _, err = run("fool", str(SAMPLES / "basenji.png"), *choices, "--server", server)
    assert status == 1
    assert "robust" in err


def test_a_detached_job_is_listed_and_canceled(server: str) -> None:
    status, out, _ = run("ideal", "lion", "--steps", "2000", "--detach", "--server", server)
    assert status == 0
    job = out.strip()
    assert job.startswith("job_")
    assert job in run("jobs", "--server", server)[1]
    assert json.loads(run("jobs", job, "--json", "--server", server)[1])["input"]["objective"] == {"label": "lion"}
    assert "canceled" in run("jobs", job, "--cancel", "--server", server)[1]


@pytest.fixture
def heard_interrupts() -> Iterator[None]:
    """Processes inherit that SIGINT is ignored, as it is in whatever a shell began in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_interrupts")
def test_ctrl_c_cancels_the_job(server: str) -> None:
    command = [sys.executable, "-m", "app", "ideal", "lion", "--steps", "2048", "--server", server]
    with Client(server) as client:
        before = {job["id"] for job in client.jobs()}
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            try:
                new: list[str] = []
                while not new:
                    new = [job["id"] for job in client.jobs() if job["id"] not in before]
                    assert process.poll() is None
                assert next(client.follow(client.job(new[0])))["event"] in {"queued", "started"}
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=30)
            finally:
                process.kill()
        assert client.job(new[0])["status"] == "canceled"
    assert process.returncode == 130
    assert "Canceled" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ideal", "zebr"], "zebra"),
        (["fool", str(SAMPLES / "basenji.png"), "--as", "basenji"], "already"),
        (["fool", "no-such-file.png", "--as", "tabby"], "no-such-file.png"),
        (["jobs", "job_nothing"], "job_nothing"),
    ],
)
def test_mistakes_are_told_in_a_sentence(server: str, arguments: list[str], told: str) -> None:
    status, _, err = run(*arguments, "--server", server)
    assert status == 1
    assert told in err


def test_a_job_that_fails_says_why(server: str) -> None:
    with Client(server) as client:
        job = client.draw(objective={"label": "lion"}, steps=2048, deadline_s=0.2)
        *_, end = client.follow(job)
        assert end["data"]["job"]["error"]["type"] == "/problems/deadline-exceeded"
        with pytest.raises(ClientError):
            client.file("/v1/jobs/job_nothing/files/final.png")


@pytest.mark.parametrize("arguments", [["ideal"], ["ideal", "zebra", "--layer", "x"], ["jobs", "--cancel"]])
def test_choices_that_do_not_go_together_are_refused(arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_a_job_that_is_deleted_while_it_is_followed_is_told_as_unknown() -> None:
    told = 'event: end\ndata: {"status": "deleted", "job": null}\n\n'
    client, _ = answering(httpx2.Response(200, text=told), problem("unknown-job", 404))
    job = cast("Job", {"id": "job_1", "links": {"events": "/v1/jobs/job_1/events"}})
    with pytest.raises(ProblemError) as refused:
        _follow(client, job, "zebra", "en")
    assert refused.value.problem["type"] == "/problems/unknown-job"
