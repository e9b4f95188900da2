"""What the card of a taught model tells of what it stands on and how it was taught."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from app import __version__
from app.vision.feature_space import FeatureSpace
from app.vision.networks.backbones import Backbone
from app.vision.transfer.examples import Examples

_LIBRARIES: Final = ("torch", "pillow", "numpy")


def card_of(backbone: Backbone, classes: Sequence[str], space: FeatureSpace) -> dict[str, Any]:
    few = len(classes) <= 5
    return {
        "backbone": backbone.card.name,
        "weights": backbone.weights.name,
        "num_classes": len(classes),
        "description": {
            "en": f"{', '.join(classes)}: taught here" if few else f"{len(classes)} classes, taught here",
            "tr": f"{', '.join(classes)}: burada öğretildi" if few else f"{len(classes)} sınıf, burada öğretildi",
        },
        "unknown": {"threshold": round(space.threshold, 6), "spread": round(space.spread, 6)},
    }


def training_of(examples: Examples, choices: Mapping[str, Any], seconds: Mapping[str, float]) -> dict[str, Any]:
    """`choices` are those of the plan, `examples` the pictures that were learned from."""
    return {
        **{name: choices[name] for name in ("mode", "seed", "augment", "val_fraction")},
        "pictures": len(examples),
        "counts": dict(Counter(examples.labels)),
        "seconds": {name: round(took, 2) for name, took in seconds.items()},
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "inkblot": __version__,  # which may run from a checkout that is installed nowhere
            **{name: version(name) for name in _LIBRARIES},
            "python": platform.python_version(),
        },
    }
