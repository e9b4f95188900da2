"""The notebooks of the lesson run from the first cell to the last, and show what a real run has shown."""

import ast
import base64
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from docs.make_notebooks import LANGUAGES, executed, path_of, read

MAX_BYTES = 1_500_000
_STRINGS = "…"


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code_of(notebook) for output in cell.outputs]


def pictures(notebook: Any) -> list[Image.Image]:
    """Decoded, in their order."""
    shown = [data for output in outputs(notebook) for kind, data in output.get("data", {}).items() if "image/" in kind]
    return [Image.open(BytesIO(base64.b64decode(data))).convert("RGB") for data in shown]


def printed(notebook: Any) -> str:
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


class _WithoutWords(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(_STRINGS) if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Constant:  # noqa: ARG002 -- its words may be in another order
        return ast.Constant(_STRINGS)


def without_words(source: str) -> str:
    return ast.unparse(_WithoutWords().visit(ast.parse(source)))


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notebook_runs_from_the_first_cell_to_the_last(language: str) -> None:
    shipped = read(language)
    quick = executed(read(language), {"STEPS": 2})
    assert [cell.source for cell in quick.cells] == [cell.source for cell in shipped.cells]
    assert len(pictures(quick)) == len(pictures(shipped))
    assert "ready" in printed(quick)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_shown_is_of_one_whole_run_with_the_settings_as_they_are_printed(language: str) -> None:
    notebook = read(language)
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert f'LANGUAGE = "{language}"' in cells[0].source
    assert "STEPS = None" in cells[0].source
    assert {output.output_type for output in outputs(notebook)} <= {"stream", "display_data", "execute_result"}
    assert {output.name for output in outputs(notebook) if output.output_type == "stream"} == {"stdout"}
    assert len(pictures(notebook)) >= 10
    text = path_of(language).read_text(encoding="utf-8")
    assert len(text.encode()) < MAX_BYTES
    assert [place for place in ("/tmp/", "/root/", "/home/", "/work/", "site-packages") if place in text] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_drawings_of_the_real_run_are_what_they_are_to_be(language: str) -> None:
    """By the jobs' own accounts: the drawing is taken for a zebra, the dog for a cat, after JPEG and scaling too."""
    results = [output.data["text/html"] for output in outputs(read(language)) if "text/html" in output.get("data", {})]
    ideal, fooled = (next(html for html in results if kind in html) for kind in ("ideal image", "adversarial image"))
    assert "zebra: " in ideal
    assert "→ tabby (" in fooled
    assert "jpeg_q75" in fooled
    assert "half_size" in fooled


def test_both_languages_run_the_same_code() -> None:
    english, turkish = (code_of(read(language)) for language in ("en", "tr"))
    assert [without_words(cell.source) for cell in english] == [without_words(cell.source) for cell in turkish]
    kinds = [[cell.cell_type for cell in read(language).cells] for language in LANGUAGES]
    assert kinds[0] == kinds[1]
