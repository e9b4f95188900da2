"""Makes the README's pictures from the answers of a running service: `python docs/make_pictures.py [URL] [NAME …]`."""

import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont, ImageOps

from app.cli import lesson
from app.client import DEFAULT_URL, Client, Job
from app.vision.drawing.gallery import draw_gallery

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "app/web/samples"
FONT = Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"  # has the Turkish letters, as Pillow's own has not
PICTURES = ("basenji.png", "bernese.png", "cat-eye.png", "cat.jpg")
IDEALS = (
    ("tabby", "clear", 3),
    ("golden retriever", "clear", 3),
    ("zebra", "clear", 3),
    ("zebra", "lesson", 3),
    ("zebra", "raw", 3),
)
BREEDS = (
    "Siamese",
    "Birman",
    "Maine_Coon",
    "Russian_Blue",
    "Ragdoll",
    "beagle",
    "chihuahua",
    "pug",
    "saint_bernard",
    "yorkshire_terrier",
)
CENTRES = {"basenji.png": (0.75, 0.5), "cat.jpg": (0.57, 0.5)}
SUFFIXES = ("ı", "i", "si", "ü", "ü")
"""Of the numbers from 0 on in Turkish: 2'si, two of them."""
METHODS = {
    "en": {"grad_cam": "Grad-CAM", "integrated_gradients": "integrated gradients", "occlusion": "occlusion"},
    "tr": {"grad_cam": "Grad-CAM", "integrated_gradients": "tümleşik gradyanlar", "occlusion": "örtme"},
}
WIDTH, TOP, ROW, MARGIN = 250, 250, 42, 14
INK, FAINT, BAR, PAPER = "#1c1c22", "#d9d9e3", "#4457c0", "#ffffff"


def strip(client: Client, language: str) -> Image.Image:
    """The sample photos, each over its four likeliest classes."""
    font, number = (ImageFont.truetype(FONT, size) for size in (15, 13))
    sheet = Image.new("RGB", (len(PICTURES) * (WIDTH + MARGIN) + MARGIN, TOP + 4 * ROW + 3 * MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(PICTURES):
        left = MARGIN + column * (WIDTH + MARGIN)
        data = (SAMPLES / name).read_bytes()
        with Image.open(SAMPLES / name) as photo:
            side = min(photo.size)
            x, y = (photo.width - side) // 2, (photo.height - side) // 2
            square = photo.convert("RGB").resize((WIDTH, TOP), Image.Resampling.LANCZOS, (x, y, x + side, y + side))
        sheet.paste(square, (left, MARGIN))
        for row, one in enumerate(client.classify(data, model="imagenet", top_k=4, lang=language)["predictions"]):
            y = TOP + 2 * MARGIN + row * ROW
            draw.text((left, y), one["display"], INK, font)
            draw.text((left + WIDTH, y + 1), percent(one["score"], language), INK, number, anchor="ra")
            draw.rounded_rectangle((left, y + 24, left + WIDTH, y + 30), 3, FAINT)
            draw.rounded_rectangle((left, y + 24, left + max(6, round(WIDTH * one["score"])), y + 30), 3, BAR)
    return sheet


def looked(client: Client) -> Mapping[str, Image.Image]:
    """What every stage makes of the cat."""
    cat = (SAMPLES / "cat.jpg").read_bytes()
    return {
        language: Image.open(BytesIO(client.look_drawn(cat, model="imagenet", target="tabby", lang=language)))
        for language in ("en", "tr")
    }


def explained(client: Client) -> Mapping[str, Image.Image]:
    """A dog and a cat in one picture, and where three methods find either of them."""
    pair = Image.new("RGB", (500, 500))
    for left, name in ((0, "basenji.png"), (250, "cat.jpg")):
        with Image.open(SAMPLES / name) as photo:
            pair.paste(ImageOps.fit(photo.convert("RGB"), (250, 500), centering=CENTRES[name]), (left, 0))
    file = BytesIO()
    pair.save(file, "PNG")
    asked = (
        ("basenji", "grad_cam"), ("tabby", "grad_cam"), ("tabby", "integrated_gradients"), ("tabby", "occlusion"),
    )  # fmt: skip
    rows = {}
    for language in ("en", "tr"):
        known = names(client, language)
        tiles = []
        for label, method in asked:
            wanted = {"model": "imagenet", "target": label, "method": method, "lang": language}
            where = client.explain(file.getvalue(), **wanted)["focus_text"]
            drawn = Image.open(BytesIO(client.explain_drawn(file.getvalue(), **wanted)))
            tiles.append((drawn, f"{known[label]}: {where}", METHODS[language][method]))
        rows[language] = row(tiles)
    return rows


def ended(client: Client, job: Job) -> dict[str, Any]:
    """The result of a job, once it has one."""
    for event in client.follow(job):
        if event["event"] == "end":
            job = event["data"]["job"]
    assert job["result"], job
    return job["result"]


def row(tiles: Sequence[tuple[Image.Image, str, str]]) -> Image.Image:
    """Pictures beside each other, each over two lines of text."""
    font, small = (ImageFont.truetype(FONT, size) for size in (15, 13))
    sheet = Image.new("RGB", (len(tiles) * (WIDTH + MARGIN) + MARGIN, TOP + 2 * MARGIN + 46), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, (picture, title, line) in enumerate(tiles):
        left = MARGIN + column * (WIDTH + MARGIN)
        sheet.paste(picture.convert("RGB").resize((WIDTH, TOP), Image.Resampling.LANCZOS), (left, MARGIN))
        draw.text((left, TOP + MARGIN + 6), title, INK, font)
        draw.text((left, TOP + MARGIN + 28), line, INK, small)
    return sheet


def opened(client: Client, path: str) -> Image.Image:
    return Image.open(BytesIO(client.file(path)))


def percent(score: float, language: str) -> str:
    return f"{score:.1%}" if language == "en" else f"%{score * 100:.1f}".replace(".", ",")


def names(client: Client, language: str) -> dict[str, str]:
    return {one["label"]: one["display"] for one in client.labels("imagenet", lang=language)}


def ideals(client: Client) -> Mapping[str, Image.Image]:
    """Ideal images by the product, and what comes without its priors, as rows in each language."""
    made = []
    for label, preset, seed in IDEALS:
        result = ended(client, client.draw(model="imagenet", objective={"label": label}, preset=preset, seed=seed))
        agree = sum(check["agrees"] for check in result["checks"])
        made.append((opened(client, result["files"]["final"]), label, preset, agree, len(result["checks"])))
    rows = {}
    for language, told in (("en", "{} of {} held-out networks agree"), ("tr", "{1} yabancı ağın {0}'{2} tanıyor")):
        known = names(client, language)
        rows[language] = row(
            [
                (
                    picture,
                    known[label] + ("" if preset == "clear" else f" ({preset})"),
                    told.format(agree, others, SUFFIXES[agree]),
                )
                for picture, label, preset, agree, others in made
            ]
        )
    return rows


def lessons(client: Client) -> Mapping[str, Image.Image]:
    """What `inkblot ideal --lesson cat,dog,zebra` draws."""
    classes = lesson.classes_of(client, "imagenet", ("cat", "dog", "zebra"), "en")
    made = lesson.drawn(client, "imagenet", classes, {"seed": 3}, "en")
    shown = {}
    for language in ("en", "tr"):
        known = names(client, language)
        named = [{**one, "display": known[one["label"]]} for one in classes]
        shown[language] = lesson.sheet_of(client, made, named, language)
    return shown


def zebras(client: Client) -> Mapping[str, Image.Image]:
    """Ten seeds, one after the other, and what they were taken for."""
    jobs = [client.draw(model="imagenet", objective={"label": "zebra"}, seed=seed) for seed in range(1, 11)]
    shown = []
    for job in jobs:
        result = ended(client, job)
        agree = sum(check["agrees"] for check in result["checks"])
        line = f"{result['png_score']:.0%} · {agree}/{len(result['checks'])}"
        shown.append((opened(client, result["files"]["final"]), [line]))
    sheet = draw_gallery([shown[:5], shown[5:]], width=180)
    return {"en": sheet}


def breeds(client: Client) -> Mapping[str, Image.Image]:
    """Of `pets`, which was taught with five photos of each, with the seed of the benchmark."""
    drawn = [(label, client.draw(model="pets", objective={"label": label}, seed=3)) for label in BREEDS]
    shown = [(opened(client, ended(client, job)["files"]["final"]), [label.replace("_", " ")]) for label, job in drawn]
    return {"en": draw_gallery([shown[:5], shown[5:]], width=180)}


def fooled(client: Client) -> Mapping[str, Image.Image]:
    """A dog, the change that nobody sees, and the cat that the network sees."""
    dog = (SAMPLES / "bernese.png").read_bytes()
    result = ended(client, client.fool(dog, model="imagenet", target="tabby", seed=1))
    files, change = result["files"], result["perturbation"]
    rows = {}
    for language, amplified, survives in (
        ("en", "the change, {} times as strong", "also after JPEG 75 and half size"),
        ("tr", "değişiklik, {} kat büyütülmüş", "JPEG 75 ve yarı boyuttan sonra da"),
    ):
        known = names(client, language)
        before, after = (
            f"{known[one['label']]}, {percent(one['score'], language)}" for one in (result["before"], result["after"])
        )
        rows[language] = row(
            [
                (opened(client, files["original"]), before, "bernese.png"),
                (opened(client, files["perturbation"]), amplified.format(change["amplified"]), f"L∞ {change['linf']}"),
                (opened(client, files["adversarial"]), after, survives),
            ]
        )
    return rows


def classified(client: Client) -> Mapping[str, Image.Image]:
    return {language: strip(client, language) for language in ("en", "tr")}


MAKERS = {
    "classify": classified,
    "look": looked,
    "explain": explained,
    "ideal": ideals,
    "lesson": lessons,
    "zebras": zebras,
    "breeds": breeds,
    "fooled": fooled,
}
LOSSY = ("lesson", "zebras", "breeds")
"""Noise takes megabytes without loss."""


def main() -> None:
    """Of the pictures that are named, or of all."""
    url, *wanted = sys.argv[1:] or [DEFAULT_URL]
    with Client(url) as client:
        for name in wanted or MAKERS:
            for language, picture in MAKERS[name](client).items():
                if name in LOSSY:
                    picture.convert("RGB").save(HERE / f"{name}.{language}.webp", quality=80, method=6)
                    continue
                # Of a glow and of fine steps, 256 colours would make rings.
                file = picture.convert("RGB") if name in {"look", "explain"} else picture.convert("RGB").quantize(256)
                file.save(HERE / f"{name}.{language}.png", optimize=True)


if __name__ == "__main__":
    main()
