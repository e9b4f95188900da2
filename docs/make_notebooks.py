"""Runs the notebooks of the lesson and keeps what they show: `python -m docs.make_notebooks [en] [tr]`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

FOLDER: Final = Path(__file__).resolve().parent / "notebooks"
LANGUAGES: Final = ("en", "tr")
_CELL_S: Final = 1800


def path_of(language: str) -> Path:
    return FOLDER / f"lesson.{language}.ipynb"


def read(language: str) -> Any:  # noqa: ANN401 -- nbformat's own
    return nbformat.read(path_of(language), as_version=4)


def executed(notebook: Any, settings: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 -- nbformat's own
    """The same notebook with what its cells show; `settings` replace those of its first cell of code.

    Raises `CellExecutionError`.
    """
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    written = first.source
    for name, value in (settings or {}).items():
        lines = [f"{name} = {value!r}" if line.startswith(f"{name} =") else line for line in first.source.splitlines()]
        first.source = "\n".join(lines)
    NotebookClient(
        notebook, timeout=_CELL_S, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    first.source = written
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()  # when each cell was run, which would differ each time
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    return notebook


def main() -> None:
    """Of the languages that are named, or of both."""
    for language in sys.argv[1:] or LANGUAGES:
        nbformat.write(executed(read(language)), path_of(language))


if __name__ == "__main__":
    main()
