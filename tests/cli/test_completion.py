"""What a shell completes, asked as bash asks: without a service, and without torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.completion import model_names
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow


def completed(line: str, environ: dict[str, str]) -> list[str]:
    """The words that bash offers behind this line."""
    asked = {"_INKBLOT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    code = "import sys; sys.argv = ['inkblot']; from app.cli.main import app\n"
    code += "try: app(prog_name='inkblot')\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | environ | asked
    )
    assert done.stderr.strip() == "False", done.stderr
    return done.stdout.split()


def test_names_of_models_are_completed_from_their_folders(tmp_path: Path) -> None:
    (tmp_path / "models/mine").mkdir(parents=True)
    (tmp_path / "models/mine/model.json").write_text("{}")
    (tmp_path / "models/.draft").mkdir()
    (tmp_path / "models/.draft/model.json").write_text("{}")
    environ = {"INKBLOT_DATA_DIR": str(tmp_path)}
    assert completed("inkblot classify cat.jpg --model ", environ) == ["cats-vs-dogs", "imagenet", "mine", "pets"]
    assert completed("inkblot labels im", environ) == ["imagenet"]
    assert completed("inkblot export m", environ) == ["mine"]


def test_commands_and_choices_are_completed() -> None:
    assert completed("inkblot cl", {}) == ["classify"]
    assert completed("inkblot explain cat.jpg --method int", {}) == ["integrated_gradients"]
    assert completed("inkblot jobs --lang ", {}) == ["en", "tr"]


def test_a_script_for_the_shell_is_shown() -> None:
    code = "import sys; sys.argv = ['inkblot', '--show-completion', 'bash']\n"
    code += "from app.cli.main import app; app(prog_name='inkblot')"
    # Below a shell, which Typer looks for among the processes above: these tests may have been started by none.
    command = ["bash", "-c", '"$0" -c "$1"; exit $?', sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "_INKBLOT_COMPLETE=complete_bash" in done.stdout


def test_models_that_ship_lie_where_the_setting_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/model.json").write_text("{}")
    monkeypatch.setenv("INKBLOT_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("INKBLOT_DATA_DIR", str(tmp_path / "var"))
    assert model_names("") == ["own"]
    assert model_names("x") == []
