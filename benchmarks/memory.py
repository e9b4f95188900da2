"""What the service and its worker hold at rest, under each kind of load, and afterwards.

`python -m benchmarks.memory`; the photos of 12 and 24 megapixels are made of a sample. The proportional set size counts
pages that processes share, PyTorch's code above all, by share; the unique one counts what a process has alone; the
resident one counts all of both.
"""

import argparse
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from PIL import Image

from app.client import Client
from benchmarks.classify import send
from benchmarks.load import Load
from benchmarks.servers import OURS, ROOT, memory_mb, running, tree

_SAMPLES: Final = ROOT / "app/web/samples"
_LARGE: Final = (6000, 4000)
_OF_A_PHONE: Final = (4000, 3000)
_LOOK_S: Final = 0.2
_KINDS: Final = {"proportional": ("Pss",), "unique": ("Private_Clean", "Private_Dirty"), "resident": ("Rss",)}


class Watch:
    """The largest memory of each kind, of a process and of its worker."""

    def __init__(self, pid: int) -> None:
        self._pid, self._goes_on = pid, True
        self.most = dict.fromkeys(_KINDS, (0.0, 0.0))
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while self._goes_on:
            for kind, (service, worker) in self.most.items():
                now = both_mb(self._pid, kind)
                self.most[kind] = max(service, now[0]), max(worker, now[1])
            time.sleep(_LOOK_S)

    def end(self) -> dict[str, tuple[float, float]]:
        self._goes_on = False
        self._thread.join()
        return self.most


def both_mb(pid: int, kind: str) -> tuple[float, float]:
    """Of the service alone and of what it started."""
    whole = memory_mb(pid, kinds=_KINDS[kind])
    below = sum(memory_mb(child, kinds=_KINDS[kind]) for child in tree(pid)[1:2])
    return whole - below, below


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--loads", nargs="+", default=[""], help="only those whose name has one of these words")
    choices = parser.parse_args()
    seconds = choices.seconds
    photos = [str(_SAMPLES / name) for name in ("cat.jpg", "basenji.png", "bernese.png")]
    columns = "".join(f"{name:>13}" for name in ("now", *_KINDS))
    print(f"{'MB; but for now, at most':46}{columns}")
    with TemporaryDirectory() as folder, running(OURS, Path(folder), worker="child") as (pid, port, _):
        large = Path(folder) / "large.jpg"
        large.write_bytes(jpeg_of(_LARGE))
        look = "/v1/explanations?model=imagenet&method="
        with Client(f"http://127.0.0.1:{port}") as client:

            def loaded(path: str, files: list[str], clients: int) -> Callable[[], object]:
                return lambda: send(Load(port, path, files, clients, seconds))

            loads: dict[str, Callable[[], object]] = {
                "at rest": lambda: time.sleep(12),
                "16 clients classify": loaded(OURS.path, photos, 16),
                "8 clients, 24 megapixels": loaded(OURS.path, [str(large)], 8),
                "8 clients, Grad-CAM": loaded(f"{look}grad_cam", photos, 8),
                "4 clients, occlusion": loaded(f"{look}occlusion", photos, 4),
                "4 clients, integrated gradients": loaded(f"{look}integrated_gradients", photos, 4),
                "4 clients, Grad-CAM, 24 megapixels": loaded(f"{look}grad_cam", [str(large)], 4),
                "4 clients, stability": loaded("/v1/stability?model=imagenet", photos, 4),
                "8 ideal images": lambda: drawn(client),
                "8 attacks": lambda: fooled(client, (_SAMPLES / "bernese.png").read_bytes()),
                "2 attacks, 24 megapixels": lambda: fooled(client, large.read_bytes(), 2),
                "robust attack, 12 megapixels": lambda: fooled(client, jpeg_of(_OF_A_PHONE), 1),
                "minimal attack, 12 megapixels": lambda: fooled(client, jpeg_of(_OF_A_PHONE), 1, method="minimal"),
                "at rest again": lambda: time.sleep(12),
            }
            for name, load in loads.items():
                if not any(word in name for word in choices.loads):
                    continue
                watch = Watch(pid)
                load()
                most = watch.end()
                now = both_mb(pid, "proportional")
                for place, process in enumerate(("service", "worker")):
                    numbers = (now[place], *(most[kind][place] for kind in _KINDS))
                    shown = "".join(f"{number:>13.0f}" for number in numbers)
                    print(f"{name if place == 0 else '':36}{process:10}{shown}", flush=True)


def drawn(client: Client) -> None:
    jobs = [client.draw(model="imagenet", objective={"label": "zebra"}, preset="quick", seed=seed) for seed in range(8)]
    for job in jobs:
        client.wait(job)


def fooled(client: Client, photo: bytes, number: int = 8, *, method: str = "robust") -> None:
    jobs = [client.fool(photo, model="imagenet", target="tabby", method=method, seed=seed) for seed in range(number)]
    for job in jobs:
        client.wait(job)


def jpeg_of(size: tuple[int, int]) -> bytes:
    with Image.open(_SAMPLES / "cat.jpg") as photo:
        file = BytesIO()
        photo.resize(size).save(file, "JPEG", quality=92)
        return file.getvalue()


if __name__ == "__main__":
    main()
