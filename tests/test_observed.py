"""A real service, seen from outside: scraped by Prometheus, and traced into a collector."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.client import Client
from app.jobs.workers import Account, workers_seen
from app.tracing import Tracing
from tests.support.collector import Collector, collecting
from tests.support.keys import secret_of, write_keys
from tests.support.paths import INKBLOT, ROOT, SAMPLES
from tests.support.service import free_port, wait_for_process

pytestmark = pytest.mark.slow

DASHBOARD = json.loads((ROOT / "deploy/grafana/inkblot.json").read_text(encoding="utf-8"))
QUICK: dict[str, Any] = {
    "model": "imagenet",
    "objective": {"label": "zebra"},
    "preset": "quick",
    "steps": 3,
    "size": 96,
}
ONLY_ON_A_GPU = {"inkblot_device_memory_bytes", "inkblot_worker_device_memory_bytes"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[str]:
    """A service with keys, metrics and traces, which has answered and done a job."""
    folder = tmp_path_factory.mktemp("observed")
    address = f"http://127.0.0.1:{free_port()}"
    ours = {
        "DATA_DIR": str(folder / "var"),
        "ENGINE": "torch",
        "METRICS": "yes",
        "API_KEYS": str(write_keys(folder / "keys.json")),
    }
    environ = os.environ | {f"INKBLOT_{name}": value for name, value in ours.items()}
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    process = subprocess.Popen([*INKBLOT, "serve", "--port", address.rpartition(":")[2]], cwd=ROOT, env=environ)
    with Client(address, key=secret_of("ayse")) as client:
        wait_for_process(client, process)
        client.classify(SAMPLES / "cat.jpg", model="imagenet")
        assert client.wait(client.draw(**QUICK))["status"] == "succeeded"
        with httpx2.Client(base_url=address, headers={"Authorization": f"Bearer {secret_of('ayse')}"}) as plain:
            assert plain.get("/v1/models/secret-name").status_code == 404
            assert plain.get("/v1/no/such/path").status_code == 404
        yield address
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0


def scraped(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    answer = httpx2.get(f"{url}/metrics", headers={"Authorization": f"Bearer {secret_of('root')}"})
    assert answer.status_code == 200
    return {
        sample.name: [(one.labels, one.value) for one in family.samples if one.name == sample.name]
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_tell_what_was_done_and_no_label_has_values_without_bound(url: str) -> None:
    while True:  # the worker tells its account every five seconds
        found = scraped(url)
        ended = [(labels["kind"], labels["end"], value) for labels, value in found.get("inkblot_jobs_ended_total", [])]
        if ("ideal_image", "succeeded", 1.0) in ended:
            break
        time.sleep(0.2)
    requests = {(one["method"], one["route"], one["status"]): value for one, value in found["inkblot_requests_total"]}
    assert requests["POST", "/v1/classify", "200"] == 1
    assert requests["GET", "/v1/models/{name}", "404"] == 1
    assert requests["GET", "other", "404"] == 1
    assert "secret" not in str(found)
    assert ({"model": "imagenet"}, 1.0) in found["inkblot_batch_pictures_sum"]
    assert {labels["model"] for labels, _ in found["inkblot_request_seconds_count"]} <= {"", "imagenet"}
    ((_, steps),) = found["inkblot_job_steps_total"]
    assert steps == QUICK["steps"]
    ((_, age),) = found["inkblot_worker_seen_seconds"]
    assert age < 30
    assert found["inkblot_jobs_waiting"] == found["inkblot_jobs_running"] == [({}, 0.0)]
    assert found["inkblot_jobs_database_up"] == [({}, 1.0)]


def test_metrics_are_for_admins_where_there_are_keys(url: str) -> None:
    assert httpx2.get(f"{url}/metrics").status_code == 401
    assert httpx2.get(f"{url}/metrics", headers={"Authorization": f"Bearer {secret_of('ayse')}"}).status_code == 403


def test_a_ready_service_names_nothing_that_does_not_work(url: str) -> None:
    while (body := httpx2.get(f"{url}/readyz").json())["reasons"]:
        assert body["reasons"].keys() == {"worker"}, "which may not have said yet that it lives"
        time.sleep(0.2)


def test_each_metric_of_the_dashboard_exists(url: str) -> None:
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"\b(?:inkblot|process)_\w+", query)}
    assert len(asked) > 12
    assert asked - scraped(url).keys() <= ONLY_ON_A_GPU


def test_prometheus_scrapes_the_service_with_its_key(url: str, tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs Prometheus (apt-get install prometheus)")
    (tmp_path / "key").write_text(secret_of("root"))
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "inkblot",
                "authorization": {"credentials_file": str(tmp_path / "key")},
                "static_configs": [{"targets": [url.removeprefix("http://")]}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # which is YAML, too
    port = free_port()
    options = ["--config.file", tmp_path / "prometheus.yml", "--storage.tsdb.path", tmp_path / "data"]
    process = subprocess.Popen(
        [program, *map(str, options), f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    )
    try:
        query = 'sum(inkblot_requests_total{route="/v1/classify"})'
        found = asked_of_prometheus(f"http://127.0.0.1:{port}", query, process)
        assert found == "1"
        quantile = "count(histogram_quantile(0.5, sum by (le) (inkblot_request_seconds_bucket)))"
        assert asked_of_prometheus(f"http://127.0.0.1:{port}", quantile, process) == "1"
    finally:
        process.terminate()
        process.wait(30)


def asked_of_prometheus(prometheus: str, query: str, process: "subprocess.Popen[bytes]") -> str:
    """Its answer, as soon as it has scraped."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        assert process.poll() is None
        try:
            answer = httpx2.get(f"{prometheus}/api/v1/query", params={"query": query}).json()
        except (httpx2.RequestError, ValueError):
            time.sleep(0.1)
            continue
        if answer.get("data", {}).get("result"):
            value: str = answer["data"]["result"][0]["value"][1]
            return value
        time.sleep(0.1)
    raise AssertionError("Prometheus has scraped nothing.")


def test_a_jobs_spans_join_the_request_that_ordered_it(url: str, collector: Collector) -> None:
    job = collector.wait_for("job ideal_image")
    request = collector.wait_for("POST /v1/ideal-images")
    assert (request.part, job.part) == ("inkblot-service", "inkblot-worker")
    assert (job.trace, job.parent) == (request.trace, request.id)
    for name in ("begin", "run", "files"):
        span = collector.wait_for(name)
        assert (span.trace, span.parent) == (job.trace, job.id)
    assert collector.wait_for("POST /v1/classify").trace != job.trace
    assert not any(re.search("healthz|readyz|metrics", span.name) for span in collector.spans)


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    code = (
        "import sys\nfrom app.main import create_app\n"
        "from app.settings import Settings\nfrom app.tracing import Tracing\n"
        "create_app(Settings()); tracing = Tracing({}, 'service')\n"
        "with tracing.span('nothing'): pass\n"
        "print(tracing.provider, {'opentelemetry.sdk', 'prometheus_client'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "None set()\n"


def test_a_switched_off_sdk_traces_nothing() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
    assert Tracing(environ, "service").provider is None


def test_a_worker_that_ends_is_no_dead_one(tmp_path: Path) -> None:
    from app.jobs.database import migrate, open_engine
    from app.jobs.outage import Outage

    address = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine = open_engine(address, Outage())
    migrate(engine, address)
    migrate(engine, address)
    account = Account(engine, "one", "cpu", lambda: None)
    account.step("a", 3)
    with account.counted("a", "model") as result:
        account.step("a", 5)
        result["status"] = "failed"
    with account.counted("b", "model"):
        account.step("b", 2)
    account.tell()
    account.step("c", 1)
    account.tell()
    (seen,) = workers_seen(engine)
    assert (seen.name, seen.steps, seen.running, seen.ended) == ("one", 7, 0, {"model/failed": 1})
    assert seen.is_alive
    account.leave()
    assert workers_seen(engine) == []
    engine.dispose()
