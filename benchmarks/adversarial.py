"""Our attacks against those of three libraries: same network, same photos, same targets, in one run.

What counts is whether the saved PNG fools the network when it is uploaded again, the size of the change, and
CPU-seconds. The peers get a differentiable model of the whole path from the picture at its own size. They are installed
for this alone (`uv pip install --no-deps foolbox eagerpy torchattacks adv-lib`, and what they import); those that are
missing are left out.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from app.process.memory import keep_big_blocks
from app.vision.ask import run
from app.vision.classifier import Classifier
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of
from app.vision.synthesis import attacks
from app.vision.synthesis.robust_attack import robust
from app.vision.synthesis.scene import Criterion, Scene, Victim
from app.vision.synthesis.transformations import Passage, png_of, ways_of

ROOT = Path(__file__).resolve().parent.parent
LIMITS = ImageLimits()
TABBY = 281
DOGS = range(151, 269)

Attack = Callable[[Scene], Canvas]


@dataclass(frozen=True)
class Found:
    cpu_s: float
    fools: bool
    fools_jpeg: bool
    l2: float
    linf: int


class WholePath(nn.Module):
    """From a picture `(1, 3, H, W)` at its own size to logits; the resize is PyTorch's, so that there is a gradient."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier, self.preprocessing = classifier, classifier.backbone.preprocessing

    def forward(self, pixels: Tensor) -> Tensor:
        scale = self.preprocessing.resize / min(pixels.shape[2:])
        size = [max(self.preprocessing.crop, round(side * scale)) for side in pixels.shape[2:]]
        small = functional.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((side - self.preprocessing.crop) // 2 for side in size)
        return self.classifier.logits(
            small[..., top : top + self.preprocessing.crop, left : left + self.preprocessing.crop]
        )


def ours() -> dict[str, Attack]:
    return {
        "ours: robust": lambda scene: run(robust(scene, epsilon=None, steps=None, seed=0)).picture,
        "ours: minimal": lambda scene: run(attacks.minimal(scene, epsilon=None, steps=None)).picture,
        "ours: pgd": lambda scene: run(attacks.pgd(scene, epsilon=None, norm="linf", steps=None)).picture,
    }


def peers(classifier: Classifier) -> dict[str, Attack]:
    model = WholePath(classifier).eval()
    target = torch.tensor([TABBY])
    found: dict[str, Attack] = {}
    with suppress(ImportError):
        from adv_lib.attacks import ddn

        found["adversarial-library: DDN, 100 steps, quantised"] = lambda scene: levels(
            ddn(model, pixels(scene), target, targeted=True, steps=100, levels=256)
        )
    with suppress(ImportError):
        import foolbox

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        criterion = foolbox.criteria.TargetedMisclassification(target)
        attack = foolbox.attacks.DDNAttack(steps=100)
        found["foolbox: DDN, 100 steps"] = lambda scene: levels(
            attack(wrapped, pixels(scene), criterion, epsilons=None)[0]
        )
    with suppress(ImportError):
        import torchattacks

        pgd = torchattacks.PGD(model, eps=4 / 255, alpha=1 / 255, steps=40)
        pgd.set_mode_targeted_by_label(quiet=True)
        found["torchattacks: PGD, 40 steps, 4/255"] = lambda scene: levels(pgd(pixels(scene), target))
    return found


def pixels(scene: Scene) -> Tensor:
    return pixels_of(scene.picture)


def levels(found: Tensor) -> Canvas:
    return (found[0].detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def scenes(classifier: Classifier, data: Path, number: int) -> Iterator[Scene]:
    """Photos of dogs that are taken for dogs."""
    preprocessing = classifier.backbone.preprocessing
    files = sorted((data / "cats-dogs/test/dog").glob("*.jpg")) or sorted((ROOT / "app/web/samples").glob("*.png"))
    for file in files:
        picture = Picture.read(file.read_bytes(), LIMITS).pixels()
        passages = {way: Passage(way, picture, preprocessing, LIMITS) for way in ways_of(())}
        source = int(classifier.logits(pixels_of(passages["png"].canvas(picture))).argmax())
        if source in DOGS and number > 0:
            number -= 1
            yield Scene(picture, [Victim(classifier, Criterion(source, TABBY), passages)])


def measured(attack: Attack, scene: Scene) -> Found:
    began = time.process_time()
    changed = attack(scene)
    cpu_s = time.process_time() - began
    (victim,) = scene.victims
    preprocessing = victim.classifier.backbone.preprocessing
    uploaded = Picture.read(png_of(changed), LIMITS, preprocessing=preprocessing).canvas(preprocessing)
    compressed = victim.passages["jpeg_q75"].canvas(changed)
    png, jpeg = victim.classifier.logits(pixels_of(uploaded, compressed)).argmax(1).tolist()
    change = changed.astype(np.int16) - scene.picture
    l2 = float(np.sqrt((change.astype(np.float64) ** 2).sum())) / 255
    return Found(cpu_s, png == TABBY, jpeg == TABBY, l2, int(np.abs(change).max()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="else the sample photos")
    choices = parser.parse_args()
    keep_big_blocks()
    torch.set_num_threads(choices.threads)
    classifier = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu")).load("imagenet")
    photos = list(scenes(classifier, choices.data, choices.photos))
    reference = None
    print(f"{len(photos)} dogs to 'tabby', {choices.threads} threads; medians")
    print(f"{'':48} {'PNG':>6} {'JPEG75':>6} {'L2':>6} {'Linf':>5} {'CPU-s':>6}")
    for name, attack in {**ours(), **peers(classifier)}.items():
        measured(attack, photos[0])  # warm
        found = [measured(attack, photo) for photo in photos]
        fools, jpeg = sum(one.fools for one in found), sum(one.fools_jpeg for one in found)
        l2, linf, cpu_s = (statistics.median(getattr(one, field) for one in found) for field in ("l2", "linf", "cpu_s"))
        counts = f"{fools:>3}/{len(found):<2} {jpeg:>3}/{len(found):<2}"
        print(f"{name:48} {counts} {l2:6.2f} {linf:5.0f} {cpu_s:6.2f}", flush=True)
        if name == "ours: minimal":
            reference = cpu_s
        elif reference and "DDN" in name:
            print(f"{'':48} minimal takes {reference / cpu_s:.2f} x its CPU time")


if __name__ == "__main__":
    main()
