"""Our server against others with the same network, one model process a core: `python -m benchmarks.peers`.

LitServe, BentoML, Mosec and Ray Serve are installed by uv into environments of their own below `var/peers`, which see
PyTorch and what else is missing there in the environment that runs this. In each round every server answers alone: one
client, then sixteen, with the same photos. Prints the medians of the rounds and the ratios to the best of the others.
"""

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.classify import Round, measure, photos_in
from benchmarks.servers import FAST, OURS, ROOT, TUTORIAL, Server, running

_ENVIRONMENTS = ROOT / "var/peers"
_SERVERS = "benchmarks.peer_servers"
FORMS = {"exact, form": replace(OURS, name="exact, form", multipart=True)}
PEERS: Mapping[str, tuple[str, Server]] = {
    "LitServe": (
        "litserve",
        Server(
            "LitServe",
            ("-m", f"{_SERVERS}.litserve_server"),
            "/predict",
            multipart=True,
            form_field="request",
            ready="/health",
        ),
    ),
    "BentoML": (
        "bentoml",
        Server(
            "BentoML",
            ("-m", "bentoml", "serve", f"{_SERVERS}.bentoml_server:Classifier", "--host", "127.0.0.1", "--port"),
            "/classify",
            multipart=True,
        ),
    ),
    "Mosec": (
        "mosec",
        Server(
            "Mosec",
            ("-m", f"{_SERVERS}.mosec_server", "--address", "127.0.0.1", "--port"),
            "/inference",
            multipart=False,
            ready="/",
        ),
    ),
    "Ray Serve": ("ray[serve]", Server("Ray Serve", ("-m", f"{_SERVERS}.ray_server"), "/", multipart=False)),
}
FIGURES = ("rate_16", "p50_1_ms", "p50_16_ms", "p99_16_ms", "cpu_ms", "memory_mb", "failed")


def installed(requirement: str) -> str:
    """The Python of an environment with a package, made where it is missing; raises `CalledProcessError`."""
    folder = _ENVIRONMENTS / requirement.partition("[")[0]
    python = folder / "bin/python"
    if not (folder / "ours.done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), requirement], check=True)
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
        (folder / "ours.done").touch()
    return str(python)


def servers(names: list[str]) -> Iterator[Server]:
    """Those that can be had; says which cannot."""
    for name in names:
        requirement, server = PEERS[name]
        try:
            yield replace(server, python=installed(requirement))
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{name} cannot be installed: {error}", file=sys.stderr)


def table(rounds: Mapping[str, list[Round]], peers: list[str]) -> Iterator[str]:
    """Lines of Markdown: medians, and what ours are to the best of the others."""
    medians = {
        name: {figure: statistics.median(getattr(one, figure) for one in some) for figure in FIGURES}
        for name, some in rounds.items()
    }
    yield "| | " + " | ".join(medians) + " |"
    yield "|---" * (len(medians) + 1) + "|"
    for figure in FIGURES:
        yield f"| {figure} | " + " | ".join(f"{one[figure]:.1f}" for one in medians.values()) + " |"
    for name in medians:
        if name in peers:
            continue
        for figure in FIGURES[:-1]:
            best = (max if figure.startswith("rate") else min)(medians[peer][figure] for peer in peers)
            yield f"{name}: {figure} is {medians[name][figure] / best:.2f} × the best of the others ({best:.1f})"


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--photos", type=Path, help="folder of JPEG files; default: the development photos, else noise")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--json", type=Path, help="also write the rounds there")
    choices = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)  # ends the server that is running, too
    ours = [replace(OURS, name="exact"), *FORMS.values(), replace(FAST, name="fast")]
    others = [*servers(choices.peers), TUTORIAL]
    rounds: dict[str, list[Round]] = {server.name: [] for server in (*ours, *others)}
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = Path(scratch) / "var"
        photos = photos_in(choices.photos, Path(scratch))
        for server in ours:
            with running(server, data_dir):
                pass  # the network is converted and calibrated
        for number in range(choices.rounds):
            for server in (*ours, *others):
                try:
                    found = measure(server, photos, choices.seconds, data_dir)
                except (SystemExit, subprocess.CalledProcessError) as error:  # the others go on
                    print(number, server.name, error, file=sys.stderr, flush=True)
                    continue
                rounds[server.name].append(found)
                print(number, server.name, json.dumps(asdict(found)), file=sys.stderr, flush=True)
    rounds = {name: some for name, some in rounds.items() if some}
    print("\n".join(table(rounds, [server.name for server in others if server.name in rounds])))
    print(
        f"the machine was busy with others for up to {max(one.others for some in rounds.values() for one in some):.0%}"
    )
    if choices.json:
        choices.json.write_text(json.dumps({name: [asdict(one) for one in some] for name, some in rounds.items()}))


if __name__ == "__main__":
    main()
