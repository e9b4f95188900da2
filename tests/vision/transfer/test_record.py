from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from app import __version__
from app.vision.transfer import record


class Learned:
    labels = ("cat", "dog", "cat")

    def __len__(self) -> int:
        return len(self.labels)


def test_a_checkout_that_is_installed_nowhere_tells_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "inkblot":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(record, "version", version)
    choices = {"mode": "linear_probe", "seed": 0, "augment": False, "val_fraction": None}
    learned: Any = Learned()
    told = record.training_of(learned, choices, {"fit": 1.0})
    assert told["versions"]["inkblot"] == __version__
    assert told["versions"]["torch"] == "1.0"
    assert told["counts"] == {"cat": 2, "dog": 1}
