"""Ideal images of taught heads: in how many of the saved files do held-out networks see the animal?

`python -m benchmarks.taught_ideals`; ten CPU-seconds a picture. Seen is a cat or a dog if the class that the judge puts
first is one of ImageNet's cats or dogs. What the same judges see in photos of these breeds is counted beside it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from app.process.memory import keep_big_blocks
from app.vision.classifier import Classifier
from app.vision.models.repository import ModelRepository
from app.vision.pixels import to_levels
from app.vision.statistics import accuracy_interval
from app.vision.synthesis.ideal_images import PRESETS
from app.vision.synthesis.transformations import png_of
from app.vision.taxonomy import children_of
from benchmarks.ideal_recipes import ROOT, WEIGHTS, Recipe, draw
from benchmarks.judges import taken_for

PHOTOS: Final = ROOT.parent / "shared/data/pets"
JUDGES: Final = ("efficientnet_lite1", "efficientnet_lite2", "mobilenet_v2", "squeezenet1_1")
BREEDS: Final = {
    "cat": ("Abyssinian", "Bengal", "Birman", "Maine_Coon", "Ragdoll", "Russian_Blue", "Siamese", "Sphynx"),
    "dog": ("beagle", "boxer", "chihuahua", "pug", "saint_bernard", "samoyed", "shiba_inu", "yorkshire_terrier"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="of a breed; of cats and dogs four times as many")
    parser.add_argument("--pictures", type=Path, help="a folder for all pictures")
    choices = parser.parse_args()
    keep_big_blocks()
    torch.set_num_threads(1)
    models = ModelRepository([ROOT / "models"], weights_dir=WEIGHTS, device=torch.device("cpu"))
    judges = [models.load(name) for name in JUDGES]
    print(f"{'':32}" + "".join(f"{name:>20}" for name in JUDGES) + f"{'together':>26}{'own network':>13}", flush=True)
    kinds = {"cat": ("cat",), "dog": ("dog",)}
    for name, wanted, seeds in (("cats-vs-dogs", kinds, 4 * choices.seeds), ("pets", BREEDS, choices.seeds)):
        model = models.load(name)
        every, known, own = [], [], []
        for kind, label in ((kind, label) for kind, labels in wanted.items() for label in labels):
            drawn = [_drawn(models, model, label, seed, choices.pictures) for seed in range(3, 3 + seeds)]
            found = [_seen(judges, png, kind) for png in drawn]
            own += [taken_for(model, png) == model.labels.find(label).index for png in drawn]
            every += found
            if name == "pets" and (photos := sorted(PHOTOS.glob(f"*/{label}/*"))):
                real = [_seen(judges, photo.read_bytes(), kind) for photo in photos]
                known += found if sum(map(sum, real)) * 2 >= len(real) * len(judges) else []
                tell(f"  photos of a {label}", real)
                tell(f"  ideal {label}", found)
        tell(name, every, own)
        if known:
            tell(f"{name}, breeds that they know", known)


def tell(what: str, found: Sequence[Sequence[bool]], own: Sequence[bool] = ()) -> None:
    """Of pictures and judges, how often the kind was seen, with 95 % intervals."""
    seen, answers = sum(map(sum, found)), len(found) * len(JUDGES)
    low, high = accuracy_interval(seen, answers)
    each = "".join(f"{sum(column):>14} of {len(found):2}" for column in zip(*found, strict=True))
    certain = f"{sum(own):>7} of {len(own)}" if own else ""
    print(f"{what:32}{each}{seen:>8} of {answers:3} ({low:.0%}-{high:.0%}){certain}", flush=True)


def _drawn(models: ModelRepository, model: Classifier, label: str, seed: int, folder: Path | None) -> bytes:
    name = model.card.name
    png = png_of(to_levels(draw(Recipe(PRESETS["clear"], (name,)), models, model.labels.find(label).index, seed)))
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name} {label} {seed}.png").write_bytes(png)
    return png


def _seen(judges: Sequence[Classifier], data: bytes, kind: str) -> list[bool]:
    return [taken_for(judge, data) in children_of(kind) for judge in judges]


if __name__ == "__main__":
    main()
