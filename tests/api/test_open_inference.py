"""The Open Inference Protocol and Hugging Face's API, as the clients that people have speak them."""

import base64
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from huggingface_hub import InferenceClient
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from app.vision.image import ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.pixels import pixels_of
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

INFER = "/v2/models/imagenet/infer"


@pytest.fixture
def triton_client(server: str) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(server.removeprefix("http://"))
    yield client
    client.close()


def image(*pictures: bytes, binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput("image", [len(pictures)], "BYTES")
    tensor.set_data_from_numpy(np.array(pictures, dtype=object), binary_data=binary)
    return tensor


def test_tritons_client_finds_the_server_and_its_models(triton_client: triton.InferenceServerClient) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("imagenet")
    assert triton_client.is_model_ready("imagenet", "1")
    assert not triton_client.is_model_ready("imagenet", "99")
    assert not triton_client.is_model_ready("nothing")
    assert "binary_tensor_data" in triton_client.get_server_metadata()["extensions"]
    told = triton_client.get_model_metadata("cats-vs-dogs")
    assert [(one["name"], one["datatype"], one["shape"]) for one in told["inputs"]] == [
        ("image", "BYTES", [-1]),
        ("pixels", "FP32", [-1, 3, 224, 224]),
    ]
    assert [one["name"] for one in told["outputs"]] == ["probabilities", "label", "unknown"]


def test_tritons_client_classifies_files_as_our_own_path_does(
    triton_client: triton.InferenceServerClient, client: TestClient, dog: bytes, cat: bytes
) -> None:
    found = triton_client.infer("imagenet", [image(dog, cat)], request_id="seven")
    assert found.get_response()["id"] == "seven"
    probabilities = found.as_numpy("probabilities")
    assert probabilities.shape == (2, 1000)
    for row, label, picture in zip(probabilities, found.as_numpy("label"), (dog, cat), strict=True):
        (best,) = client.post("/v1/classify?model=imagenet&top_k=1", content=picture).json()["predictions"]
        assert label.decode() == best["label"]
        assert row.max() == pytest.approx(best["score"], abs=1e-3)


def test_tritons_client_classifies_canvases(triton_client: triton.InferenceServerClient, dog: bytes) -> None:
    classifier = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu")).load("cats-vs-dogs")
    pixels = pixels_of(Picture.read(dog, ImageLimits()).canvas(classifier.backbone.preprocessing)).expand(5, -1, -1, -1)
    tensor = triton.InferInput("pixels", list(pixels.shape), "FP32")
    tensor.set_data_from_numpy(np.ascontiguousarray(pixels.numpy()))
    outputs = [triton.InferRequestedOutput("probabilities"), triton.InferRequestedOutput("unknown", binary_data=False)]
    found = triton_client.infer("cats-vs-dogs", [tensor], outputs=outputs)
    with torch.inference_mode():
        expected = classifier.logits(pixels[:1]).softmax(1)[0]
    np.testing.assert_allclose(found.as_numpy("probabilities"), expected.expand(5, -1).numpy(), atol=1e-3)
    assert found.as_numpy("unknown").shape == (5,)
    assert found.as_numpy("label") is None


def test_tritons_classification_extension(triton_client: triton.InferenceServerClient, dog: bytes) -> None:
    wanted = triton.InferRequestedOutput("probabilities", class_count=3)
    (best,) = triton_client.infer("imagenet", [image(dog)], outputs=[wanted]).as_numpy("probabilities")
    assert len(best) == 3
    score, index, label = best[0].decode().split(":")
    assert (int(index), label) == (253, "basenji")
    assert float(score) > 0.5


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ({"name": "image", "datatype": "INT8", "shape": [1], "data": [1]}, "not INT8"),
        ({"name": "image", "datatype": "BYTES", "shape": [2], "data": ["AAAA"]}, "1 elements"),
        ({"name": "image", "datatype": "BYTES", "shape": [1], "data": ["not base64!"]}, "base64"),
        ({"name": "image", "datatype": "BYTES", "shape": [17], "data": ["AAAA"] * 17}, "1 to 16"),
        ({"name": "image", "datatype": "BYTES", "shape": [0], "data": []}, "1 to 16"),
        ({"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}, "picture"),
        ({"name": "pixels", "datatype": "FP32", "shape": [1, 3, 2, 2], "data": [0.5] * 12}, "224"),
        ({"name": "pixels", "datatype": "FP32", "shape": [1, 3, 2, 2], "data": [0.5]}, "shape"),
        ({"name": "pixels", "datatype": "FP32", "shape": [1, 3, 2, 2], "data": [[["a"]]]}, "FP32"),
        ({"name": "pixels", "datatype": "FP32", "shape": [1, 1], "data": [1e39]}, "no numbers"),
    ],
)
def test_what_cannot_be_is_told_as_the_protocol_tells_it(client: TestClient, tensor: object, says: str) -> None:
    answer = client.post(INFER, json={"inputs": [tensor]})
    assert answer.status_code in {400, 415, 422}
    assert says in answer.json()["error"]
    assert answer.json()["error"] == answer.json()["detail"]


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "99999"])
def test_a_length_that_lies_is_a_problem(client: TestClient, length: str) -> None:
    answer = client.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": length})
    assert answer.status_code == 400


def test_bytes_that_end_early_are_a_problem(client: TestClient) -> None:
    blob = (10).to_bytes(4, "little") + b"abc"
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(blob)}}
    header = json.dumps({"inputs": [tensor]}).encode()
    answer = client.post(INFER, content=header + blob, headers={"Inference-Header-Content-Length": str(len(header))})
    assert answer.status_code == 400
    assert "middle" in answer.json()["detail"]


def test_an_output_that_is_not_there_is_named_in_tritons_error(
    triton_client: triton.InferenceServerClient, dog: bytes
) -> None:
    with pytest.raises(InferenceServerException, match="no output 'logits': probabilities, label"):
        triton_client.infer("imagenet", [image(dog)], outputs=[triton.InferRequestedOutput("logits")])


def test_hugging_faces_client_classifies(server: str, dog: bytes) -> None:
    client = InferenceClient(model=f"{server}/hf/models/imagenet")
    best, *others = client.image_classification(dog, top_k=3)
    assert best.label == "basenji"
    assert len(others) == 2
    assert best.score > others[0].score
    assert len(client.image_classification(dog)) == 5


def test_hugging_faces_api_refuses_what_is_no_picture(client: TestClient) -> None:
    path = "/hf/models/imagenet"
    assert client.post(path, content=b"no picture").json()["error"]
    for text in ("%%%", "ı"):
        assert client.post(path, json={"inputs": text}).status_code == 422
    many = {"inputs": base64.b64encode(b"x").decode(), "parameters": {"top_k": 0}}
    assert "top_k" in client.post(path, json=many).json()["error"]


@pytest.mark.parametrize("count", ["many", 0.5, -1, 1001])
def test_a_number_of_classes_that_cannot_be_is_told(client: TestClient, dog: bytes, count: object) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(dog).decode()]}
    wanted = {"name": "probabilities", "parameters": {"classification": count}}
    answer = client.post(INFER, json={"inputs": [tensor], "outputs": [wanted]})
    assert answer.status_code == 422
    assert "classification" in answer.json()["error"]
