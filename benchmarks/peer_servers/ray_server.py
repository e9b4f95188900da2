"""`python ray_server.py PORT`"""

import signal
import sys

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from benchmarks.peer_servers.network import PROCESSES, Network


@serve.deployment(num_replicas=PROCESSES, ray_actor_options={"num_cpus": 1})
class Classifier:
    def __init__(self) -> None:
        self.network = Network()

    async def __call__(self, request: Request) -> JSONResponse:
        if request.url.path == "/readyz":
            return JSONResponse({})
        return JSONResponse(self.network.classify(await request.body()))


if __name__ == "__main__":
    ray.init(num_cpus=PROCESSES, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Classifier.bind())  # type: ignore[attr-defined]
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()
