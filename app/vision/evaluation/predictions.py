"""What a model says of each picture, as a table for a spreadsheet."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from typing import Literal

Use = Literal["counts", "learned", "no-label", "unknown"]
"""Whether a picture counts; or why not: it was learned from, it has no label, it is of none of the classes."""


@dataclass(frozen=True)
class Row:
    """`right` is None for a picture without a label; `unknown` if the model cannot tell."""

    name: str
    folder: str
    predicted: str
    score: float
    right: bool | None
    unknown: float | None
    use: Use


def table_of(rows: Iterable[Row]) -> bytes:
    """UTF-8 with a mark at its start, by which Excel knows it."""
    file = StringIO()
    writer = csv.writer(file)
    writer.writerow(["name", "folder", "predicted", "score", "right", "unknown", "use"])
    for row in rows:
        right = "" if row.right is None else str(row.right).lower()
        unknown = "" if row.unknown is None else f"{row.unknown:.4f}"
        writer.writerow(
            [_cell(row.name), _cell(row.folder), row.predicted, f"{row.score:.6f}", right, unknown, row.use]
        )
    return file.getvalue().encode("utf-8-sig")


def _cell(text: str) -> str:
    """A spreadsheet would run what begins like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
