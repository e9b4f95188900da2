"""A classifier behind FastAPI as the tutorials write it, with one torch thread a request: the peer in our benchmark."""

import io
import sys

import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import transforms

from app.vision.networks.backbones import load_backbone

torch.set_num_threads(1)
backbone, head = load_backbone("efficientnet_lite0", None, fold=False)
network = torch.nn.Sequential(backbone.network, head).eval()
preprocess = transforms.Compose([
    transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
    transforms.CenterCrop(224),
    transforms.ToTensor(),
    transforms.Normalize([0.5] * 3, [0.5] * 3),
])  # fmt: skip
app = FastAPI()


@app.get("/readyz")
def readyz() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/classify")
def classify(file: UploadFile) -> dict[str, list[dict[str, float]]]:
    image = Image.open(io.BytesIO(file.file.read())).convert("RGB")
    with torch.no_grad():
        probabilities = network(preprocess(image).unsqueeze(0)).softmax(1)[0]
    scores, indices = probabilities.topk(5)
    return {"predictions": [{"index": int(i), "score": float(s)} for i, s in zip(indices, scores, strict=True)]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
