"""Writes the table of docs/settings.md anew, from what `Settings` says of itself: `python -m docs.make_settings`."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Final

from app.settings import Settings

PAGE: Final = Path(__file__).resolve().parent / "settings.md"
_BEGIN: Final = "<!-- settings -->\n"
_END: Final = "<!-- /settings -->\n"


def table() -> str:
    """A row for each setting; where the default depends on the machine its text says how."""
    rows = ["| `INKBLOT_…` | default | |", "|---|---|---|"]
    for field in fields(Settings):
        default = "" if field.default in (MISSING, None, ()) else _shown(field.default)
        rows.append(f"| `{field.name.upper()}` | {default} | {field.metadata['text']} |")
    return "\n".join(rows) + "\n"


def _shown(default: object) -> str:
    return f"`{','.join(default) if isinstance(default, tuple) else default}`"


def page() -> str:
    """The page with the table as it is to be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    return before + _BEGIN + table() + _END + rest.partition(_END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
