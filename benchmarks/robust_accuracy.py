"""Robust accuracy, untargeted: which photos are still classified rightly after `pgd`, and after AutoAttack.

Both change the network's own canvases, so that nothing but the attack differs; ours in whole grey levels, AutoAttack's
(Croce & Hein 2020, as torchattacks has it, with nine targets as is usual for ImageNet) freely, then also rounded to
levels. What was fooled at a smaller bound is not attacked again at a larger one. A file of results is gone on with.
Needs the development photos beside the checkout (or `--data`); the peer is installed for this alone
(`uv pip install --no-deps torchattacks scipy`) and left out where it is missing.
"""

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from app.process.memory import keep_big_blocks
from app.vision.ask import run
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of
from app.vision.statistics import accuracy_interval
from app.vision.synthesis import attacks
from app.vision.synthesis.scene import Criterion, Scene, Victim
from app.vision.synthesis.transformations import Passage
from benchmarks.servers import ROOT

LIMITS: Final = ImageLimits()
EPSILONS: Final = (1, 2, 4)
_TOGETHER: Final = 10


@dataclass(frozen=True)
class Photo:
    name: str
    canvas: Canvas
    label: int


Attack = Callable[[Sequence[Photo], int], Tensor]
"""Changed canvases `(n, 3, H, W)` in [0, 1] of some photos, by at most so many grey levels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--results", type=Path, default=Path("var/robust_accuracy.jsonl"))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after these")
    choices = parser.parse_args()
    keep_big_blocks()
    torch.set_num_threads(2)
    classifier = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu")).load("imagenet")
    photos = list(read(choices.data / "imagenet-val/nips2017_dev", classifier))[: choices.photos]
    right = [photo for photo in photos if taken_for(classifier, pixels_of(photo.canvas)) == [photo.label]]
    choices.results.parent.mkdir(parents=True, exist_ok=True)
    attack_all(classifier, right, choices.results, time.monotonic() + choices.seconds)
    tell(choices.results, len(photos))


def attack_all(classifier: Classifier, right: Sequence[Photo], path: Path, deadline: float) -> None:
    for name, attack in {"pgd": ours(classifier), **peers(classifier)}.items():
        left = right
        for levels in EPSILONS:
            for first in range(0, len(left), _TOGETHER):
                some = left[first : first + _TOGETHER]
                if (name, levels, some[0].name) in done(path):
                    continue
                if time.monotonic() > deadline:
                    return
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result(classifier, name, attack, levels, some)) + "\n")
            left = [photo for photo in left if photo.name in still_right(path, name, levels)]


def result(classifier: Classifier, name: str, attack: Attack, levels: int, photos: Sequence[Photo]) -> dict[str, Any]:
    began = time.process_time()
    changed = attack(photos, levels)
    cpu_s = time.process_time() - began
    start = pixels_of(*(photo.canvas for photo in photos))
    assert float((changed - start).abs().max()) <= levels / 255 + 1e-5
    whole = (changed * 255).round() / 255
    left, left_rounded = (
        [photo.name for photo, index in zip(photos, taken_for(classifier, pixels), strict=True) if index == photo.label]
        for pixels in (changed, whole)
    )
    told = {"attack": name, "levels": levels, "photos": [photo.name for photo in photos]}
    return told | {"right": left, "right_rounded": left_rounded, "cpu_s": cpu_s}


def read(folder: Path, classifier: Classifier) -> Iterator[Photo]:
    preprocessing = classifier.backbone.preprocessing
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            picture = Picture.read((folder / row["file"]).read_bytes(), LIMITS, preprocessing=preprocessing)
            yield Photo(row["file"], picture.canvas(preprocessing), int(row["imagenet_index"]))


def taken_for(classifier: Classifier, pixels: Tensor) -> list[int]:
    indices: list[int] = classifier.logits(pixels).argmax(1).tolist()
    return indices


def ours(classifier: Classifier) -> Attack:
    def attack(photos: Sequence[Photo], levels: int) -> Tensor:
        return pixels_of(*(one(photo, levels) for photo in photos))

    def one(photo: Photo, levels: int) -> Canvas:
        passages = {"png": Passage("png", photo.canvas, None, LIMITS)}
        scene = Scene(photo.canvas, [Victim(classifier, Criterion(photo.label), passages)])
        return run(attacks.pgd(scene, epsilon=levels / 255, norm="linf", steps=None)).picture

    return attack


class Logits(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        return self.classifier.logits(pixels)


def peers(classifier: Classifier) -> dict[str, Attack]:
    found: dict[str, Attack] = {}
    with suppress(ImportError):
        import torchattacks

        model = Logits(classifier).eval()

        def attack(photos: Sequence[Photo], levels: int) -> Tensor:
            auto = torchattacks.AutoAttack(model, eps=levels / 255, n_classes=10, seed=0)
            labels = torch.tensor([photo.label for photo in photos])
            changed: Tensor = auto(pixels_of(*(photo.canvas for photo in photos)), labels)
            return changed.detach()

        found["AutoAttack"] = attack
    return found


def done(path: Path) -> set[tuple[str, int, str]]:
    return {(one["attack"], one["levels"], one["photos"][0]) for one in results(path)}


def still_right(path: Path, attack: str, levels: int) -> set[str]:
    some = [one for one in results(path) if (one["attack"], one["levels"]) == (attack, levels)]
    return {name for one in some for name in one["right"]}


def results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def tell(path: Path, photos: int) -> None:
    found = results(path)
    for name, levels in dict.fromkeys((one["attack"], one["levels"]) for one in found):
        some = [one for one in found if (one["attack"], one["levels"]) == (name, levels)]
        attacked, right, whole = (sum(len(one[part]) for one in some) for part in ("photos", "right", "right_rounded"))
        cpu_s = sum(one["cpu_s"] for one in some) / attacked
        low, high = accuracy_interval(right, photos)
        print(
            f"{name}, {levels}/255: {right} of {photos} right ({low:.0%}–{high:.0%}), in whole levels {whole};", end=" "
        )
        print(f"{attacked} were attacked, {cpu_s:.2f} CPU-s each")


if __name__ == "__main__":
    main()
