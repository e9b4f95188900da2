"""Top-1 accuracy of a running service on photos of ImageNet's classes: `python -m benchmarks.accuracy --server URL`.

Needs the development photos beside the checkout: 300 of ILSVRC-2012's validation set in folders named by wnid,
and 160 of the NIPS 2017 development set with their `labels.csv`.
"""

import argparse
import csv
from math import sqrt
from pathlib import Path

from app.client import DEFAULT_URL, Client
from benchmarks.servers import ROOT

WNIDS = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


def photos(folder: Path) -> dict[str, list[tuple[Path, int]]]:
    with (folder / "nips2017_dev/labels.csv").open() as file:
        nips = [(folder / "nips2017_dev" / row["file"], int(row["imagenet_index"])) for row in csv.DictReader(file)]
    ilsvrc = sorted(folder.glob("ilsvrc2012_val_10class/*/*"))
    return {"ilsvrc2012_val_10class": [(path, WNIDS[path.parent.name]) for path in ilsvrc], "nips2017_dev": nips}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=DEFAULT_URL)
    parser.add_argument("--model", default="imagenet")
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared/data/imagenet-val")
    choices = parser.parse_args()
    with Client(choices.server) as client:
        for name, labelled in photos(choices.photos).items():
            right = 0
            for path, index in labelled:
                best = client.classify(path.read_bytes(), model=choices.model, top_k=1)["predictions"][0]
                right += best["index"] == index
            share = right / len(labelled)
            interval = 1.96 * sqrt(share * (1 - share) / len(labelled))
            print(f"{name}: {right} of {len(labelled)} right, {share:.1%} ± {interval:.1%}")


if __name__ == "__main__":
    main()
