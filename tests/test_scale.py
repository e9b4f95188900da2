"""What deploys it to many machines, held to the code: the compose file, the proxy's file, and Kubernetes' manifests."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sa
import yaml  # type: ignore[import-untyped]

from app.api.metrics import Metrics
from app.jobs.database import migrate, open_engine
from app.jobs.outage import Outage
from app.settings import PREFIX, Settings
from tests.support.paths import ROOT
from tests.support.postgres import running_postgres

COMPOSE = yaml.safe_load((ROOT / "docker-compose.scale.yml").read_text())
CADDYFILE = ROOT / "deploy/proxy/Caddyfile"
KUBERNETES = ROOT / "deploy/kubernetes"
OWN_KINDS = {"ScaledObject", "Kustomization"}
"""Of KEDA and of kustomize, for which Kubernetes has no schema."""

Manifest = dict[str, Any]


def kustomization(folder: str) -> Manifest:
    return read(KUBERNETES / folder / "kustomization.yaml")[0]


def read(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def manifests() -> Iterator[Manifest]:
    """All of the base, as its kustomization names them."""
    for name in kustomization("base")["resources"]:
        yield from read(KUBERNETES / "base" / name)


def one(kind: str, name: str) -> Manifest:
    (found,) = (each for each in manifests() if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def workloads() -> list[Manifest]:
    return [each for each in manifests() if each["kind"] in {"Deployment", "StatefulSet"}]


def container(workload: Manifest) -> Manifest:
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(found)


def literals(folder: str) -> dict[str, str]:
    (generated,) = kustomization(folder)["configMapGenerator"]
    return dict(each.split("=", 1) for each in generated["literals"])


def ours(variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(PREFIX)}


def test_each_file_of_the_base_is_named_and_is_what_kubernetes_takes() -> None:
    files = {path.name for path in (KUBERNETES / "base").iterdir()} - {"kustomization.yaml"}
    assert files == set(kustomization("base")["resources"])
    for manifest in manifests():
        if manifest["kind"] not in OWN_KINDS:
            kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_seen() -> None:
    wrong = one("Deployment", "inkblot-api")
    wrong["spec"]["template"]["spec"]["readOnlyRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.31", strict=True)


def test_what_selects_finds_its_pods() -> None:
    labels = {each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in workloads()}
    for workload in workloads():
        assert workload["spec"]["selector"]["matchLabels"] == labels[workload["metadata"]["name"]]
    selectors = [one("Service", "inkblot")["spec"]["selector"], one("Service", "inkblot-worker")["spec"]["selector"]]
    for manifest in manifests():
        if manifest["kind"] == "PodDisruptionBudget":
            selectors.append(manifest["spec"]["selector"]["matchLabels"])
        if manifest["kind"] == "NetworkPolicy":
            selectors.append(manifest["spec"]["podSelector"]["matchLabels"])
    for selector in selectors:
        assert any(selector.items() <= of_pod.items() for of_pod in labels.values()), selector


def test_what_scales_names_a_workload_that_sets_no_number_itself() -> None:
    targets = [
        (each["spec"]["scaleTargetRef"]["kind"], each["spec"]["scaleTargetRef"]["name"])
        for each in manifests()
        if "scaleTargetRef" in each.get("spec", {})
    ]
    assert sorted(targets) == sorted((each["kind"], each["metadata"]["name"]) for each in workloads())
    assert [each for each in workloads() if "replicas" in each["spec"]] == []


@pytest.mark.parametrize("folder", ["base", "gpu", "observed"])
def test_the_environment_has_only_settings_that_exist(folder: str) -> None:
    settings = Settings.from_environ(ours(literals("base") | literals(folder)))
    assert settings.worker == "external"
    assert settings.files_url == "s3://inkblot"
    secret = set(re.findall(rf"({PREFIX}\w+)=", (KUBERNETES / "base/kustomization.yaml").read_text()))
    assert secret <= {PREFIX + name.upper() for name in vars(Settings())}


def test_kubernetes_itself_sets_none_of_our_names() -> None:
    """For a Service named inkblot it would set INKBLOT_PORT=tcp://…, and the start refuses that."""
    assert all(each["spec"]["template"]["spec"]["enableServiceLinks"] is False for each in workloads())


def test_the_pods_are_locked_down_as_the_image_is_made() -> None:
    user = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for workload in workloads():
        pod = workload["spec"]["template"]["spec"]
        assert [str(pod["securityContext"]["runAsUser"])] == user
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        locked = container(workload)["securityContext"]
        assert (locked["readOnlyRootFilesystem"], locked["allowPrivilegeEscalation"]) == (True, False)
        assert locked["capabilities"] == {"drop": ["ALL"]}
        written = {each["mountPath"] for each in container(workload)["volumeMounts"] if not each.get("readOnly")}
        assert written == {"/var/lib/inkblot", "/tmp"}


def test_the_keys_lie_where_the_setting_says() -> None:
    keys = Path(literals("base")["INKBLOT_API_KEYS"])
    for workload in workloads():
        (mount,) = (each for each in container(workload)["volumeMounts"] if each["name"] == "keys")
        assert mount["mountPath"] == str(keys.parent)
    assert f"--from-file={keys.name}=" in (KUBERNETES / "base/kustomization.yaml").read_text()


def test_a_pod_is_given_the_time_that_it_needs_to_end() -> None:
    for workload in workloads():
        assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 5 + 40
    assert container(one("Deployment", "inkblot-api"))["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]


def test_a_worker_is_wanted_for_each_so_many_jobs_as_one_runs_at_once() -> None:
    (trigger,) = one("ScaledObject", "inkblot-worker")["spec"]["triggers"]
    assert trigger["metadata"]["targetQueryValue"] == str(Settings().jobs_running)
    assert trigger["metadata"]["connectionFromEnv"] == "INKBLOT_DATABASE_URL"


def test_the_gpus_patches_change_what_is_there() -> None:
    for patch in kustomization("gpu")["patches"]:
        workload = one(patch["target"]["kind"], patch["target"]["name"])
        steps: Any = read(KUBERNETES / "gpu" / patch["path"])[0]
        for step in steps:
            *parents, last = step["path"].lstrip("/").split("/")
            place: Any = workload
            for name in parents:
                place = place[int(name) if name.isdigit() else name]
            assert step["op"] == ("replace" if last in place else "add")
    assert Settings.from_environ(ours(literals("gpu"))).device == "cuda"


def test_services_are_scaled_by_a_metric_that_they_have() -> None:
    steps: Any = read(KUBERNETES / "observed/waiting.yaml")[0]
    (step,) = steps
    metrics = Metrics(["imagenet"])
    metrics.watch(lambda: 3, lambda: None)
    assert f"\n{step['value']['pods']['metric']['name']} 3.0\n" in metrics.text(None).decode()
    scaled = one("HorizontalPodAutoscaler", "inkblot-api")
    scaled["spec"]["metrics"].append(step["value"])
    kubernetes_validate.validate(scaled, "1.31", strict=True)
    assert Settings.from_environ(ours(literals("observed"))).metrics == "yes"


@pytest.mark.slow
def test_the_jobs_that_scale_workers_are_counted_in_the_real_tables() -> None:
    (trigger,) = one("ScaledObject", "inkblot-worker")["spec"]["triggers"]
    with running_postgres() as postgres:
        engine = open_engine(postgres.url, Outage())
        migrate(engine, postgres.url)
        with engine.connect() as connection:
            assert connection.execute(sa.text(trigger["metadata"]["query"])).scalar_one() == 0
        engine.dispose()


def test_the_compose_file_has_only_settings_that_exist() -> None:
    for name in ("inkblot", "worker"):
        variables = {key: re.sub(r"\$\{\w+(?::[-?][^}]*)?\}", "x", value) for key, value in environment(name).items()}
        settings = Settings.from_environ(ours(variables))
        assert settings.worker == "external"
        assert settings.database_url == "postgresql://inkblot:x@database:5432/inkblot"
    assert {"services", "networks", "volumes"} < COMPOSE.keys()


def environment(service: str) -> dict[str, str]:
    return dict(COMPOSE["services"][service]["environment"])


def test_only_the_proxy_is_published_and_to_this_machine_alone() -> None:
    published = {name: each["ports"] for name, each in COMPOSE["services"].items() if "ports" in each}
    assert list(published) == ["proxy"]
    assert all(port.startswith("127.0.0.1:") for port in published["proxy"])
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    outside = [name for name, each in COMPOSE["services"].items() if "outside" in each["networks"]]
    assert outside == ["proxy"]


def test_every_volume_and_every_service_that_is_named_is_there() -> None:
    services = COMPOSE["services"]
    for each in services.values():
        assert set(each.get("depends_on", ())) <= services.keys()
        for volume in each.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    assert services["inkblot"]["deploy"]["replicas"] == 2
    assert services["worker"]["deploy"]["replicas"] == 3


def test_the_bucket_that_is_made_is_the_one_that_is_used() -> None:
    made = "\n".join(COMPOSE["services"]["bucket"]["command"])
    bucket = environment("worker")["INKBLOT_FILES_URL"].removeprefix("s3://")
    assert f"s3.bucket.create -name {bucket}'" in made
    assert f"-access_key {environment('worker')['AWS_ACCESS_KEY_ID']} " in made


def test_the_proxy_takes_its_file() -> None:
    if shutil.which("caddy") is None:
        pytest.skip("needs caddy (Debian: caddy)")
    command = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
