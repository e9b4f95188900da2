"""The Dockerfile and the compose files, as far as they can be held to the code without a container engine."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openvino
import pytest
import torch
import yaml  # type: ignore[import-untyped]
from fastapi.testclient import TestClient

from app.process.address import check_open
from app.process.places import CannotServeError
from app.settings import Settings
from tests.support.paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
COMPOSE_GPU = (ROOT / "docker-compose.gpu.yml").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

CONVERT = """
import sys
sys.modules["triton"] = None
from pathlib import Path
import openvino
import torch
from app.settings import Settings
from app.vision.serving.runtimes import quickest_extractor
from app.wiring import repository_for
backbone, head = repository_for(Settings()).backbone("efficientnet_lite0")
cpu, cache = torch.device("cpu"), Path(sys.argv[1], "cache")
made = quickest_extractor(backbone, head, device=cpu, engine="openvino", cache_dir=cache, threads=1)
print(openvino.__file__, made.name, sep="\\n")
"""

Instruction = tuple[str, str]


def stages() -> dict[str, list[Instruction]]:
    """The instructions of every stage; the last one, which becomes the image, is called "image"."""
    found: dict[str, list[Instruction]] = {"": []}
    code = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    for line in code.replace("\\\n", " ").splitlines():
        name, _, value = line.strip().partition(" ")
        if name == "FROM":
            stage = value.partition(" AS ")[2] or "image"
            found[stage] = []
        if name:
            found[list(found)[-1]].append((name, value.strip()))
    return found


def values(stage: str, name: str) -> list[str]:
    return [value for one, value in stages()[stage] if one == name]


def copied(stage: str) -> list[str]:
    """What a stage copies from the checkout."""
    words = [shlex.split(value) for value in values(stage, "COPY")]
    from_checkout = [one for one in words if not any(word.startswith("--from=") for word in one)]
    return [source for one in from_checkout for source in one[:-1] if not source.startswith("--")]


def environment() -> dict[str, str]:
    pairs = [pair for value in values("image", "ENV") for pair in shlex.split(value)]
    return dict(pair.split("=", 1) for pair in pairs)


def ours(variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith("INKBLOT_")}


def service(text: str) -> dict[str, Any]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    assert list(services) == ["inkblot"], "the override must speak of the service that it overrides"
    return services["inkblot"]


def healthcheck() -> list[str]:
    (value,) = values("image", "HEALTHCHECK")
    command = json.loads(value.partition(" CMD ")[2])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server that answers `status` to /readyz and 404 to all else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def is_healthy(port: int) -> bool:
    """By the image's own command, with a proxy in the environment that leads nowhere."""
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    variables = {**os.environ, **proxies, "INKBLOT_PORT": str(port)}
    return subprocess.run(healthcheck(), env=variables, capture_output=True, check=False).returncode == 0


def test_what_the_image_copies_is_there_and_nothing_else_reaches_the_build() -> None:
    sources = {source for stage in stages() for source in copied(stage)}
    assert [source for source in sorted(sources) if not (ROOT / source).exists()] == []
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources


def test_a_change_of_the_code_installs_no_dependency_anew() -> None:
    assert copied("dependencies") == ["requirements.lock"]
    layers = values("image", "COPY")
    assert layers[0].startswith("--from=dependencies ")
    assert copied("needs") == ["pyproject.toml"], "all that is kept of it are the names of the dependencies"


def test_the_image_is_installed_from_what_pyproject_names(tmp_path: Path) -> None:
    (command,) = values("needs", "RUN")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command], cwd=tmp_path, env={"PATH": path}, check=True)
    assert (tmp_path / "requirements.in").read_text().splitlines() == PYPROJECT["project"]["dependencies"]


def test_the_image_installs_pytorch_as_make_does() -> None:
    options = r"uv pip install (?:--quiet --python \S+ )?(--.*?) -[re] "
    in_makefile = (ROOT / "Makefile").read_text().replace("$(UV)", "uv").replace("$(BIN)/python", "python")
    of_make = set(re.findall(options, in_makefile.replace("$(TORCH_BACKEND)", '"$TORCH_BACKEND"')))
    locked, constrained = re.findall(options, " ".join(values("dependencies", "RUN")))
    assert {locked, constrained} <= of_make
    assert constrained.startswith("--torch-backend ")


def removed() -> list[str]:
    """Patterns of what the image lacks of its packages, below `site-packages`."""
    (command,) = (value for value in values("dependencies", "RUN") if "rm -rf" in value)
    return command.partition("rm -rf ")[2].split()


def test_what_the_image_lacks_is_there_to_be_removed() -> None:
    packages = Path(openvino.__file__).parent.parent
    of_cuda = {pattern for pattern in removed() if pattern.startswith(("triton", "nvidia/"))}
    expected = [one for one in removed() if (packages / "nvidia").exists() or one not in of_cuda]
    assert [pattern for pattern in expected if not list(packages.glob(pattern))] == []


def test_pytorch_is_not_linked_to_what_the_image_lacks() -> None:
    packages = Path(torch.__file__).parent.parent
    if shutil.which("readelf") is None or not (packages / "nvidia").exists():
        pytest.skip("needs readelf and a PyTorch for CUDA")
    libraries = [str(path) for folder in ("torch/lib", "nvidia/*/lib") for path in packages.glob(f"{folder}/*.so*")]
    gone = {path.name for pattern in removed() for path in packages.glob(pattern)}
    kept = [path for path in libraries if Path(path).name not in gone]
    told = subprocess.run(["readelf", "-d", *kept], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", told))
    assert any(name.startswith("libcudart.so") for name in needed)
    assert needed & gone == set()


@pytest.mark.slow
def test_the_network_is_converted_and_answers_without_what_the_image_lacks(tmp_path: Path) -> None:
    packages = Path(openvino.__file__).parent.parent
    gone = [path for pattern in removed() for path in packages.glob(pattern)]
    place = tmp_path / "packages"
    shutil.copytree(
        packages / "openvino",
        place / "openvino",
        ignore=lambda folder, names: [name for name in names if Path(folder, name) in gone],
    )
    environ = os.environ | {"PYTHONPATH": f"{place}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, str(tmp_path)], env=environ, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [str(place / "openvino/__init__.py"), "openvino cpu float32"], done.stderr


def test_the_image_runs_the_service_as_a_numbered_user_who_is_not_root() -> None:
    assert [json.loads(value) for value in values("image", "CMD")] == [["inkblot", "serve"]]  # no shell eats SIGTERM
    assert "inkblot" in PYPROJECT["project"]["scripts"]
    (user,) = values("image", "USER")
    number, group = user.split(":")
    assert int(number) > 0
    assert int(group) > 0
    assert any(f"--uid {number} " in command for command in values("image", "RUN"))


def test_the_image_sets_only_settings_that_exist() -> None:
    settings = Settings.from_environ(ours(environment()))
    assert settings.host == "0.0.0.0"
    assert values("image", "EXPOSE") == [str(settings.port)]


def test_the_data_folder_is_the_home_of_the_user_and_compose_keeps_it() -> None:
    folder = Settings.from_environ(ours(environment())).data_dir
    assert any(f"--home-dir {folder} --create-home" in command for command in values("image", "RUN"))
    assert f"data:{folder}" in service(COMPOSE)["volumes"]
    assert "data" in yaml.safe_load(COMPOSE)["volumes"]


def test_models_are_installed_with_the_package() -> None:
    installed = environment()["PYTHONPATH"]
    assert Settings().models_dir == ROOT / "models"
    assert "--chmod=755 models models" in values("code", "COPY")
    assert any(f"--target {installed} " in command for command in values("code", "RUN"))


def test_the_health_check_asks_a_route_that_the_ready_service_answers(client: TestClient) -> None:
    (path,) = re.findall(r"\}(/\w+)\"", healthcheck()[-1])
    assert client.get(path).status_code == 200


def test_the_health_check_tells_ready_from_loading_and_from_gone() -> None:
    with answering(200) as port:
        assert is_healthy(port)
    assert not is_healthy(port)
    with answering(503) as port:
        assert not is_healthy(port)


def test_a_plain_run_of_the_image_does_not_start_without_keys() -> None:
    settings = Settings.from_environ(ours(environment()))
    with pytest.raises(CannotServeError, match=r"INKBLOT_API_KEYS.*INKBLOT_OPEN=yes"):
        check_open(settings)


def test_compose_says_that_it_is_open_since_only_this_machine_reaches_it() -> None:
    check_open(Settings.from_environ(ours(environment() | service(COMPOSE)["environment"])))


def test_compose_opens_the_port_to_this_machine_alone() -> None:
    (port,) = service(COMPOSE)["ports"]
    assert port.startswith("127.0.0.1:")
    assert port.endswith(f":{Settings().port}")
    assert "ports" not in service(COMPOSE_GPU)


def test_compose_locks_the_container_down() -> None:
    locked = service(COMPOSE)
    assert locked["read_only"] is True
    assert locked["cap_drop"] == ["ALL"]
    assert locked["security_opt"] == ["no-new-privileges:true"]
    assert [mount.partition(":")[0] for mount in locked["tmpfs"]] == ["/tmp"]
    assert not {"privileged", "cap_add", "user", "network_mode"} & (locked.keys() | service(COMPOSE_GPU).keys())


def test_compose_builds_without_cuda_and_the_override_with_it() -> None:
    (argument,) = service(COMPOSE)["build"]["args"]
    assert f'{argument}=""' in values("dependencies", "ARG")
    assert service(COMPOSE)["build"]["args"] == {argument: "cpu"}
    assert service(COMPOSE_GPU)["build"]["args"] == {argument: f"${{{argument}:-}}"}
    assert service(COMPOSE)["image"] != service(COMPOSE_GPU)["image"]


def test_the_override_reserves_a_gpu_and_serves_from_it() -> None:
    (device,) = service(COMPOSE_GPU)["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert Settings.from_environ(ours(service(COMPOSE_GPU)["environment"])).device == "cuda"


def test_the_mount_of_weights_works_once_its_comments_are_removed() -> None:
    uncommented = service(re.sub(r"^( +)# (- \./|INKBLOT_[A-Z_]+: )", r"\1\2", COMPOSE, flags=re.MULTILINE))
    folder = Settings.from_environ(uncommented["environment"]).weights_dir
    assert f"./weights:{folder}:ro" in uncommented["volumes"]


@pytest.mark.parametrize("text", [DOCKERFILE, COMPOSE, COMPOSE_GPU], ids=["Dockerfile", "compose", "compose.gpu"])
def test_no_file_names_a_registry_or_an_index(text: str) -> None:
    assert {address for address in re.findall(r"\w+://([\w.]+)", text) if address != "127.0.0.1"} == set()
    assert not re.search(r"index[-_]url|--index\b|--find-links", text, re.IGNORECASE)
    images = re.findall(r"^(?:FROM| +image:) +(\S+)", text, re.MULTILINE)
    assert [image for image in images if "/" in image] == []
