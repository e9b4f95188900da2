"""Every command that the pages print works as it is printed.

The commands are run as they are; the environment alone says that the service listens elsewhere (`INKBLOT_URL` and a
`.curlrc`; only in Python the address is replaced), and the folder in which they run has what the pages say that the
reader has.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.client import Client
from tests.support.paths import ROOT, SAMPLES
from tests.support.pictures import shapes, zipped

PAGES = ("README.md", "README.tr.md", "docs/api.md")
CANNOT = {
    "make serve": "installs, and serves until it is stopped",
    "make test": "installs, and runs these very tests",
    "https://example.org/": "an address elsewhere",
    "weights get": "half a gigabyte from elsewhere; tests/client/test_downloads.py has a publisher of its own",
    "/cancel": "the job that it names has ended in this test",
}
"""What is in a command that is not run here, and why."""
FOLDERS = (
    "cats-dogs/train",
    "cats-dogs/test",
    "pets/train",
    "brain-mri/train",
    "kediler-kopekler",
    "test-klasoru",
    "irklar",
    "taramalar",
)
"""The reader's own."""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND_S = 900


@dataclass(frozen=True)
class Command:
    text: str
    output: tuple[str, ...] = ()
    """The lines that the page prints below it."""

    @property
    def is_run(self) -> bool:
        return not any(part in self.text for part in CANNOT)

    @property
    def bare(self) -> str:
        """Without the remark that follows it."""
        return re.sub(r"\s{2,}# .*", "", self.text)


def blocks(page: str) -> list[tuple[str, str]]:
    """The kind and the text of each block of code."""
    return _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def commands(page: str) -> Iterator[Command]:
    for kind, text in blocks(page):
        if kind in {"sh", "bash"}:
            yield from (Command(line) for line in text.replace("\\\n", " ").splitlines() if line.strip())
        elif kind == "console":
            for part in text.removeprefix("$ ").split("\n$ "):
                line, *output = part.splitlines()
                yield Command(line, tuple(output))


def python(page: str) -> str:
    """All of a page's Python, one block after the other, as a reader would run it."""
    return "\n".join(text for kind, text in blocks(page) if kind == "python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout to run in: links to the project's files, a `.venv` with its command, and the reader's folders."""
    here = tmp_path_factory.mktemp("checkout")
    for name in ("app", "docs"):
        (here / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "models", here / "models")  # a command teaches into it
    (here / ".venv/bin").mkdir(parents=True)
    command = here / ".venv/bin/inkblot"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app "$@"\n')
    command.chmod(0o755)
    pictures = shapes()
    for top in FOLDERS:
        for name, data in pictures.items():
            path = here / top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (here / "pictures.zip").write_bytes(zipped(pictures))
    with tarfile.open(here / "images.tar.gz", "w:gz") as archive:
        for name in pictures:
            label, _, file = name.partition("/")
            archive.add(here / FOLDERS[0] / name, f"images/{label}_{file}")
    for number in range(1, 5):
        (here / f"{number}.jpg").write_bytes(
            (SAMPLES / "cat.jpg").read_bytes() if number < 3 else pictures["red/0.png"]
        )
    return here


@pytest.fixture(scope="module")
def environ(server: str, folder: Path) -> Mapping[str, str]:
    """Of a reader whose service listens at port 8000; `ID` is a job that has ended."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    (folder / ".curlrc").write_text(
        f'fail-with-body\nsilent\nshow-error\nconnect-to = "127.0.0.1:8000:{urlsplit(server).netloc}"\n'
    )
    with Client(server) as client:
        job = client.wait(client.draw(model="imagenet", objective={"label": "zebra"}, preset="quick", steps=1))
    ours = {"INKBLOT_URL": server, "HOME": str(folder), "PYTHONPATH": str(ROOT), "ID": job["id"], "LANG": "C.UTF-8"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("INKBLOT_", "COV_", "LC_"))}
    return inherited | ours


@pytest.fixture(scope="module")
def answers() -> dict[str, list[str]]:
    """The lines of each command that an earlier page printed, too: the pages show the same, which takes minutes."""
    return {}


@pytest.fixture
def place(folder: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """The checkout, from which what a page's commands write is taken away: the next page may write the same names."""
    del environ  # which has written its part before
    before = set(folder.iterdir())
    yield folder
    for path in set(folder.iterdir()) - before:
        if path.is_file():
            path.unlink()


def without_numbers(lines: tuple[str, ...] | list[str]) -> list[str]:
    """What is the same with other numbers, and the words between them."""
    return [" ".join(re.sub(r"[\d.,%]+|━+", " # ", line).split()) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works_and_says_what_is_printed(
    page: str, place: Path, environ: Mapping[str, str], answers: dict[str, list[str]]
) -> None:
    wrong: list[tuple[object, ...]] = []
    for command in filter(lambda one: one.is_run, commands(page)):
        if command.bare not in answers:
            done = subprocess.run(
                ["bash", "-c", command.text],
                cwd=place,
                env=environ,
                capture_output=True,
                text=True,
                timeout=_COMMAND_S,
                check=False,
            )
            if done.returncode:
                wrong.append((command.text, done.returncode, done.stdout[-500:], done.stderr[-500:]))
                continue
            answers[command.bare] = done.stdout.splitlines()
        lines = answers[command.bare]
        if without_numbers(command.output) != without_numbers(lines)[: len(command.output)]:
            wrong.append((command.text, command.output, lines))
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if python(page)])
def test_the_python_of_a_page_runs_as_it_is_printed(page: str, folder: Path, environ: Mapping[str, str]) -> None:
    printed = python(page).replace("127.0.0.1:8000", urlsplit(environ["INKBLOT_URL"]).netloc)
    command = [sys.executable, "-c", printed]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=_COMMAND_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "kedi" in done.stdout.casefold()


def test_the_pages_have_commands_and_each_reason_not_to_run_one_is_needed() -> None:
    found = {page: list(commands(page)) for page in PAGES}
    assert all(len(of_page) > 8 for of_page in found.values())
    texts = [command.text for of_page in found.values() for command in of_page]
    assert [part for part in CANNOT if not any(part in text for text in texts)] == []
    kinds = {kind for page in PAGES for kind, _ in blocks(page)}
    assert kinds <= {"sh", "bash", "console", "python", "json"}, "what is it, and is it run?"
