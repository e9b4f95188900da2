"""In a process of its own each, since OpenMP is as it was loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

_MEASURE = """
import time, threading, torch
from app.vision.openmp import sleep_while_waiting

numbers = torch.rand(100_000)

def seconds_of_work():
    began = time.process_time()
    for _ in range(100):
        numbers.exp()
        time.sleep(0.01)  # threads that spin do so now
    return time.process_time() - began

torch.set_num_threads(2)
seconds_of_work()
before = seconds_of_work()
sleep_while_waiting()
sleep_while_waiting()
after = seconds_of_work()
keepers = sum(thread.name == "openmp" for thread in threading.enumerate())
print(before, after, keepers, torch.get_num_threads())
"""


def _measured(**environ: str) -> tuple[float, float, int, int]:
    """CPU seconds before and after, how many threads keep a team, and how many PyTorch takes."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", _MEASURE]
    told = subprocess.run(command, cwd=ROOT, env=inherited | environ, capture_output=True, text=True, check=True).stdout
    before, after, keepers, threads = told.split()
    return float(before), float(after), int(keepers), int(threads)


@pytest.mark.slow
@pytest.mark.skipif(
    (os.cpu_count() or 1) < 2 or not Path("/proc/self/maps").exists(), reason="needs Linux and two processors"
)
def test_threads_stop_spinning_although_torch_was_loaded_first() -> None:
    before, after, keepers, threads = _measured()
    assert keepers == 1
    assert threads == 2
    assert after < before / 2


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "1000"}])
def test_a_program_that_chose_how_to_wait_is_left_alone(chosen: dict[str, str]) -> None:
    assert _measured(**chosen)[2] == 0
