"""Our ideal images against lucent's: same network, same classes, judged by networks that took no part, in one run.

Judged is the saved PNG. lucent is installed for this alone (`uv pip install torch-lucent ipython decorator`); without
it there are only our own rows.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from app.process.memory import keep_big_blocks
from app.vision.ask import run
from app.vision.classifier import Classifier
from app.vision.image import ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of
from app.vision.synthesis.ideal_images import ideal_image
from app.vision.synthesis.objectives import ClassObjective
from app.vision.synthesis.priors import total_variation
from app.vision.synthesis.transformations import png_of
from benchmarks.judges import taken_for

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT.parent / "shared/data/weights"
CLASSES = (281, 340, 207, 291, 949, 107, 779, 386, 130, 1)
"""tabby, zebra, golden retriever, lion, strawberry, jellyfish, school bus, African elephant, flamingo, goldfish"""
JUDGES = ("efficientnet_lite1", "efficientnet_lite2", "mobilenet_v2")

Draw = Callable[[int], bytes]


class Whole(nn.Module):
    """Pixels to logits, as lucent wants a model."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.backbone, self.head = classifier.backbone, classifier.head

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(pixels))
        return logits


def lucents(classifier: Classifier) -> Draw:
    """With its own defaults, at 224 pixels and 512 steps; raises `ImportError`."""
    import kornia
    from kornia.geometry import transform
    from lucent.optvis import objectives, param, render

    for name in ("get_rotation_matrix2d", "warp_affine"):  # where lucent still looks for them
        setattr(kornia, name, getattr(transform, name))
    model = Whole(classifier).eval()

    def draw(index: int) -> bytes:
        aim = objectives.Objective(lambda hook: -hook("labels")[:, index].mean())
        found = render.render_vis(
            model, aim, lambda: param.image(224), preprocess=False, progress=False, show_image=False
        )
        return png_of((found[-1][0] * 255).round().astype("uint8"))

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=len(CLASSES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--sheet", type=Path, help="write all pictures into this file")
    choices = parser.parse_args()
    keep_big_blocks()
    torch.set_num_threads(choices.threads)
    models = ModelRepository([ROOT / "models"], weights_dir=WEIGHTS, device=torch.device("cpu"))
    classifier = models.load("imagenet")
    present = {card.name for card in models.cards()}
    judges = [models.load(name) for name in JUDGES if name in present]

    def ours(preset: str) -> Draw:
        return lambda index: (
            run(
                ideal_image(classifier, ClassObjective(index), preset=preset, seed=choices.seed)  # type: ignore[arg-type]
            ).final
        )

    makers = {f"ours: {preset}": ours(preset) for preset in ("clear", "quick", "lesson", "raw")}
    try:
        makers["lucent"] = lucents(classifier)
    except ImportError as error:
        print(f"lucent is left out: {error}")
    indices = CLASSES[: choices.classes]
    print(f"{len(indices)} classes, seed {choices.seed}, {choices.threads} threads; top-1 of the saved PNG")
    print(f"{'':16} {'own':>6} " + " ".join(f"{judge.card.name:>18}" for judge in judges) + f" {'TV':>6} {'CPU-s':>6}")
    rows: list[list[bytes]] = []
    clear_s = None
    for name, draw in makers.items():
        began = time.process_time()
        files = [draw(index) for index in indices]
        cpu_s = (time.process_time() - began) / len(indices)
        clear_s = clear_s or cpu_s
        rows.append(files)
        agree = [sum(map(sees, [judge] * len(files), files, indices)) for judge in (classifier, *judges)]
        rough = sum(float(total_variation(pixels_of(opened(file).pixels())[0])) for file in files) / len(files)
        counts = f"{agree[0]:>6} " + " ".join(f"{count:>18}" for count in agree[1:])
        print(f"{name:16} {counts} {rough:6.3f} {cpu_s:6.1f}  clear takes {clear_s / cpu_s:.2f} x", flush=True)
    if choices.sheet:
        sheet = Image.new("RGB", (len(indices) * 228, len(rows) * 228), "white")
        for row, files in enumerate(rows):
            for column, file in enumerate(files):
                sheet.paste(opened(file).image, (column * 228, row * 228))
        sheet.save(choices.sheet)


def opened(file: bytes) -> Picture:
    return Picture.read(file, ImageLimits())


def sees(judge: Classifier, file: bytes, index: int) -> bool:
    return taken_for(judge, file) == index


if __name__ == "__main__":
    main()
