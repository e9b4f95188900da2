"""How often dogs are taken for a tabby after all that happens to pictures, by one network or by several at once.

Goes the way that a job goes, and verifies as it does; a file of results is gone on with. Needs the development photos
beside the checkout (or `--data`): those of the test part, which nothing was chosen by.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image, ImageFilter, ImageOps

from app.process.memory import keep_big_blocks
from app.vision.ask import run
from app.vision.classifier import Classifier
from app.vision.image import ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of
from app.vision.statistics import accuracy_interval
from app.vision.synthesis.adversarial_images import AdversarialImage, adversarial_image
from app.vision.synthesis.patch_attack import PLACES, diameter_in, pasted, places_in
from app.vision.synthesis.scene import Criterion, Patch, Scene, Victim
from app.vision.synthesis.transformations import Passage
from benchmarks.judges import taken_for
from benchmarks.servers import ROOT

DOGS: Final = range(151, 269)
FOUR: Final = ("efficientnet_lite1", "efficientnet_lite2", "mobilenet_v2")
RECIPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "file": {},
    "messenger": {"survive": ("messenger",)},
    "edit": {"survive": ("edit",)},
    "all": {"survive": ("messenger", "edit")},
    "models": {"partners": FOUR},
    "models-without-mobilenet": {"partners": FOUR[:2]},
    "models-pgd": {"partners": FOUR, "method": "pgd"},
    "patch": {"method": "patch"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--epsilon", type=int, default=8, help="at most so many grey levels")
    parser.add_argument("--results", type=Path, default=Path("var/fooling.jsonl"))
    parser.add_argument("--pictures", type=Path, help="folder for what was made")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after these")
    choices = parser.parse_args()
    keep_big_blocks()
    torch.set_num_threads(2)
    models = ModelRepository([ROOT / "models"], weights_dir=choices.data / "weights", device=torch.device("cpu"))
    classifier = models.load("imagenet")
    photos = list(dogs(classifier, choices.data / "cats-dogs/test/dog", choices.photos))
    choices.results.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for recipe in choices.recipes:
        for photo in photos:
            done = {(one["recipe"], one["photo"]) for one in results(choices.results)}
            if (recipe, photo.name) in done or time.monotonic() - began > choices.seconds:
                continue
            found, cpu_s = fooled(models, photo, RECIPES[recipe], choices.epsilon)
            line = {"recipe": recipe, "photo": photo.name, "cpu_s": cpu_s} | told(found)
            if not found.patch:
                line["unforeseen"] = unforeseen(classifier, found.adversarial)
            else:
                others = [other for other in photos if other != photo]
                fooled_too = elsewhere(classifier, found.patch, others)
                line["patch"] = {"fooled": found.patch.fooled, "elsewhere": fooled_too, "others": len(others)}
            with choices.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            if choices.pictures:
                choices.pictures.mkdir(parents=True, exist_ok=True)
                (choices.pictures / f"{recipe}-{photo.stem}.png").write_bytes(found.adversarial)
                if found.patch:
                    (choices.pictures / f"{recipe}-{photo.stem}-print.png").write_bytes(found.patch.printable)
    for recipe in choices.recipes:
        tell(recipe, [one for one in results(choices.results) if one["recipe"] == recipe])


def dogs(classifier: Classifier, folder: Path, number: int) -> Iterator[Path]:
    """Photos of dogs that are taken for dogs."""
    for path in sorted(folder.glob("*.jpg")):
        if number and taken_for(classifier, path.read_bytes()) in DOGS:
            number -= 1
            yield path


def fooled(
    models: ModelRepository, photo: Path, recipe: Mapping[str, Any], epsilon: int
) -> tuple[AdversarialImage, float]:
    classifier = models.load("imagenet")
    partners = [models.load(name) for name in recipe.get("partners", ())]
    others = [
        models.load(card.name)
        for card in models.cards()
        if card.original_head and card.name not in {"imagenet", *recipe.get("partners", ())}
    ]
    choices = {name: value for name, value in recipe.items() if name != "partners"}
    target = classifier.labels.find("tabby").index
    data = photo.read_bytes()
    began = time.process_time()
    found = run(
        adversarial_image(
            classifier, data, partners=partners, target=target, epsilon=epsilon / 255, others=others, **choices
        )
    )
    return found, time.process_time() - began


def elsewhere(classifier: Classifier, patch: Patch, photos: Sequence[Path]) -> int:
    """How many photos that the patch was not made for it fools, at one random place in each."""
    target, fooled = classifier.labels.find("tabby").index, 0
    for number, photo in enumerate(photos):
        picture = Picture.read(photo.read_bytes(), ImageLimits()).pixels()
        passage = Passage("png", picture, classifier.backbone.preprocessing, ImageLimits())
        scene = Scene(picture, [Victim(classifier, Criterion(0, target), {"png": passage})])
        (place,) = places_in(scene, diameter_in(scene, patch.share), 1, seed=number)
        with Image.open(BytesIO(patch.printable)) as disc:
            canvas = passage.canvas(pasted(picture, disc, place))
        fooled += int(classifier.logits(pixels_of(canvas)).argmax()) == target
    return fooled


def unforeseen(classifier: Classifier, png: bytes) -> dict[str, bool]:
    """Whether it fools after ways that nothing was optimised for."""
    preprocessing = classifier.backbone.preprocessing
    with Image.open(BytesIO(png)) as image:
        sent = [way(image.convert("RGB")) for way in UNFORESEEN.values()]
    canvases = (Picture.read(one, ImageLimits(), preprocessing=preprocessing).canvas(preprocessing) for one in sent)
    answers = classifier.logits(pixels_of(*canvases)).argmax(1).tolist()
    target = classifier.labels.find("tabby").index
    return {way: index == target for way, index in zip(UNFORESEEN, answers, strict=True)}


def saved(image: Image.Image, form: str = "PNG", quality: int = 85) -> bytes:
    file = BytesIO()
    image.save(file, form, **({} if form in {"PNG", "GIF"} else {"quality": quality}))
    return file.getvalue()


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def cut(image: Image.Image, share: float) -> Image.Image:
    across, down = round(share * image.width), round(share * image.height)
    return image.crop((across, down, image.width - across, image.height - down))


def framed(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, (round(0.08 * image.width), round(0.08 * image.height)), "white")


UNFORESEEN: Final[Mapping[str, Callable[[Image.Image], bytes]]] = {
    "JPEG 60": lambda image: saved(image, "JPEG", 60),
    "WebP 80": lambda image: saved(image, "WEBP", 80),
    "GIF": lambda image: saved(image.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"),
    "1.37 × the size": lambda image: saved(scaled(image, 1.37)),
    "blurred by a pixel": lambda image: saved(image.filter(ImageFilter.GaussianBlur(1))),
    "crop, JPEG 85": lambda image: saved(cut(image, 0.05), "JPEG"),
    "mirror, JPEG 85": lambda image: saved(ImageOps.mirror(image), "JPEG"),
    "turned by -3°, JPEG 85": lambda image: saved(image.rotate(-3, Image.Resampling.BICUBIC), "JPEG"),
    "margin, JPEG 85": lambda image: saved(framed(image), "JPEG"),
    "10 % cut off each edge": lambda image: saved(cut(image, 0.1)),
    "a third of the size, JPEG 70": lambda image: saved(scaled(image, 1 / 3), "JPEG", 70),
}


def told(found: AdversarialImage) -> dict[str, Any]:
    change = found.perturbation
    return {
        "linf": change.linf,
        "l2": change.l2,
        "psnr_db": change.psnr_db,
        "steps": found.steps_to_success,
        "verified": found.verified,
        "models": {one.classifier.card.name: dict(one.verified) for one in found.verdicts},
        "transfer": {one.classifier.card.name: one.fooled for one in found.transfer},
        "noise": found.noise_fooled,
    }


def results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def tell(recipe: str, found: list[dict[str, Any]]) -> None:
    if not found:
        return
    whole = sum(all(one["verified"].values()) for one in found)
    linf, l2, cpu_s = (statistics.median(one[field] for one in found) for field in ("linf", "l2", "cpu_s"))
    print(f"\n{recipe}: after every way {share(whole, len(found))}, after PNG", end=" ")
    print(f"{share(sum(one['verified']['reupload'] for one in found), len(found))};", end=" ")
    print(f"medians L∞ {linf:.0f}, L2 {l2:.2f}, {cpu_s:.1f} CPU-s; noise {sum(one['noise'] for one in found)}")
    ways = Counter(way for one in found for way, held in one["verified"].items() if held)
    print("  " + ", ".join(f"{way} {ways[way]}" for way in found[0]["verified"]))
    if all("unforeseen" in one for one in found):
        ways = Counter(way for one in found for way, held in one["unforeseen"].items() if held)
        print("  not foreseen: " + ", ".join(f"{way} {ways[way]}" for way in UNFORESEEN))
    if "patch" in found[0]:
        places = sum(one["patch"]["fooled"] for one in found)
        fooled, others = (sum(one["patch"][field] for one in found) for field in ("elsewhere", "others"))
        print(f"  at {share(places, PLACES * len(found))} random places; other photos: {share(fooled, others)}")
    for name in found[0]["models"] if len(found[0]["models"]) > 1 else ():
        print(f"  {name}, took part: {sum(all(one['models'][name].values()) for one in found)} after every way")
    for name in found[0]["transfer"]:
        print(f"  {name}, took no part: {share(sum(one['transfer'][name] for one in found), len(found))}")


def share(right: int, number: int) -> str:
    low, high = accuracy_interval(right, number)
    return f"{right} of {number} ({low:.0%}–{high:.0%})"


if __name__ == "__main__":
    main()
