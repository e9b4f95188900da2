"""Requests and answers of the Open Inference Protocol: JSON, or JSON and the bytes of the tensors behind it."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from app.api.errors import ChoiceError, MalformedRequestError
from app.api.schemas.open_inference import InferIn, InferOut, TensorIn, TensorOut
from app.vision.serving.tensors import Tensor, files_in

LENGTH: Final = "Inference-Header-Content-Length"


def read_request(body: bytes, length: str | None) -> tuple[InferIn, Tensor]:
    """The request and its one input; `length` is that of the JSON in front, if bytes follow.

    Raises `MalformedRequestError`, `ChoiceError` or `TensorError`.
    """
    header, behind = _divided(body, length)
    try:
        request = InferIn.model_validate_json(header)
    except ValidationError as error:
        raise ChoiceError.of(error) from None
    (tensor,) = request.inputs
    raw = _raw(tensor, behind)
    if tensor.datatype == "BYTES":
        return request, Tensor.of_files(_decoded(tensor) if raw is None else files_in(raw), tensor.shape)
    if tensor.datatype == "FP32":
        return request, Tensor.of_floats(tensor.data if raw is None else raw, tensor.shape)
    raise ChoiceError("/body/inputs/0/datatype", f"This path takes BYTES and FP32, not {tensor.datatype}.")


def write_answer(answer: InferOut, outputs: Mapping[str, Tensor], binary: set[str]) -> tuple[bytes, str | None]:
    """The body, and the length of its JSON if the tensors of these names lie behind it."""
    blobs = []
    for name, tensor in outputs.items():
        out = TensorOut(name=name, datatype=tensor.datatype, shape=list(tensor.shape))
        if name in binary:
            blobs.append(tensor.as_bytes())
            out.parameters = {"binary_data_size": len(blobs[-1])}
        else:
            out.data = tensor.as_list()
        answer.outputs.append(out)
    header = answer.model_dump_json(exclude_none=True).encode()
    return b"".join([header, *blobs]), str(len(header)) if blobs else None


def _divided(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    if length is None:
        return body, b""
    if not length.isdecimal() or len(length) > 12 or int(length) > len(body):
        raise MalformedRequestError(f"{LENGTH} is not the length of a JSON in front of the body.")
    return body[: int(length)], body[int(length) :]


def _raw(tensor: TensorIn, behind: bytes) -> bytes | None:
    size = tensor.parameters.get("binary_data_size")
    if size is not None and size != len(behind):
        raise MalformedRequestError(f"binary_data_size is {size}, and {len(behind)} bytes were sent behind the JSON.")
    return None if size is None else behind


def _decoded(tensor: TensorIn) -> list[bytes]:
    try:
        return [base64.b64decode(text, validate=True) for text in _flat(tensor.data)]
    except (binascii.Error, TypeError, ValueError):
        raise ChoiceError("/body/inputs/0/data", "BYTES in JSON are strings in base64.") from None


def _flat(data: Any) -> list[Any]:  # noqa: ANN401 -- JSON
    return [inner for one in data for inner in _flat(one)] if isinstance(data, list) else [data]
