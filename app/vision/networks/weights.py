"""Checkpoints: which files hold the weights of a network, whether they are what they say, and their tensors."""

import hashlib
import re
import struct
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from app.vision.image import Preprocessing

Statistics = tuple[float, float, float]
_IMAGENET_MEAN: Final[Statistics] = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final[Statistics] = (0.229, 0.224, 0.225)
# torch's readers raise all of these for broken files.
_UNREADABLE: Final = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError,
    RuntimeError, TypeError, ValueError, SafetensorError, UnpicklingError, struct.error,
)  # fmt: skip
_DIGITS: Final = re.compile(r"-([0-9a-f]{8,64})$", re.IGNORECASE)
"""torchvision ends a file's name with the first digits of its SHA-256."""


class MissingWeightsError(LookupError):
    """No file with the weights of a backbone is there."""


class WeightsError(ValueError):
    """A file that is not what its name says: another checksum, other parameters, or no weights at all."""


@dataclass(frozen=True)
class WeightsFile:
    """A checkpoint and what it was trained on; the wrong statistics cost ten points of accuracy, silently."""

    name: str
    licence: str
    source: str
    mean: Statistics = _IMAGENET_MEAN
    std: Statistics = _IMAGENET_STD
    preprocessing: Preprocessing = Preprocessing(256, 224)  # noqa: RUF009 -- frozen
    same_padding: bool = False
    package: str | None = None
    """The Python package that brings the file; None: it is looked for in the folder of weights."""
    publisher: str | None = None
    """The address of the folder from which it can be downloaded."""

    @property
    def digits(self) -> str:
        """The first of its SHA-256, with which its name ends; none where it ends otherwise."""
        found = _DIGITS.search(Path(self.name).stem)
        return found[1].lower() if found else ""

    def address(self, mirror: str | None = None) -> str:
        """Of the file at its publisher, or in a mirror of that folder."""
        return f"{(mirror or self.publisher or '').rstrip('/')}/{self.name}"


def find_checkpoint(
    name: str, published: Sequence[WeightsFile], weights_dir: Path | None
) -> tuple[Path, WeightsFile] | None:
    """The first file that is there for the network of this name: of the `published` ones, else any that begins so."""
    for weights in published:
        path = _path_in_package(weights) if weights.package else weights_dir and weights_dir / weights.name
        if path and path.is_file():
            return path, weights
    if weights_dir is None:
        return None
    pattern = re.compile(re.escape(name) + r"([-.].*)?\.(pth|safetensors)")
    for path in sorted(weights_dir.glob(f"{name}*")):
        if pattern.fullmatch(path.name) and path.is_file():
            return path, replace(_like(name, published, path), name=path.name)
    return None


def published_file(name: str, published: Sequence[WeightsFile]) -> WeightsFile:
    """The one to download for the network of this name; raises `MissingWeightsError` if none can be."""
    for weights in published:
        if weights.publisher and weights.digits:
            return weights
    raise MissingWeightsError(what_is_missing(name, published, None))


def what_is_missing(name: str, published: Sequence[WeightsFile], weights_dir: Path | None) -> str:
    """A sentence that says which files would do, and where they are looked for."""
    names = " or ".join(weights.name for weights in published)
    if published[0].package:
        return f"The weights of {name} come with the package {published[0].package}, which is not installed."
    where = f"in {weights_dir}" if weights_dir else "in the folder that INKBLOT_WEIGHTS_DIR names (it is not set)"
    converted = f"{name}.safetensors"  # without digits: those would have to be its own
    return (
        f"The weights of {name} are missing: get them with `inkblot weights get {name}`, "
        f"or put {names} (as published) or {converted} {where}."
    )


def load_weights_(network: nn.Module, path: Path) -> None:
    """Put the tensors of a file in place of the network's parameters, which may lie on the device "meta".

    Raises `WeightsError` if the file is damaged or holds other parameters.
    """
    # Half precision is for keeping: pixels are float32, and a convolution wants both alike.
    tensors = read_tensors(path)
    state = {name: values.float() if values.is_floating_point() else values for name, values in tensors.items()}
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except (RuntimeError, TypeError) as error:  # names thousands of parameters, if need be
        raise _not_these_weights(path, textwrap.shorten(str(error), 240, placeholder=" …")) from error


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """The named tensors of a checkpoint (`.safetensors`, or as `torch.save` writes it), in their own precision.

    No code in the file is run (`weights_only`). Raises `WeightsError` for anything but named tensors, and if the name
    ends with digits that are not those of the file's SHA-256.
    """
    try:
        _check_digits(path)
        # Not with mmap: the packages' files are of the format that cannot be mapped.
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except WeightsError:
        raise
    except _UNREADABLE as error:
        known = isinstance(error, OSError) and error.strerror
        raise _not_these_weights(path, known or "it cannot be read as a file of tensors.") from error
    if not isinstance(state, Mapping) or not all(isinstance(values, Tensor) for values in state.values()):
        raise _not_these_weights(path, "it holds something other than named tensors.")
    return state


def _like(name: str, published: Sequence[WeightsFile], path: Path) -> WeightsFile:
    """What a file beyond the table expects: what its namesake does, `…-qat.safetensors` as `…-qat-af747872.pth`.

    Of several that differ in their digits alone it is the last, which is torchvision's first version.
    """
    namesakes = {_without_digits(Path(weights.name)): weights for weights in published}
    return namesakes.get(_without_digits(path), namesakes.get(name, published[0]))


def _without_digits(path: Path) -> str:
    return _DIGITS.sub("", path.stem)


def _path_in_package(weights: WeightsFile) -> Path | None:
    spec = find_spec(weights.package or "")
    return Path(spec.origin).parent / "models" / weights.name if spec and spec.origin else None


def _not_these_weights(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"{path.name} does not hold the weights of this network: {reason}")


def _check_digits(path: Path) -> None:
    expected = _DIGITS.search(path.stem)
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()[: len(expected[1])]
    if found != expected[1].lower():
        raise WeightsError(
            f"{path.name} is damaged, or was converted: its SHA-256 begins with {found}, not with {expected[1]}."
        )
