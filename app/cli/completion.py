"""What a shell completes: names of models, from the folders in which they lie, without a service and without torch."""

import os
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_CARDS: Final = "[!.]*/model.json"


def model_names(incomplete: str) -> list[str]:
    """Those that begin so: models that ship, and those that were taught into the data folder."""
    shipped = os.environ.get("INKBLOT_MODELS_DIR")
    folders = [Path(shipped)] if shipped else [_PACKAGE.parent / "models", _PACKAGE / "models"]
    folders.append(Path(os.environ.get("INKBLOT_DATA_DIR") or "var") / "models")
    names = {card.parent.name for folder in folders for card in folder.glob(_CARDS)}
    return sorted(name for name in names if name.startswith(incomplete))
