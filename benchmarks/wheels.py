"""What a machine with PyTorch and without a registry lacks to run this: `python -m benchmarks.wheels [--python 3.12]`.

Downloads the wheels of the lock into `.wheels`, but for PyTorch with its needs, OpenVINO, the exports' libraries, and
the networks of further sizes; prints what they weigh and how they are installed over there.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from benchmarks.servers import ROOT

_THERE: Final = re.compile(
    r"torch|nvidia-|cuda-|triton|numpy|sympy|mpmath|networkx|jinja2|markupsafe|fsspec|filelock|setuptools"
)
"""PyTorch, and what it needs."""
_UNUSED: Final = re.compile(r"openvino|onnx|ml-dtypes|protobuf|uvloop|efficientnet-lite[12]|opentelemetry-(?!api)")
_PINNED: Final = re.compile(r"^([a-z0-9][^\n]*?==[^\\\n]*)", re.MULTILINE)
_PLATFORMS: Final = [f"manylinux{version}" for version in ("_2_28", "_2_27", "_2_24", "_2_17", "2014", "1")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.12", help="of the other machine")
    parser.add_argument("--into", type=Path, default=ROOT / ".wheels")
    choices = parser.parse_args()
    platforms = [option for name in _PLATFORMS for option in ("--platform", f"{name}_x86_64")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", choices.python, *platforms, "--dest", str(choices.into), *wanted(choices.python)]
    subprocess.run(command, check=True)
    size = sum(path.stat().st_size for path in choices.into.glob("*.whl"))
    print(f"{len(list(choices.into.glob('*.whl')))} wheels, {size / 2**20:.0f} MiB. Over there:")
    print("  python3 -m pip install --no-index --no-deps --target site .wheels/*.whl")
    print("  PYTHONPATH=site python3 -m benchmarks.gpu")


def wanted(python: str) -> Iterator[str]:
    """Name and version of each package of the lock that is to travel to a machine with Linux and that Python."""
    there = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    there |= {"platform_machine": "x86_64", "platform_system": "Linux", "platform_python_implementation": "CPython"}
    for line in _PINNED.findall((ROOT / "requirements.lock").read_text()):
        one = Requirement(line)
        if (one.marker is None or one.marker.evaluate(there)) and not (
            _THERE.match(one.name) or _UNUSED.match(one.name)
        ):
            yield f"{one.name}{one.specifier}"


if __name__ == "__main__":
    main()
