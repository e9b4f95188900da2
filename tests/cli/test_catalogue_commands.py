import json

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from tests.support.commands import run

pytestmark = pytest.mark.slow


def test_models_are_listed_with_the_default_one_marked(server: str) -> None:
    status, out, err = run("models", "--server", server)
    assert (status, err) == (0, "")
    lines = {line.split()[0 if line[0] != "*" else 1]: line for line in out.splitlines()[1:]}
    assert lines["imagenet"].startswith("*")
    assert "1000" in lines["imagenet"]
    assert "efficientnet_lite0" in lines["cats-vs-dogs"]
    assert "%99," in run("models", "--lang", "tr", "--server", server)[1]
    assert "imagenet" in [one["name"] for one in json.loads(run("models", "--json", "--server", server)[1])]


def test_labels_are_searched_and_layers_listed(server: str) -> None:
    found = run("labels", "imagenet", "köpek", "--lang", "tr", "--server", server)[1].splitlines()
    assert found[1].split()[:3] == ["207", "golden", "retriever"]
    layers = run("layers", "imagenet", "--server", server)[1].splitlines()
    assert "*  _blocks.15" in " ".join(layers)
    assert "320 × 7 × 7" in " ".join(layers)
    status, _, err = run("layers", "imagnet", "--server", server)
    assert status == 1
    assert "Did you mean imagenet?" in err


def test_jobs_are_deleted_and_models_that_ship_stay(server: str) -> None:
    job = run("ideal", "lion", "--steps", "2000", "--detach", "--server", server)[1].strip()
    narrow = CliRunner().invoke(app, ["jobs", "--server", server], env={"COLUMNS": "40", "LANG": "C"}).stdout
    assert job in narrow, "an id is never broken"
    assert run("rm", job, "--server", server)[0] == 0
    assert job not in run("jobs", "--server", server)[1]
    status, _, err = run("rm", "imagenet", "--server", server)
    assert status == 1
    assert err
