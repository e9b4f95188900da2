"""Files that the commands write: their endings tell what they are, and none replaces another in silence."""

from collections.abc import Sequence
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES: Final = (".png", ".webp")
Overwrite = Annotated[bool, typer.Option("--overwrite", "-f", help="Replace a file that is there already.")]


def place_for(out: Path | None, name: str, endings: Sequence[str], *, overwrite: bool, option: str = "--out") -> Path:
    """Where to write: `out`, whose ending is one of these, or else `name`, with a number if that is there already.

    Raises `typer.BadParameter` for another ending, which would lie, and for a file that is there already.
    """
    if out is None:
        path = Path(name)
        return places_for(str(path.with_suffix("")), [path.suffix], overwrite=overwrite)[0]
    if out.suffix.lower() not in endings:
        raise typer.BadParameter(f"{option} ends in {' or '.join(endings)}, not in {out.suffix!r}.")
    refuse_existing(out, overwrite=overwrite)
    return out


def stem_of_picture(picture: str) -> str:
    """Of the files that are written: `cat` of a path or an address that ends in cat.jpg."""
    return Path(urlsplit(picture).path if "://" in picture else picture).stem or "picture"


def form_of(path: Path) -> str:
    """As the service calls what the ending names."""
    return path.suffix.lower().removeprefix(".")


def beside(path: Path, what: str, *, overwrite: bool) -> Path:
    """For a second file of the same thing: `zebra-sheet.png`."""
    return place_for(None, str(path.with_stem(f"{path.stem}-{what}")), (), overwrite=overwrite)


def places_for(stem: str, endings: Sequence[str], *, overwrite: bool) -> list[Path]:
    """Files that belong together: `zebra-seed3.png` and `zebra-seed3-recipe.json`, with one number if one is there."""
    stems = (f"{stem}-{number}" if number > 1 else stem for number in count(1))
    named = ([Path(f"{one}{ending}") for ending in endings] for one in stems)
    return next(paths for paths in named if overwrite or not any(path.exists() for path in paths))


def refuse_existing(path: Path, *, overwrite: bool, option: str = "--overwrite") -> None:
    """Raises `typer.BadParameter`, which names the `option` that replaces it."""
    if path.exists() and not overwrite:
        raise typer.BadParameter(f"{path} is there already; {option} replaces it.")


def write_picture(path: Path, png: bytes) -> None:
    """A PNG as it came, or, where the name ends in .webp, the same pixels as lossless WebP."""
    if path.suffix.lower() == ".webp":
        from PIL import Image

        with Image.open(BytesIO(png)) as picture:
            write_drawing(path, picture.convert("RGB"))
    else:
        path.write_bytes(png)


def write_drawing(path: Path, drawing: "Image") -> None:
    """Without loss, in the form that the ending names."""
    file = BytesIO()
    if path.suffix.lower() == ".webp":
        drawing.save(file, "WEBP", lossless=True, quality=50)
    else:
        drawing.save(file, "PNG", optimize=True)
    path.write_bytes(file.getvalue())


def stem_of(text: str) -> str:
    """A name of a file out of any text: `golden-retriever` of `golden retriever`."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-") or "picture"
