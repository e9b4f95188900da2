"""Tensors as inference protocols write them: float32, or files (BYTES), as lists or as bytes in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from app.vision.classifier import Classifier
from app.vision.labels import Labels
from app.vision.pixels import to_levels


class TensorError(ValueError):
    """Data that is not what its type and shape say."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """FP32 has `values` in float32, BYTES an array of `bytes`."""

    values: NDArray[Any]

    @property
    def datatype(self) -> Literal["FP32", "BYTES"]:
        return "BYTES" if self.values.dtype == object else "FP32"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @classmethod
    def of_floats(cls, data: object, shape: Sequence[int]) -> Self:
        """From nested or flat lists, or little-endian bytes. Raises `TensorError`, also for NaN and infinity."""
        try:
            with np.errstate(over="ignore"):  # what is too large for a float32 is infinite, and refused below
                flat = np.frombuffer(data, "<f4") if isinstance(data, bytes) else np.array(data, np.float32)
            values = flat.reshape(shape)
        except (TypeError, ValueError, OverflowError):
            raise TensorError(f"The data is not FP32 of the shape {list(shape)}.") from None
        if not np.isfinite(values).all():
            raise TensorError("The data has values that are no numbers.")
        return cls(values)

    @classmethod
    def of_files(cls, files: Sequence[bytes], shape: Sequence[int]) -> Self:
        """Raises `TensorError` if they are not as many as the shape says."""
        values = np.empty(len(files), object)
        values[:] = list(files)
        try:
            return cls(values.reshape(shape))
        except ValueError:
            raise TensorError(f"{len(files)} elements do not have the shape {list(shape)}.") from None

    def as_list(self) -> list[Any]:
        """In a row, the files as text."""
        flat: list[Any] = self.values.ravel().tolist()
        return [value.decode() for value in flat] if self.datatype == "BYTES" else flat

    def as_bytes(self) -> bytes:
        """Little-endian; before each file its length in 4 bytes."""
        if self.datatype == "BYTES":
            return b"".join(len(value).to_bytes(4, "little") + value for value in self.values.ravel())
        return self.values.astype("<f4").tobytes()


def files_in(data: bytes) -> list[bytes]:
    """The files that `as_bytes` wrote in a row. Raises `TensorError`."""
    files, place = [], 0
    while place < len(data):
        start = place + 4
        place = start + int.from_bytes(data[place:start], "little")
        if place > len(data):
            raise TensorError("The data ends in the middle of a file.")
        files.append(data[start:place])
    return files


def canvases_of(pixels: Tensor, classifier: Classifier) -> NDArray[np.uint8]:
    """Pixels `(n, 3, crop, crop)` in 0..1 as canvases, rounded to 8 bits. Raises `TensorError` for another shape."""
    crop = classifier.backbone.preprocessing.crop
    if pixels.shape[1:] != (3, crop, crop):
        raise TensorError(f"{classifier.card.name} takes pixels of [n, 3, {crop}, {crop}], not {list(pixels.shape)}.")
    return to_levels(torch.from_numpy(pixels.values.copy()))


def tensors_of(labels: Labels, probabilities: Sequence[Any], unknown: Sequence[float | None]) -> dict[str, Tensor]:
    """What a model answers: `probabilities` `(n, classes)`, `label` `(n,)`, and `unknown` `(n,)` where it can tell."""
    rows = np.stack([row.numpy() for row in probabilities])
    names = [labels[int(index)].label.encode() for index in rows.argmax(1)]
    tensors = {"probabilities": Tensor(rows), "label": Tensor.of_files(names, [len(names)])}
    if None not in unknown:
        tensors["unknown"] = Tensor(np.array(unknown, np.float32))
    return tensors


def best_classes(probabilities: Tensor, labels: Labels, number: int) -> Tensor:
    """`score:index:label`, as Triton writes it, `(n, number)`, the likeliest first."""
    ranked = np.argsort(-probabilities.values, axis=1, kind="stable")[:, : max(1, number)]
    rows = [
        [f"{row[index]:f}:{index}:{labels[int(index)].label}".encode() for index in best]
        for row, best in zip(probabilities.values, ranked, strict=True)
    ]
    return Tensor.of_files([one for row in rows for one in row], ranked.shape)
