"""What `INKBLOT_PRECISION=fast` changes on photos that the calibration has not seen, and what it saves.

`python -m benchmarks.precision` needs the development photos beside the checkout. Prints a row for each model and
folder: how many pictures get the same class and the same verdict of being unknown, how far the probabilities move, how
many are right, where the labels are known; then the processor time of a picture, in alternating rounds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.settings import Settings
from app.vision.classifier import Classifier
from app.vision.feature_space import UNKNOWN
from app.vision.image import ImageLimits, Picture
from app.vision.serving.forwards import Forwards
from app.vision.serving.runtimes import StagedFeatureExtractor
from app.vision.serving.second_look import SecondLook
from app.vision.threads import use_threads
from app.wiring import repository_for
from benchmarks.accuracy import photos
from benchmarks.servers import ROOT

FOLDERS = ("cats-dogs/test", "pets/test", "flowers/test", "hymenoptera/val", "brain-mri/test")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def folders(data: Path) -> Iterator[tuple[str, list[Path], list[int] | None]]:
    """Name, files, and the index of ImageNet's class of each, where it is known."""
    for name, labelled in photos(data / "imagenet-val").items():
        yield name, [path for path, _ in labelled], [index for _, index in labelled]
    for name in FOLDERS:
        yield name, sorted(path for path in (data / name).rglob("*") if path.suffix.lower() in SUFFIXES), None


def canvases(paths: list[Path], classifier: Classifier) -> NDArray[np.uint8]:
    preprocessing = classifier.backbone.preprocessing
    read = (Picture.read(path.read_bytes(), ImageLimits(), preprocessing=preprocessing) for path in paths)
    return np.stack([picture.canvas(preprocessing) for picture in read])


def answers(classifier: Classifier, features: Tensor) -> tuple[Tensor, NDArray[np.bool_] | None]:
    with torch.inference_mode():
        unknown = [one > UNKNOWN for one in classifier.unknown(features) if one is not None]
        return classifier.head(features).softmax(1), np.array(unknown) if unknown else None


def compare(
    classifier: Classifier,
    fast: StagedFeatureExtractor,
    exact: Tensor,
    shown: NDArray[np.uint8],
    labels: list[int] | None,
) -> str:
    (wanted, unknown), (found, also) = answers(classifier, exact), answers(classifier, fast(shown))
    same = wanted.argmax(1) == found.argmax(1)
    moved = (wanted - found).abs().amax(1)
    text = f"{int(same.sum())} of {len(same)} the same ({same.float().mean():.1%}); "
    text += f"largest difference {moved.mean():.4f} in the mean, {moved.max():.3f} at most"
    if unknown is not None and also is not None:
        text += f"; unknown {unknown.mean():.1%} and {also.mean():.1%}, {(unknown == also).mean():.1%} alike"
    if labels and classifier.card.original_head:
        right = [float((rows.argmax(1) == torch.tensor(labels)).float().mean()) for rows in (wanted, found)]
        text += f"; right {right[0]:.1%} and {right[1]:.1%}"
    return text


def cpu_ms(work: Callable[[], object], number: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e3 / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--models", nargs="+", default=["imagenet", "cats-vs-dogs", "pets"])
    parser.add_argument("--rounds", type=int, default=5, help="of each implementation, for the times")
    choices = parser.parse_args()
    use_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        settings = Settings()
        models = repository_for(settings)
        forwards = Forwards(
            models.device, engine="auto", precision="fast", cache_dir=Path(cache), threads=settings.threads
        )
        sets = [(name, paths, labels) for name, paths, labels in folders(choices.data) if paths]
        shown: dict[str, NDArray[np.uint8]] = {}
        exact: dict[str, Tensor] = {}
        for model in choices.models:
            classifier = models.load(model)
            fast = forwards.prepare(classifier)
            choice = forwards.choice(classifier)
            assert choice
            precise = forwards.precise(classifier.backbone, classifier.head)
            for one in choice.agreements:
                print(f"{model}, calibration: {one}; near is {one.near}; {'holds' if one.holds else 'does not hold'}")
            print(f"{model} is answered by {fast.name}")
            for name, paths, labels in sets:
                if name not in shown:
                    shown[name] = canvases(paths, classifier)
                    exact[name] = precise(shown[name])
                print(f"{model}, {name}: {compare(classifier, fast, exact[name], shown[name], labels)}")
            some = shown["cats-dogs/test"][:64]
            named = {"exact": precise, "fast": fast} | ({"quick": fast.quick} if isinstance(fast, SecondLook) else {})
            times: dict[str, list[float]] = {name: [] for name in named}
            for _ in range(choices.rounds):
                for name, forward in named.items():
                    times[name].append(cpu_ms(partial(forward, some), len(some)))
            told = ", ".join(f"{name} {statistics.median(found):.2f}" for name, found in times.items())
            print(f"{model}, CPU-ms of a picture of cats and dogs: {told}")


if __name__ == "__main__":
    main()
