"""`python mosec_server.py --port PORT`"""

from typing import Any

import mosec

from benchmarks.peer_servers.network import PROCESSES, Network


class Classifier(mosec.Worker):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> Any:  # noqa: ANN401 -- as Mosec has it
        return self.network.classify(data)


if __name__ == "__main__":
    server = mosec.Server()
    server.append_worker(Classifier, num=PROCESSES)
    server.run()
