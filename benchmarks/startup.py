"""From `inkblot serve` to ready, with and without what an earlier start kept, and what a command costs by itself.

`python -m benchmarks.startup`; seconds are medians. Nothing else should run meanwhile; processor time bears it better.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.servers import OURS, ROOT, as_installed, cpu_seconds, running

_PHOTO: Final = str(ROOT / "app/web/samples/cat.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=5, help="of each kind")
    number = parser.parse_args().starts
    with TemporaryDirectory() as folder:
        tell("start without a cache", [started(Path(folder) / str(start)) for start in range(number)])
        tell("start with a cache", [started(Path(folder) / "0") for _ in range(number)])
        with running(OURS, Path(folder) / "0") as (_, port, _):
            tell("inkblot classify PHOTO", [commanded(port, "classify", _PHOTO) for _ in range(number)])
            tell(
                "inkblot classify PHOTO --json", [commanded(port, "classify", _PHOTO, "--json") for _ in range(number)]
            )
            tell("inkblot --help", [commanded(port, "--help") for _ in range(number)])


def tell(what: str, measured: Sequence[tuple[float, float]]) -> None:
    """Seconds on the clock and of the processor."""
    clock, processor = (statistics.median(column) for column in zip(*measured, strict=True))
    print(f"{what:32}{clock:8.2f} s{processor:8.2f} CPU-s", flush=True)


def started(data_dir: Path) -> tuple[float, float]:
    with running(OURS, data_dir, worker="child") as (pid, _, seconds):
        return seconds, cpu_seconds(pid)


def commanded(port: int, *arguments: str) -> tuple[float, float]:
    environ = {**as_installed(), "INKBLOT_URL": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-m", "app", *arguments]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environ, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
