"""Small models, written by hand."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save, save_file

from app.vision.feature_space import FeatureSpace
from app.vision.models.model_folder import HEAD, LABELS, head_tensors


def write_model(folder: Path, name: str = "colours", **changes: object) -> Path:
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    card = {"version": 3, "backbone": "efficientnet_lite0", "num_classes": 2, "head": "head.safetensors"}
    (path / "model.json").write_text(json.dumps(card | changes))
    (path / "labels.json").write_text(json.dumps([{"label": "warm"}, {"label": "cold"}]))
    head = torch.nn.Linear(1280, 2)
    save_file({"weight": head.weight.detach(), "bias": head.bias.detach()}, path / "head.safetensors")
    return path


RECORD: dict[str, Any] = {
    "backbone": "efficientnet_lite0",
    "weights": "efficientnet-lite0-57934424.pth",
    "num_classes": 2,
    "unknown": {"threshold": 0.7, "spread": 0.1},
}


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    space, _ = FeatureSpace.of(torch.rand(8, 1280), torch.arange(8) % 2, torch.arange(8), seed=0)
    return head_tensors(torch.rand(2, 1280), torch.rand(2), space)


def files(seed: int = 0) -> dict[str, bytes]:
    labels = json.dumps([{"label": "red"}, {"label": "blue"}]).encode()
    return {HEAD: save(tensors(seed)), LABELS: labels}
