"""Labelled pictures as a frozen backbone sees them: read once, and learned from as often as one likes."""

import difflib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from app.vision.transfer.dataset import Part

log = logging.getLogger(__name__)

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
        tensors = {
            "features": self.features,
            "mirrored": self.mirrored,
            "hashes": torch.from_numpy(self.hashes.view(np.int64).copy()),
            **_packed(self.thumbnails),
        }
        texts = {"labels": self.labels, "names": self.names, "digests": self.digests, "parts": self.parts}
        return save(tensors, {"backbone": backbone, "texts": json.dumps(texts, ensure_ascii=False)})

    def state(self) -> dict[str, Tensor]:
        """What it takes not to look at these pictures again, as tensors; names and labels are not among it."""
        digests = bytearray(bytes.fromhex("".join(self.digests)))
        return {
            "features": self.features,
            "hashes": torch.from_numpy(self.hashes.view(np.int64).copy()),
            "digests": torch.frombuffer(digests, dtype=torch.uint8).reshape(-1, 32),
            **_packed(self.thumbnails),
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The pictures of a `state`, without names."""
        digests = tuple(bytes(row).hex() for row in state["digests"].numpy())
        nameless = ("",) * len(digests)
        part: Part = "test"
        return cls(
            features=state["features"],
            mirrored=torch.zeros(0, 0),
            hashes=state["hashes"].numpy().view(np.uint64),
            labels=nameless,
            names=nameless,
            digests=digests,
            thumbnails=_unpacked(state),
            parts=(part,) * len(digests),
        )

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
        thumbnails = _unpacked(tensors)
        return cls(
            features=tensors["features"],
            mirrored=tensors["mirrored"],
            hashes=tensors["hashes"].numpy().view(np.uint64),
            labels=tuple(texts["labels"]),
            names=tuple(texts["names"]),
            digests=tuple(texts["digests"]),
            thumbnails=thumbnails,
            parts=tuple(texts.get("parts") or ["learning"] * len(thumbnails)),  # files of version 0.1 have none
        )


def _packed(thumbnails: Sequence[bytes]) -> dict[str, Tensor]:
    return {
        "thumbnails": torch.frombuffer(bytearray(b"".join(thumbnails) or b"\0"), dtype=torch.uint8),
        "sizes": torch.tensor([len(one) for one in thumbnails], dtype=torch.int64),
    }


def _unpacked(tensors: Mapping[str, Tensor]) -> tuple[bytes, ...]:
    ends = tensors["sizes"].cumsum(0).tolist()
    pictures = tensors["thumbnails"].numpy().tobytes()
    return tuple(pictures[start:end] for start, end in zip([0, *ends], ends, strict=False))


def check_names(wanted: Iterable[str], names: Sequence[str]) -> None:
    """Raises `UnknownPictureError` for the first that is not among them."""
    there = set(names)
    for name in wanted:
        if name not in there:
            raise UnknownPictureError(name, names)
