"""Files that the commands write: their endings tell what they are, and none replaces another in silence."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Final

import typer

_MOST: Final = 1000
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")]


def place_for(out: Path | None, name: str, endings: Sequence[str], *, overwrite: bool) -> Path:
    """Where to write: `out`, whose ending is one of these, or else `name`, with a number if there is one.

    Raises `typer.BadParameter` for another ending, which would lie, and for a file that is there already.
    """
    if out is None:
        return Path(name) if overwrite else _free(Path(name))
    if out.suffix.lower() not in endings:
        raise typer.BadParameter(f"--out ends in {' or '.join(endings)}, not in {out.suffix!r}.")
    if out.exists() and not overwrite:
        raise typer.BadParameter(f"{out} is there already; --overwrite replaces it.")
    return out


def write_picture(path: Path, png: bytes) -> None:
    """A PNG as it came, or, where the name ends in .webp, the same pixels as lossless WebP."""
    if path.suffix.lower() == ".webp":
        from PIL import Image

        file = BytesIO()
        with Image.open(BytesIO(png)) as picture:
            picture.convert("RGB").save(file, "WEBP", lossless=True, quality=50)
        png = file.getvalue()
    path.write_bytes(png)


def stem_of(text: str) -> str:
    """A name of a file out of any text: `golden-retriever` of `golden retriever`."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-") or "picture"


def _free(path: Path) -> Path:
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in range(2, _MOST))
    return next((one for one in (path, *numbered) if not one.exists()), path.with_stem(f"{path.stem}-{_MOST}"))
