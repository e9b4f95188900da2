"""Many machines on one: a proxy, services, workers, one database and one store of files, any of which may fall.

`python -m benchmarks.cluster` hands in mixed jobs from eight clients while processes are killed one after the other,
the database is started anew, and the store refuses; then it tells what became of each job and each answer. With
`--scaling` nothing falls, and jobs a minute are printed for one, two and three workers.

Needs PostgreSQL and Caddy (Debian: postgresql, caddy) and `uv`, which starts moto's S3 in an environment of its own.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Final

import httpx2
import psycopg

from benchmarks.cluster_load import AFTERWARDS, Load, hand_in
from benchmarks.gate import Gate
from benchmarks.postgres import Postgres
from benchmarks.servers import ROOT, free_port

_BUCKET: Final = "inkblot"
_READY_S: Final = 900
"""For what takes seconds: on a busy machine ten processes that start at once take minutes, and nothing is wrong."""
_PAUSE_S: Final = 4.0
"""Between one fall and the next."""
_STORE_AWAY_S: Final = 10.0
_NO_NEWS: Final = ('"level": "info"', '"level":"info"', "HTTP/1.1")
_LINE: Final = 2000
_JOBS: Final = "SELECT count(*) FROM dbos.workflow_status WHERE name = 'inkblot_job'"
_UPSTREAMS: Final = re.compile(r"\t\tdynamic a .*?\n\t\t\}\n", re.DOTALL)


@dataclass
class Process:
    """One that can be started again as it was."""

    command: list[str]
    log: Path
    """What it says, of all its lives."""
    environ: dict[str, str] = field(default_factory=dict)
    running: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("a") as log:
            log.write(f"{datetime.now(UTC):%H:%M:%S.%f} started\n")
            log.flush()
            self.running = subprocess.Popen(
                self.command, cwd=ROOT, env=os.environ | self.environ, stdout=log, stderr=log
            )

    def check(self) -> None:
        """Raises `RuntimeError` if it has ended by itself."""
        if self.running and (code := self.running.poll()) is not None:
            raise RuntimeError(f"{self.log.stem} has ended with {code}.")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.running:
            self.running.send_signal(how)
            self.running.wait(_READY_S)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.end(how)
        self.start()


class Cluster:
    """`services` and `workers` are numbers of processes, each with a data folder of its own as on its own machine."""

    def __init__(self, folder: Path, logs: Path, *, services: int = 2, workers: int = 3) -> None:
        if shutil.which("caddy") is None:
            raise FileNotFoundError("needs caddy (Debian: caddy)")
        self.database, self._folder, self._logs, store = Postgres(), folder, logs, free_port()
        uv = Path(sys.executable).with_name("uv")
        moto = [str(uv), "tool", "run", "--from", "moto[server]", "moto_server", "-H", "127.0.0.1", "-p", str(store)]
        self._store = Process(moto, logs / "store.log")
        self.gate = Gate(store)
        ports = [free_port() for _ in range(services)]
        self.services = [self._process(f"service-{port}", "serve", "--port", str(port)) for port in ports]
        self.workers = [self._process(f"worker-{number}", "worker") for number in range(workers)]
        self._ports, self.port = ports, free_port()
        caddy = ["caddy", "run", "--adapter", "caddyfile", "--config", str(self._caddyfile())]
        ours = {"SITE": f"http://127.0.0.1:{self.port}", "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        self._proxy = Process(caddy, logs / "proxy.log", ours)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._store.start()
        self.gate.open()
        _until(lambda: httpx2.put(f"http://127.0.0.1:{self.gate.port}/{_BUCKET}").status_code == 200, self._store)
        for process in (*self.services, *self.workers, self._proxy):
            process.start()
        for number in range(len(self.services)):
            self.service_is_ready(number)
        _until(lambda: is_ready(self.url), self._proxy)

    def accepted(self) -> int:
        """How many jobs the database has, whoever knows of them."""
        with psycopg.connect(self.database.url) as connection:
            found = connection.execute(_JOBS).fetchone()
        return int(found[0]) if found else 0

    def service_is_ready(self, number: int) -> None:
        """Wait for it."""
        _until(lambda: is_ready(f"http://127.0.0.1:{self._ports[number]}"), self.services[number])

    def warnings(self) -> str:
        """What its processes said but for what is no news, each line with the name of its log."""
        lines = [(log.stem, line) for log in sorted(self._logs.glob("*.log")) for line in log.read_text().splitlines()]
        told = (f"{name}: {line[:_LINE]}" for name, line in lines if not any(words in line for words in _NO_NEWS))
        return "\n".join(told)

    def end(self) -> None:
        for process in (self._proxy, *self.services, *self.workers):
            process.end()
        self.gate.close()
        self._store.end()
        self.database.remove()

    def _process(self, name: str, *command: str) -> Process:
        ours = {
            "INKBLOT_DATABASE_URL": self.database.url,
            "INKBLOT_FILES_URL": f"s3://{_BUCKET}",
            "INKBLOT_WORKER": "external",
            "INKBLOT_ENGINE": "torch",  # nothing to convert at the first start
            "INKBLOT_THREADS": "1",
            "INKBLOT_WORKER_THREADS": "1",
            "INKBLOT_DATA_DIR": str(self._folder / name),
            "INKBLOT_LOG_LEVEL": "info",
            "INKBLOT_TRUSTED_PROXIES": "127.0.0.1",
        }
        store = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.gate.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "inkblot",
            "AWS_SECRET_ACCESS_KEY": "inkblot",
        }
        return Process([sys.executable, "-m", "app", *command], self._logs / f"{name}.log", ours | store)

    def _caddyfile(self) -> Path:
        """Ours, with the addresses in place of a name that a network of containers would resolve."""
        to = "\t\tto " + " ".join(f"127.0.0.1:{port}" for port in self._ports) + "\n"
        text, found = _UPSTREAMS.subn(to, (ROOT / "deploy/proxy/Caddyfile").read_text())
        assert found == 1
        path = self._folder / "Caddyfile"
        path.write_text(text)
        return path


@contextmanager
def running_cluster(*, logs: Path, services: int = 2, workers: int = 3) -> Iterator[Cluster]:
    """What its processes say goes into the folder `logs`, which stays.

    Raises `FileNotFoundError` where something that it takes is missing.
    """
    with TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder), logs, services=services, workers=workers)
        try:
            cluster.start()
            yield cluster
        except BaseException as error:
            error.add_note(cluster.warnings())
            raise
        finally:
            cluster.end()


def is_ready(url: str) -> bool:
    """Answers and takes jobs."""
    try:
        answer = httpx2.get(f"{url}/readyz", timeout=60)
    except httpx2.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["jobs"] == "ready"


def falls(cluster: Cluster, *, rounds: int, seed: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """What happens to it, one after the other; each leaves it whole again."""
    chance = random.Random(seed)
    for _ in range(rounds):
        worker, service = chance.choice(cluster.workers), chance.randrange(len(cluster.services))
        yield "worker killed", lambda worker=worker: worker.restart(signal.SIGKILL)  # type: ignore[misc]
        yield "service killed", lambda number=service: _restart(cluster, number, signal.SIGKILL)  # type: ignore[misc]
        yield "database restarted", lambda: _restart_database(cluster)
        worker = chance.choice(cluster.workers)
        yield "worker restarted", lambda worker=worker: worker.restart()  # type: ignore[misc]
        yield "store away", lambda: _without_store(cluster)
        yield "rolling restart", lambda: _roll(cluster)


def _restart(cluster: Cluster, number: int, how: signal.Signals = signal.SIGTERM) -> None:
    cluster.services[number].restart(how)
    cluster.service_is_ready(number)


def _roll(cluster: Cluster) -> None:
    for number in range(len(cluster.services)):
        _restart(cluster, number)


def _restart_database(cluster: Cluster) -> None:
    cluster.database.stop()
    cluster.database.start()


def _without_store(cluster: Cluster) -> None:
    cluster.gate.close()
    time.sleep(_STORE_AWAY_S)
    cluster.gate.open()


def _until(holds: Callable[[], bool], process: Process) -> None:
    """Raises `RuntimeError` if the process ends, or takes too long."""
    give_up = time.monotonic() + _READY_S
    while time.monotonic() < give_up:
        process.check()
        with suppress(httpx2.TransportError):
            if holds():
                return
        time.sleep(0.1)
    raise RuntimeError(f"{process.log.stem} did not become ready.")


def under_attack(
    cluster: Cluster, *, jobs: int, clients: int, rounds: int, seed: int, tell: Callable[[str], None]
) -> Load:
    """What became of the jobs while one thing after the other fell; returns when all of them have ended."""
    load = hand_in(cluster.url, jobs=jobs, clients=clients, seed=seed)
    for name, fall in falls(cluster, rounds=rounds, seed=seed):
        load.phase = name
        tell(name)
        fall()
        time.sleep(_PAUSE_S)
    load.phase = AFTERWARDS
    load.join()
    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="of everything that falls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scaling", action="store_true", help="jobs a minute with 1, 2 and 3 workers; nothing falls")
    parser.add_argument("--logs", type=Path, help="folder for what each process says; a new one by default")
    choices = parser.parse_args()
    logs = choices.logs or Path(mkdtemp(prefix="cluster-"))
    logs.mkdir(parents=True, exist_ok=True)
    print(f"What each process says is in {logs}.")
    if choices.scaling:
        for workers in (1, 2, 3):
            with running_cluster(logs=logs, workers=workers) as cluster:
                load = hand_in(cluster.url, jobs=choices.jobs, clients=choices.clients, seed=choices.seed)
                load.join()
                print(f"{workers} workers: {choices.jobs / load.seconds * 60:.0f} jobs a minute")
        return
    with running_cluster(logs=logs) as cluster:
        sizes = {"jobs": choices.jobs, "clients": choices.clients, "rounds": choices.rounds, "seed": choices.seed}
        load = under_attack(cluster, **sizes, tell=lambda what: print(what, "…", flush=True))
        print(load.table())
        if not load.is_well(choices.jobs):
            print(cluster.warnings())
        raise SystemExit(0 if load.is_well(choices.jobs) and cluster.accepted() == choices.jobs else 1)


if __name__ == "__main__":
    main()
