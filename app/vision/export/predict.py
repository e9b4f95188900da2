"""The model of this folder without Inkblot: `predict.py picture.jpg` names the five likeliest classes,
`predict.py --check` proves that the probabilities of reference.json come out."""

import argparse
import json
import math
import sys
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent
TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def read_safetensors(path: Path) -> dict[str, Tensor]:
    file = bytearray(path.read_bytes())  # the length of a header, the header in JSON, the numbers
    start = 8 + int.from_bytes(file[:8], "little")
    tensors = {}
    for name, at in json.loads(file[8:start]).items():
        if name != "__metadata__":
            kind, first, size = TYPES[at["dtype"]], start + at["data_offsets"][0], math.prod(at["shape"])
            tensors[name] = torch.frombuffer(file, dtype=kind, count=size, offset=first).reshape(at["shape"])
    return tensors


def read_weights(path: Path) -> dict[str, Tensor]:
    converted = path.suffix == ".safetensors"
    return read_safetensors(path) if converted else torch.load(path, "cpu", weights_only=True)


def pad(convolution: nn.Conv2d, inputs: tuple[Tensor]) -> Tensor:
    """TensorFlow's "SAME": an odd total is padded more at the right and the bottom."""
    sizes = zip(inputs[0].shape[2:], convolution.kernel_size, convolution.stride)
    high, wide = (max(kernel - stride + -size % stride, 0) for size, kernel, stride in sizes)
    return nn.functional.pad(inputs[0], (wide // 2, wide - wide // 2, high // 2, high - high // 2))


def load_network(how: dict[str, Any], weights: Path | None) -> nn.Module:
    """The network up to its features, the head being a file of its own."""
    network: nn.Module
    if how["library"] == "torchvision":
        network = import_module("torchvision.models").get_model(how["name"], weights=None)
    else:
        network = import_module(how["library"]).EfficientNet.from_name(how["name"])
    if not how["own_weights"]:
        if how["weights_package"]:
            weights = getattr(import_module(how["weights_package"]), how["weights_class"]).get_model_file_path()
        network.load_state_dict(read_weights(Path(weights or FOLDER / how["weights"])))
    if how["head"]:
        network.set_submodule(how["head"], nn.Identity())
    if how["own_weights"]:  # of a backbone that was trained along with the head: they have none
        network.load_state_dict(read_safetensors(FOLDER / "backbone.safetensors"))
    for module in network.modules():
        if how["same_padding"] and isinstance(module, nn.Conv2d) and module.stride != (1, 1):
            module.padding = (0, 0)
            module.register_forward_pre_hook(pad)
    return network.eval()


def see(path: Path, how: dict[str, Any]) -> Tensor:
    image: Image.Image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:  # over white
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
    crop, side = how["crop"], min(image.size) * how["crop"] / how["resize"]
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    canvas = image.convert("RGB").resize((crop, crop), Image.Resampling.BICUBIC, box=box)
    pixels = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8).reshape(1, crop, crop, 3) / 255
    return ((pixels - torch.tensor(how["mean"])) / torch.tensor(how["std"])).permute(0, 3, 1, 2)


@torch.inference_mode()
def classify(path: Path, network: nn.Module, how: dict[str, Any]) -> dict[str, float]:
    head = read_safetensors(FOLDER / "head.safetensors")
    logits = nn.functional.linear(network(see(path, how)), head["weight"], head["bias"])
    return dict(zip((label["label"] for label in read("labels.json")), logits.softmax(1)[0].tolist()))


def main() -> None:
    how, reference = read("preprocessing.json"), read("reference.json")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, help="without one, the reference is checked")
    parser.add_argument("--check", action="store_true")
    if how["network"]["weights"]:
        parser.add_argument("--weights", type=Path, help=f"of the backbone; default: {how['network']['weights']}")
    choices = parser.parse_args()
    network = load_network(how["network"], getattr(choices, "weights", None))
    if choices.picture and not choices.check:
        if isinstance(sys.stdout, TextIOWrapper):  # a terminal may not know every label's letters
            sys.stdout.reconfigure(errors="backslashreplace")
        scores = classify(choices.picture, network, how)
        for label in sorted(scores, key=lambda label: -scores[label])[:5]:
            print(f"{scores[label]:7.2%}  {label}")
    else:
        scores = classify(FOLDER / reference["picture"], network, how)
        difference = max(abs(scores[label] - score) for label, score in reference["scores"].items())
        if not difference <= reference["tolerance"]:
            raise SystemExit(f"Not the probabilities of reference.json: they differ by {difference:.1e}.")
        print(f"The probabilities of reference.json come out, to {difference:.1e}.")


if __name__ == "__main__":
    main()
