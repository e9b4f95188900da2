"""A model to take away: a zip with all that it takes to use a classifier without Inkblot."""

import copy
import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from app.vision.classifier import Classifier
from app.vision.export.requirements import is_lite, network_of, packages
from app.vision.image import ImageLimits, Picture, Preprocessing
from app.vision.networks.tracing import TRACING
from app.vision.pixels import to_pixels

if TYPE_CHECKING:
    from app.vision.networks.backbones import Backbone

TOLERANCE: Final = 1e-4
"""Largest difference of probabilities with which `predict.py` and `model.onnx` count as the same classifier."""

_STORED: Final = {".safetensors", ".onnx", ".png"}
"""Numbers hardly shrink: a tenth, for a second of work."""
_SCRIPT: Final = Path(__file__).with_name("predict.py")

_README: Final = """\
# {name}

An image classifier of {classes} classes on the backbone {backbone}, exported by Inkblot (`model.json` is its card).

    pip install -r requirements.txt
    python predict.py --check          # the probabilities of reference.json, to {tolerance:.0e}
    python predict.py picture.jpg      # the five likeliest classes

{weights}
`head.safetensors` is the linear layer on its pooled features, `labels.json` the classes in the order of the scores.

`model.onnx` holds both and runs without PyTorch: `pixels`, float32 (N, 3, {crop}, {crop}) in [0, 1] and made as
`preprocessing.json` says (it normalizes them itself), to `scores`, the probabilities (N, {classes}):

    onnxruntime.InferenceSession("model.onnx").run(["scores"], {{"pixels": pixels}})

Licence of the backbone's weights: {licence}. Source: {source}.
"""


def export(classifier: Classifier, card: Mapping[str, object], file: BinaryIO) -> None:
    """Write a zip with all that it takes to use a classifier without Inkblot.

    The same model gives the same bytes. Takes seconds of one processor (14 the first time, then 5) and waits for
    other exports of this process; the classifier may be used meanwhile.
    """
    members = _members(_twin_on_cpu(classifier), card)
    with ZipFile(file, "w") as archive:
        for name in sorted(members):
            about = ZipInfo(f"{classifier.card.name}/{name}")  # its date is that of no clock: 1980
            about.external_attr = 0o644 << 16
            about.compress_type = ZIP_STORED if Path(name).suffix in _STORED else ZIP_DEFLATED
            archive.writestr(about, members[name])


def _members(classifier: Classifier, card: Mapping[str, object]) -> dict[str, bytes]:
    backbone = classifier.backbone
    owns = backbone.own_weights is not None
    reference = _reference_picture(backbone.preprocessing)
    members = {
        "README.md": _readme(classifier, owns=owns).encode(),
        "head.safetensors": _head(classifier.head),
        "labels.json": _json([{"label": label.label, "display": dict(label.display)} for label in classifier.labels]),
        "model.json": _json(card),
        "model.onnx": _onnx(classifier),
        "predict.py": _SCRIPT.read_bytes(),
        "preprocessing.json": _json(_preprocessing(backbone, owns=owns)),
        "reference.json": _json(_reference(classifier, reference)),
        "reference.png": reference,
        "requirements.txt": "".join(f"{line}\n" for line in packages(backbone, own_weights=owns)).encode(),
    }
    if backbone.own_weights:
        members["backbone.safetensors"] = backbone.own_weights.read_bytes()
    return members


def _twin_on_cpu(classifier: Classifier) -> Classifier:
    """A classifier with modules of its own which, on a CPU, share the memory of the original's.

    Tracing swaps a module's parameters for fake ones: beside an export, 52 of 127 forward passes failed on them.
    And a GPU rounds to TF32.
    """
    backbone, head = classifier.backbone, classifier.head
    memo: dict[int, Any] = {}
    for module in (backbone, head):
        memo |= {id(values): nn.Parameter(values.cpu(), requires_grad=False) for values in module.parameters()}
        memo |= {id(values): values.cpu() for values in module.buffers()}
    return replace(classifier, backbone=copy.deepcopy(backbone, memo), head=copy.deepcopy(head, memo))


def _head(head: nn.Linear) -> bytes:
    bias = torch.zeros(head.out_features) if head.bias is None else head.bias
    return save({"weight": head.weight.detach().float().contiguous(), "bias": bias.detach().float().contiguous()})


def _json(content: object) -> bytes:
    """All ASCII, so that labels of any script survive, and half a surrogate pair too."""
    return (json.dumps(content, indent=1) + "\n").encode("ascii")


def _preprocessing(backbone: "Backbone", *, owns: bool) -> dict[str, object]:
    return {
        "upright": "by EXIF",
        "transparency": "over white",
        "colour_order": "RGB",
        "resize": backbone.preprocessing.resize,
        "crop": backbone.preprocessing.crop,
        "box": "the centred square with sides of min(width, height) * crop / resize, resized at once to crop x crop",
        "interpolation": "bicubic",
        "antialias": True,
        "range": [0, 1],
        "mean": list(backbone.weights.mean),
        "std": list(backbone.weights.std),
        "layout": "NCHW",
        "network": network_of(backbone, own_weights=owns),
    }


def _reference_picture(preprocessing: Preprocessing) -> bytes:
    """Waves of colour and a disc, as PNG: ImageNet's models are sure that it is a ping-pong ball.

    Its shorter side is what it would be resized to, since Pillow's resize in `predict.py` differs from ours by a level
    here and there.
    """
    height, width = preprocessing.resize, preprocessing.resize * 4 // 3
    y, x = np.mgrid[0:height, 0:width] / height
    waves = [np.sin(9 * x + 4 * y), np.sin(13 * y - 5 * x * x), np.cos(7 * (x + y) ** 2)]
    colours = np.stack(waves, axis=-1) * 0.4 + 0.5
    colours[np.hypot(x - 0.55, y - 0.45) < 0.2] = (0.95, 0.65, 0.1)
    file = BytesIO()
    Image.fromarray((colours * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _reference(classifier: Classifier, picture: bytes) -> dict[str, object]:
    """In float64: in float32 the sixth digit depends on how many threads the caller's thread may use."""
    canvas = Picture.read(picture, ImageLimits()).canvas(classifier.backbone.preprocessing)
    backbone, head = copy.deepcopy(classifier.backbone).double(), copy.deepcopy(classifier.head).double()
    with torch.inference_mode():
        logits = head(backbone(to_pixels(canvas[np.newaxis], torch.device("cpu")).double()))
    scores = (round(score, 7) for score in logits.softmax(1)[0].tolist())
    return {
        "picture": "reference.png",
        "tolerance": TOLERANCE,
        "scores": dict(zip((label.label for label in classifier.labels), scores, strict=True)),
    }


class _Scores(nn.Module):
    """What `model.onnx` computes."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.backbone, self.head = classifier.backbone, classifier.head
        self._classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        return self._classifier.logits(pixels).softmax(1)


def _onnx(classifier: Classifier) -> bytes:
    crop, weights = classifier.backbone.preprocessing.crop, classifier.backbone.weights
    with TRACING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.11 tells itself of what it deprecates
        program = torch.onnx.export(
            _Scores(classifier).eval(),
            (torch.rand(2, 3, crop, crop),),  # of one, the size of a batch would become a constant
            input_names=["pixels"],
            output_names=["scores"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget_how_it_was_made(model.graph)
    about = {
        "name": classifier.card.name,
        "labels": json.dumps([label.label for label in classifier.labels]),
        "licence": weights.licence,
        "source": weights.source,
    }
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _forget_how_it_was_made(graph: Any) -> None:  # noqa: ANN401 -- an onnx.GraphProto
    """The exporter notes each node's stack trace, with the paths of this machine; 180 kB of Lite0's 18.8 MB."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")


def _readme(classifier: Classifier, *, owns: bool) -> str:
    backbone = classifier.backbone
    return _README.format(
        name=classifier.card.name,
        backbone=backbone.card.name,
        classes=len(classifier.labels),
        crop=backbone.preprocessing.crop,
        tolerance=TOLERANCE,
        weights=_where_the_weights_are(backbone, owns=owns),
        licence=backbone.weights.licence,
        source=backbone.weights.source,
    )


def _where_the_weights_are(backbone: "Backbone", *, owns: bool) -> str:
    if owns:
        return "`backbone.safetensors` holds the backbone, which was trained along with the head."
    if is_lite(backbone):
        return "The weights of the backbone come with a package that `requirements.txt` names."
    return f"Put `{backbone.weights.name}`, the backbone's weights, beside `predict.py` or name them with `--weights`."
