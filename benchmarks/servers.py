"""The servers that are compared, each started as a process of its own, and what its process tree uses."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parent.parent
_PROC = Path("/proc")
_HAS_PROC = Path("/proc/self/stat").exists()
_TICKS = os.sysconf("SC_CLK_TCK")
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not asked


@dataclass(frozen=True)
class Server:
    """`command` goes to `python`, and ends where the port is to follow; `ready` answers 200 when `path` does."""

    name: str
    command: tuple[str, ...]
    path: str
    multipart: bool
    form_field: str = "file"
    ready: str = "/readyz"
    python: str = sys.executable
    environ: Mapping[str, str] = field(default_factory=dict)


OURS = Server("inkblot", ("-m", "app", "serve", "--port"), "/v1/classify?model=imagenet", multipart=False)
FAST = replace(OURS, name="inkblot fast", environ={"INKBLOT_PRECISION": "fast"})
TUTORIAL = Server("tutorial", ("-m", "benchmarks.tutorial_server"), "/classify", multipart=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def as_installed() -> dict[str, str]:
    """The environment, with bytecode, as whoever installs it has: to compile 41 files of ours takes 45 ms a start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def running(
    server: Server, data_dir: Path, *, worker: str = "external", more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[int, int, float]]:
    """Process id, port and seconds to ready; ended with SIGTERM, after ten seconds by force.

    Without a worker for slow work by default: the peers have none.
    """
    port = free_port()
    ours = {"INKBLOT_HOST": "127.0.0.1", "INKBLOT_DATA_DIR": str(data_dir), "INKBLOT_LOG_LEVEL": "error"}
    ours["INKBLOT_WORKER"] = worker
    began = time.perf_counter()
    process = subprocess.Popen(
        [server.python, *server.command, str(port)],
        cwd=ROOT,
        env={**as_installed(), **ours, **server.environ, **more},
        start_new_session=True,
    )
    try:
        while not is_ready(port, server.ready):
            if process.poll() is not None or time.perf_counter() - began > 120:
                raise SystemExit(f"The {server.name} server did not start.")
            time.sleep(0.05)
        yield process.pid, port, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):  # what some servers leave behind
            os.killpg(process.pid, signal.SIGKILL)


def is_ready(port: int, path: str = "/readyz") -> bool:
    try:
        with _DIRECTLY.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def cpu_seconds(root: int) -> float:
    """Processor time of a process and all below it, also of children that have ended."""
    if not _HAS_PROC:
        return sum(_clock(used) for _, used in _listed(root))
    ticks = 0
    for pid in tree(root):
        with suppress(OSError):  # it ended meanwhile, and its parent has its time
            ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / _TICKS


def memory_mb(root: int, *, kinds: Sequence[str] = ("Pss",)) -> float:
    """Of a process and all below it: by default the proportional set size (shared pages count by share), else the sum
    of other `kinds` of `/proc/PID/smaps_rollup`. Where there is none, the resident size.
    """
    if not _HAS_PROC:
        return sum(int(kibibytes) for kibibytes, _ in _listed(root)) * 1024 / 1e6
    kibibytes = 0
    for pid in tree(root):
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
        kibibytes += sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in kinds)
    return kibibytes * 1024 / 1e6


def busy_seconds() -> float | None:
    """Processor time of the whole machine since its start, what a hypervisor took included; None where untold."""
    if not _HAS_PROC:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, (_PROC / "stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def _stat(pid: int) -> list[str]:
    """From the third field of `/proc/PID/stat` on: the second, the name, may hold anything."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """A process, then its children, then theirs."""
    parents: dict[int, int] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                parents[int(folder.name)] = int(_stat(int(folder.name))[1])
    return _below(root, parents)


def _below(root: int, parents: dict[int, int]) -> list[int]:
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _listed(root: int) -> list[tuple[str, str]]:
    """Resident KiB and processor time of each process of the tree, as `ps` says them."""
    command = ["ps", "-axo", "pid=,ppid=,rss=,time="]
    rows = [
        line.split() for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    ]
    tree = set(_below(root, {int(pid): int(parent) for pid, parent, *_ in rows}))
    return [(row[2], row[3]) for row in rows if int(row[0]) in tree]


def _clock(text: str) -> float:
    """Seconds of `1-02:03:04`, `02:03:04` or `3:04.05`."""
    days, _, rest = text.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + 86400 * int(days or 0)
