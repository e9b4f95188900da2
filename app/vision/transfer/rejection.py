"""How well pictures of no class are told from those of the classes."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from app.vision.feature_space import FeatureSpace
from app.vision.image import Preprocessing
from app.vision.serving.runtimes import FeatureExtractor
from app.vision.statistics import auroc
from app.vision.transfer.archive import Archive
from app.vision.transfer.examples import Examples

_NOISE: Final = 16


def rejection_rates(
    space: FeatureSpace, distances: Tensor, out_of_distribution: Mapping[str, Tensor]
) -> dict[str, Any]:
    """How often pictures of the classes (each measured against the others) and of none are taken for unknown."""
    found = {}
    for group, features in out_of_distribution.items():
        strange = space.distance(features)
        found[group] = {
            "pictures": len(features),
            "auroc": round(auroc(distances, strange), 4),
            "found": round(float((strange > space.threshold).float().mean()), 4),
        }
    false_alarms = round(float((distances > space.threshold).float().mean()), 4)
    return {"threshold": round(space.threshold, 4), "false_alarms": false_alarms, "strangers": found}


def features_of_noise(forward: FeatureExtractor, preprocessing: Preprocessing) -> Tensor:
    """Features `(16, features)` of pictures whose pixels are drawn evenly from 0..255, always the same."""
    canvases = np.random.default_rng(0).integers(
        0, 256, (_NOISE, preprocessing.crop, preprocessing.crop, 3), dtype=np.uint8
    )
    step = forward.best_batch
    return torch.cat([forward(canvases[start : start + step]).cpu() for start in range(0, _NOISE, step)])


def features_by_group(archive: Archive, out_of_distribution: Examples) -> dict[str, Tensor]:
    """The features of pictures of no class, by the name of the folder that they lay in."""
    folder = {entry.name: entry.group or "strangers" for entry in archive.out_of_distribution}
    rows: dict[str, list[int]] = {}
    for index, name in enumerate(out_of_distribution.names):
        rows.setdefault(folder[name], []).append(index)
    return {group: out_of_distribution.features[chosen] for group, chosen in rows.items()}
