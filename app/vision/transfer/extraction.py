"""From the pictures of an archive to what a frozen backbone makes of them, each looked at once."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from itertools import islice
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from app.vision.ask import Pause, Progress, Steps
from app.vision.image import Canvas, ImageLimits, InvalidImageError, Picture, Preprocessing
from app.vision.serving.runtimes import FeatureExtractor
from app.vision.threads import use_threads
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import Entry, Skipped
from app.vision.transfer.examples import Examples
from app.vision.transfer.perceptual_hash import perceptual_hash

_THUMBNAIL: Final = 96


@dataclass(frozen=True, eq=False)
class _Seen:
    features: Tensor
    mirrored: Tensor | None
    hash: NDArray[np.uint64]
    digest: str
    thumbnail: bytes


@dataclass
class _Keeping:
    """Offers a state only when there is a quarter more to keep than last time, so that all of them together are no more
    than some times the last.
    """

    kept: int = 0

    def offer(self, found: Sequence[tuple[Entry, _Seen]]) -> Callable[[], Mapping[str, Tensor]] | None:
        def keep() -> Mapping[str, Tensor]:
            self.kept = len(found)
            return _gathered(found).state()

        return keep if len(found) > 1.25 * self.kept else None


@dataclass(frozen=True)
class Extractor:
    """How pictures become features: `forward` by any of `threads` threads, which decode, too."""

    forward: FeatureExtractor
    preprocessing: Preprocessing
    limits: ImageLimits
    threads: int
    mirror: bool = False

    def extract(
        self,
        archive: Archive,
        entries: Sequence[Entry],
        known: Examples | None,
        total: int,
        *,
        done: int = 0,
        is_resumed: bool = False,
    ) -> Steps[tuple[Examples, list[Skipped]]]:
        """Of all pictures that can be read, and why the others cannot; those in `known` are not looked at again.

        `total` is the number of steps of what this is a part of, of which `done` lie behind it. Where it `is_resumed`
        by giving what was kept as `known`, the pauses have an `Examples.state`.
        """
        places = self._places(known)
        keeping = _Keeping() if is_resumed else None
        found: list[tuple[Entry, _Seen]] = []
        skipped: list[Skipped] = []
        looked = 0
        threads = torch.get_num_threads()
        # More than there are processors, so that somebody decodes while others wait for the network.
        pool = ThreadPoolExecutor(self.threads + 2, "features", initializer=lambda: use_threads(1))
        try:
            chunks = _chunks(entries, self.forward.best_batch)
            waiting: deque[Future[list[_Seen | Skipped]]] = deque()
            waiting.extend(
                pool.submit(self._see, archive, one, known, places) for one in islice(chunks, 3 * self.threads)
            )
            while waiting:
                seen = waiting.popleft().result()
                waiting.extend(pool.submit(self._see, archive, one, known, places) for one in islice(chunks, 1))
                for entry, one in zip(entries[looked:], seen, strict=False):
                    if isinstance(one, Skipped):
                        skipped.append(one)
                    else:
                        found.append((entry, one))
                looked += len(seen)
                yield Pause(Progress(done + looked, total), state=keeping.offer(found) if keeping else None)
        finally:
            pool.shutdown(cancel_futures=True)
            use_threads(threads)  # and so will threads that start later, if nobody asks meanwhile
        return _gathered(found), skipped

    def _places(self, known: Examples | None) -> Mapping[str, int]:
        if known is None or (self.mirror and not len(known.mirrored)):
            return {}
        return {digest: index for index, digest in enumerate(known.digests)}

    def _see(
        self, archive: Archive, entries: Sequence[Entry], known: Examples | None, places: Mapping[str, int]
    ) -> list[_Seen | Skipped]:
        """In the order of the entries."""
        results: dict[int, _Seen | Skipped] = {}
        read: list[tuple[int, str, Canvas]] = []
        for index, entry in enumerate(entries):
            try:
                data = archive.read(entry)
                digest = sha256(data).hexdigest()
                if known and digest in places:
                    results[index] = _of(known, places[digest], mirror=self.mirror)
                    continue
                read.append(
                    (
                        index,
                        digest,
                        Picture.read(data, self.limits, preprocessing=self.preprocessing).canvas(self.preprocessing),
                    )
                )
            except InvalidImageError as error:
                results[index] = Skipped(entry.name, str(error))
        if read:
            canvases = np.stack([canvas for *_, canvas in read])
            features = self.forward(canvases).cpu()
            mirrored = self.forward(np.ascontiguousarray(canvases[:, :, ::-1])).cpu() if self.mirror else None
            for row, (index, digest, canvas) in enumerate(read):
                small = Image.fromarray(canvas).reduce(max(1, canvas.shape[1] // _THUMBNAIL))
                flipped = None if mirrored is None else mirrored[row]
                results[index] = _Seen(features[row], flipped, perceptual_hash(small), digest, _jpeg(small))
        return [results[index] for index in range(len(entries))]


def _of(known: Examples, index: int, *, mirror: bool) -> _Seen:
    return _Seen(
        known.features[index],
        known.mirrored[index] if mirror else None,
        known.hashes[index],
        known.digests[index],
        known.thumbnails[index],
    )


def _gathered(found: Sequence[tuple[Entry, _Seen]]) -> Examples:
    mirrored = [one.mirrored for _, one in found if one.mirrored is not None]
    return Examples(
        features=torch.stack([one.features for _, one in found]) if found else torch.zeros(0, 0),
        mirrored=torch.stack(mirrored) if mirrored else torch.zeros(0, 0),
        hashes=np.stack([one.hash for _, one in found]) if found else np.zeros((0, 4), np.uint64),
        labels=tuple(entry.label for entry, _ in found),
        names=tuple(entry.name for entry, _ in found),
        digests=tuple(one.digest for _, one in found),
        thumbnails=tuple(one.thumbnail for _, one in found),
        parts=tuple(entry.part for entry, _ in found),
    )


def _chunks(entries: Sequence[Entry], size: int) -> Iterator[Sequence[Entry]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))


def _jpeg(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()
