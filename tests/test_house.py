"""How the tests stand to each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

HERE = (".", "tests", "test_", "conftest")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_test_module_imports_another() -> None:
    modules = sorted((ROOT / "tests").rglob("*.py"))
    assert len(modules) > 50
    names = {(path, name) for path in modules for name in imported(path) if name.startswith(HERE)}
    assert {(path.name, name) for path, name in names if not name.startswith("tests.support.")} == set()
