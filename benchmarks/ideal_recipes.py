"""Which recipe draws the best ideal image in ten CPU-seconds: classes × seeds × recipes, and held-out networks judge.

Each picture is a line of a CSV as soon as it is drawn; started again, it goes on with what is missing:
`python -m benchmarks.ideal_recipes --csv recipes.csv --seconds 240`, and `--table` for what was found so far.
"""

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from app.process.memory import keep_big_blocks
from app.vision.ask import Answer, Ask, answer
from app.vision.classifier import Classifier
from app.vision.image import ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of, to_levels
from app.vision.statistics import accuracy_interval
from app.vision.synthesis.descent import Schedule, SpectrumDescent
from app.vision.synthesis.objectives import ClassObjective
from app.vision.synthesis.transformations import png_of

ROOT: Final = Path(__file__).resolve().parent.parent
WEIGHTS: Final = ROOT.parent / "shared/data/weights"
CLASSES: Final = (281, 340, 207, 291, 949, 107, 779, 386, 130, 1, 2, 31, 22, 388, 323, 301, 963, 985, 817, 483)
"""tabby, zebra, golden retriever, lion, strawberry, jellyfish, school bus, African elephant, flamingo, goldfish, great
white shark, tree frog, bald eagle, giant panda, monarch, ladybug, pizza, daisy, sports car, castle"""
JUDGES: Final = ("imagenet", "efficientnet_lite1", "efficientnet_lite2", "mobilenet_v2", "squeezenet1_1")


LATE: Final = ((0.5, 0.5), (0.85, 0.72), (1.0, 1.0))
"""The network sees the whole input size in the last seventh of the steps alone, which makes them cheaper."""


@dataclass(frozen=True)
class Recipe:
    schedule: Schedule
    members: tuple[str, ...] = ("imagenet",)


RECIPES: Final = {
    "96 x 3": Recipe(Schedule(96, 3, 0.12)),
    "288 x 1": Recipe(Schedule(288, 1, 0.08)),
    "144 x 2": Recipe(Schedule(144, 2, 0.1)),
    "192 x 2, late": Recipe(Schedule(192, 2, 0.1, growth=LATE)),
    "384 x 1, late": Recipe(Schedule(384, 1, 0.08, growth=LATE)),
    "two in the last third, 80 x 2": Recipe(Schedule(80, 2, 0.12, 0.67), ("imagenet", "efficientnet_lite1")),
    "192 x 3": Recipe(Schedule(192, 3, 0.1)),
}


def draw(recipe: Recipe, models: ModelRepository, index: int, seed: int) -> Tensor:
    members = [(models.load(name), ClassObjective(index)) for name in recipe.members]
    descent = SpectrumDescent(members, recipe.schedule, seed, 224)
    for step in range(1, recipe.schedule.steps + 1):
        shown = descent.look(step)
        answers = answer([Ask(one.classifier, one.canvas.detach(), one.objective, one.layers) for one in shown])
        descent.descend(step, shown, [one.gradient for one in answers if isinstance(one, Answer)])
    return descent.render(224)[0]


def judged(png: bytes, judge: Classifier, index: int) -> tuple[int, float]:
    canvas = Picture.read(png, ImageLimits()).canvas(judge.backbone.preprocessing)
    with torch.no_grad():
        probabilities = judge.logits(pixels_of(canvas))[0].softmax(0)
    return int(probabilities.argmax()) == index, float(probabilities[index])


def table(rows: Sequence[dict[str, str]]) -> None:
    """Of the pictures that every listed recipe has drawn."""
    by_recipe: dict[str, dict[tuple[str, str], dict[str, str]]] = defaultdict(dict)
    for row in rows:
        by_recipe[row["recipe"]][row["class"], row["seed"]] = row
    for recipe, found in by_recipe.items():
        cpu_s = sum(float(one["cpu_s"]) for one in found.values()) / len(found)
        print(f"{recipe}: {len(found)} pictures, {cpu_s:.1f} CPU-s")
        for name in JUDGES:
            first = sum(one[f"{name} first"] == "1" for one in found.values())
            low, high = accuracy_interval(first, len(found))
            mean = sum(float(one[f"{name} p"]) for one in found.values()) / len(found)
            role = "took part" if name in RECIPES[recipe].members else "held out"
            print(f"  {name:20} {role:10} first {first}/{len(found)} ({low:.2f} to {high:.2f}), mean p {mean:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, default=Path("ideal_recipes.csv"))
    parser.add_argument("--seconds", type=float, default=240, help="after which it ends, with what it has")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--pictures", type=Path, help="a folder for all pictures")
    parser.add_argument("--table", action="store_true", help="only print what was found")
    choices = parser.parse_args()
    rows = list(csv.DictReader(choices.csv.open())) if choices.csv.exists() else []
    if choices.table:
        table(rows)
        return
    keep_big_blocks()
    torch.set_num_threads(1)
    models = ModelRepository([ROOT / "models"], weights_dir=WEIGHTS, device=torch.device("cpu"))
    judges = {name: models.load(name) for name in JUDGES}
    done = {(row["recipe"], row["class"], row["seed"]) for row in rows}
    until = time.monotonic() + choices.seconds
    wanted = [
        (recipe, index, seed) for seed in range(1, choices.seeds + 1) for index in CLASSES for recipe in choices.recipes
    ]
    for recipe, index, seed in wanted:
        if (recipe, str(index), str(seed)) in done:
            continue
        if time.monotonic() > until:
            return
        began = time.process_time()
        pixels = draw(RECIPES[recipe], models, index, seed)
        row: dict[str, object] = {"recipe": recipe, "class": index, "seed": seed}
        row["cpu_s"] = round(time.process_time() - began, 2)
        png = png_of(to_levels(pixels))
        for name, judge in judges.items():
            first, probability = judged(png, judge, index)
            row |= {f"{name} first": int(first), f"{name} p": round(probability, 4)}
        if choices.pictures:
            choices.pictures.mkdir(parents=True, exist_ok=True)
            (choices.pictures / f"{recipe} {index} {seed}.png").write_bytes(png)
        is_new = not choices.csv.exists()
        with choices.csv.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)
    print("All is drawn.")


if __name__ == "__main__":
    main()
