"""Labelled pictures as a frozen backbone sees them: read once, and learned from as often as one likes."""

import difflib
import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from app.vision.ask import Pause, Progress, Steps
from app.vision.image import Canvas, ImageLimits, InvalidImageError, Picture, Preprocessing
from app.vision.serving.runtimes import FeatureExtractor
from app.vision.serving.threads import use_threads
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import Entry, Part, Skipped
from app.vision.transfer.perceptual_hash import perceptual_hash

log = logging.getLogger(__name__)

_THUMBNAIL: Final = 96
_DAMAGED: Final = (SafetensorError, KeyError, TypeError, ValueError)


class NoExamplesError(ValueError):
    """A model whose pictures nobody remembers: it ships with Inkblot, or another network looked at them."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The pictures that {name!r} was taught on are not known here: send them again.")


class UnknownPictureError(LookupError):
    """No picture has this name; `suggestions` holds the nearest."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        super().__init__(f"There is no picture {name!r} among those that were taught.")
        self.suggestions = tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.4))


@dataclass(frozen=True, eq=False)
class Examples:
    """`features` `(n, features)`, `mirrored` the same of the mirrored pictures (or empty), `hashes` `(n, 4)`.

    `labels` are names of classes, `digests` SHA-256 of the files, `thumbnails` small JPEGs, `parts` what each is for.
    """

    features: Tensor
    mirrored: Tensor
    hashes: NDArray[np.uint64]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    digests: tuple[str, ...]
    thumbnails: tuple[bytes, ...]
    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return len(self.names)

    def corrected(self, corrections: Mapping[str, str | None]) -> Self:
        """With other labels for some names; None leaves the picture out. Raises `UnknownPictureError`."""
        check_names(corrections, self.names)
        labels = [corrections.get(name, label) for name, label in zip(self.names, self.labels, strict=True)]
        kept = [index for index, label in enumerate(labels) if label is not None]
        chosen = self._chosen(kept)
        return replace(chosen, labels=tuple(str(labels[index]) for index in kept))

    def of(self, *parts: Part) -> Self:
        """Those that are for one of these."""
        return self._chosen([index for index, part in enumerate(self.parts) if part in parts])

    def _chosen(self, indices: Sequence[int]) -> Self:
        return replace(
            self,
            features=self.features[list(indices)],
            mirrored=self.mirrored[list(indices)] if len(self.mirrored) else self.mirrored,
            hashes=self.hashes[list(indices)],
            **{
                name: tuple(getattr(self, name)[index] for index in indices)
                for name in ("labels", "names", "digests", "thumbnails", "parts")
            },
        )

    def to_bytes(self, backbone: str) -> bytes:
        """A safetensors file; `backbone` says whose features they are."""
        sizes = torch.tensor([len(one) for one in self.thumbnails], dtype=torch.int64)
        tensors = {
            "features": self.features,
            "mirrored": self.mirrored,
            "hashes": torch.from_numpy(self.hashes.view(np.int64).copy()),
            "thumbnails": torch.frombuffer(bytearray(b"".join(self.thumbnails) or b"\0"), dtype=torch.uint8),
            "sizes": sizes,
        }
        texts = {"labels": self.labels, "names": self.names, "digests": self.digests, "parts": self.parts}
        return save(tensors, {"backbone": backbone, "texts": json.dumps(texts, ensure_ascii=False)})

    @staticmethod
    def names_in(path: Path) -> tuple[str, ...] | None:
        """The names alone, without reading the rest; None if there is no such file, or if it is damaged."""
        try:
            with safe_open(path, "pt") as file:
                return tuple(json.loads((file.metadata() or {})["texts"])["names"])
        except FileNotFoundError:
            return None
        except _DAMAGED as error:
            log.warning("%s does not hold examples: %s", path, error)
            return None

    @classmethod
    def read(cls, path: Path, backbone: str) -> Self | None:
        """None if there is no such file, if it is damaged, or if it holds the features of another backbone."""
        if not path.is_file():
            return None
        try:
            return cls._read(path, backbone)
        except _DAMAGED as error:
            log.warning("%s does not hold examples: %s", path, error)
            return None

    @classmethod
    def _read(cls, path: Path, backbone: str) -> Self | None:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
            if told.get("backbone") != backbone:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no mapping
        texts = json.loads(told["texts"])
        ends = tensors["sizes"].cumsum(0).tolist()
        pictures = tensors["thumbnails"].numpy().tobytes()
        return cls(
            features=tensors["features"],
            mirrored=tensors["mirrored"],
            hashes=tensors["hashes"].numpy().view(np.uint64),
            labels=tuple(texts["labels"]),
            names=tuple(texts["names"]),
            digests=tuple(texts["digests"]),
            thumbnails=tuple(pictures[start:end] for start, end in zip([0, *ends], ends, strict=False)),
            parts=tuple(texts.get("parts") or ["learning"] * len(ends)),  # files of version 0.1 have none
        )


def check_names(wanted: Iterable[str], names: Sequence[str]) -> None:
    """Raises `UnknownPictureError` for the first that is not among them."""
    there = set(names)
    for name in wanted:
        if name not in there:
            raise UnknownPictureError(name, names)


@dataclass(frozen=True, eq=False)
class _Seen:
    features: Tensor
    mirrored: Tensor | None
    hash: NDArray[np.uint64]
    digest: str
    thumbnail: bytes


@dataclass(frozen=True)
class Extractor:
    """How pictures become features: `forward` by any of `threads` threads, which decode, too."""

    forward: FeatureExtractor
    preprocessing: Preprocessing
    limits: ImageLimits
    threads: int
    mirror: bool = False

    def extract(
        self, archive: Archive, entries: Sequence[Entry], known: Examples | None, total: int, *, done: int = 0
    ) -> Steps[tuple[Examples, list[Skipped]]]:
        """Of all pictures that can be read, and why the others cannot; those in `known` are not looked at again.

        `total` is the number of steps of what this is a part of, of which `done` lie behind it.
        """
        places = self._places(known)
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
                yield Pause(Progress(done + looked, total))
        finally:
            pool.shutdown(cancel_futures=True)
            use_threads(threads)  # and so will threads that start later
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
