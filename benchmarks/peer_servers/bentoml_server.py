"""`bentoml serve benchmarks.peer_servers.bentoml_server:Classifier --port PORT`"""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from benchmarks.peer_servers.network import PROCESSES, Network


@bentoml.service(workers=PROCESSES, logging={"access": {"enabled": False}})
class Classifier:
    def __init__(self) -> None:
        self.network = Network()

    @bentoml.api  # type: ignore[untyped-decorator]
    def classify(self, file: Annotated[Path, ContentType("image/*")]) -> dict[str, list[dict[str, float]]]:
        return self.network.classify(file.read_bytes())
