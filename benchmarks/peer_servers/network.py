"""What each of the other servers does with a photo: decode, forward, the five likeliest classes; in plain PyTorch."""

import io
import os

import torch
from PIL import Image
from torchvision import transforms

from app.vision.networks.backbones import load_backbone

PROCESSES = len(os.sched_getaffinity(0))

_preprocess = transforms.Compose([
    transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
    transforms.CenterCrop(224),
    transforms.ToTensor(),
    transforms.Normalize([0.5] * 3, [0.5] * 3),
])  # fmt: skip


class Network:
    """One torch thread: the processes share the cores."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        backbone, head = load_backbone("efficientnet_lite0", None, fold=False)
        self._network = torch.nn.Sequential(backbone.network, head).eval()

    def classify(self, data: bytes) -> dict[str, list[dict[str, float]]]:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        with torch.inference_mode():
            probabilities = self._network(_preprocess(image).unsqueeze(0)).softmax(1)[0]
        scores, indices = probabilities.topk(5)
        return {"predictions": [{"index": int(i), "score": float(s)} for i, s in zip(indices, scores, strict=True)]}
