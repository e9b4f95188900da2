"""`python litserve_server.py PORT`"""

import sys
from typing import Any

import litserve
from fastapi import UploadFile

from benchmarks.peer_servers.network import PROCESSES, Network


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:  # noqa: ARG002
        self.network = Network()

    def decode_request(self, request: UploadFile) -> bytes:
        return request.file.read()

    def predict(self, data: bytes) -> Any:  # noqa: ANN401 -- as LitServe has it
        return self.network.classify(data)

    def encode_response(self, output: Any) -> Any:  # noqa: ANN401
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=PROCESSES)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
