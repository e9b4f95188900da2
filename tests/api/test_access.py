"""Every route of the application before every kind of key."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.access import scopes_of
from app.main import create_app
from app.settings import Settings
from app.vision.models.repository import ModelRepository
from tests.support.keys import OWNERS, bearing, write_keys
from tests.support.models import write_model
from tests.support.pictures import shapes, zipped
from tests.support.service import wait_until_ready

pytestmark = pytest.mark.slow

OPEN: Final = ""
EACH: Final = "predict jobs teach"
NEEDED: Final = {
    ("GET", "/"): OPEN,
    ("GET", "/docs"): OPEN,
    ("GET", "/page"): OPEN,
    ("GET", "/samples"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/problems/{slug}"): OPEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): "admin",
    ("GET", "/v1/privacy"): OPEN,
    ("GET", "/v2/health/live"): OPEN,
    ("GET", "/v2/health/ready"): OPEN,
    ("POST", "/v1/classify"): "predict",
    ("POST", "/v1/feature-maps"): "predict",
    ("POST", "/v1/features"): "predict",
    ("POST", "/v1/explanations"): "predict",
    ("POST", "/v1/neighbors"): "predict",
    ("POST", "/v1/stability"): "predict",
    ("GET", "/v1/models"): EACH,
    ("GET", "/v1/models/{name}"): EACH,
    ("GET", "/v1/models/{name}/labels"): EACH,
    ("GET", "/v1/models/{name}/layers"): EACH,
    ("GET", "/v1/backbones"): EACH,
    ("POST", "/v1/models"): "teach",
    ("POST", "/v1/models/{name}/corrections"): "teach",
    ("DELETE", "/v1/models/{name}"): "teach",
    ("GET", "/v1/models/{name}/export"): "teach",
    ("POST", "/v1/ideal-images"): "jobs",
    ("POST", "/v1/adversarial-images"): "jobs",
    ("POST", "/v1/evaluations"): "jobs",
    ("GET", "/v1/jobs"): "jobs teach",
    ("GET", "/v1/jobs/{job_id}"): "jobs teach",
    ("DELETE", "/v1/jobs/{job_id}"): "jobs teach",
    ("POST", "/v1/jobs/{job_id}/cancel"): "jobs teach",
    ("GET", "/v1/jobs/{job_id}/events"): "jobs teach",
    ("GET", "/v1/jobs/{job_id}/files/{name}"): "jobs teach",
    ("GET", "/v2"): EACH,
    ("GET", "/v2/models/{name}"): EACH,
    ("GET", "/v2/models/{name}/ready"): EACH,
    ("GET", "/v2/models/{name}/versions/{version}"): EACH,
    ("GET", "/v2/models/{name}/versions/{version}/ready"): EACH,
    ("POST", "/v2/models/{name}/infer"): "predict",
    ("POST", "/v2/models/{name}/versions/{version}/infer"): "predict",
    ("POST", "/hf/models/{name}"): "predict",
}
"""Which scopes are enough, decided for each route by hand; a new one must be decided here, too."""
ROUTES: Final = sorted(NEEDED)
PARTS: Final = {"{slug}": "gone", "{version}": "1"}
SAFE: Final = ("X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy", "X-Request-Id")
QUICK: Final = {"model": "imagenet", "objective": {"label": "zebra"}, "preset": "quick", "steps": 3, "seed": 1}


def every_route(app: FastAPI) -> set[tuple[str, str]]:
    found = set()
    for route in app.routes:
        contexts: Any = getattr(route, "effective_route_contexts", lambda route=route: [route])
        for one in contexts():
            methods = (getattr(one, "methods", None) or {"GET"}) - {"HEAD"}
            found |= {(method, one.path) for method in methods}
    return found


@pytest.fixture(scope="module")
def keyed(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with keys, in which ayse has a model of her own."""
    folder = tmp_path_factory.mktemp("keyed")
    keys = write_keys(folder / "keys.json")
    own = replace(settings, data_dir=folder / "var", api_keys=keys, key_requests=0, metrics="yes")
    write_model(own.trained_dir, "hers", owner="ayse")
    write_model(own.trained_dir, "shared")
    with TestClient(create_app(own), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def her_job(keyed: TestClient) -> str:
    answer = keyed.post("/v1/ideal-images", json=QUICK, headers=bearing("ayse"))
    assert answer.status_code == 202, answer.text
    identity: str = answer.json()["id"]
    return identity


def at(template: str, *, job: str, model: str) -> str:
    parts = {**PARTS, "{job_id}": job}
    for part, value in parts.items():
        template = template.replace(part, value)
    return template.replace("/files/{name}", "/files/final.png").replace("{name}", model)


def body_of(method: str, template: str, cat: bytes) -> dict[str, Any]:
    """What the route can take, so that nothing but the key decides."""
    if method != "POST":
        return {}
    if template.endswith("/infer"):
        pixels = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 224, 224], "data": [0.5] * (3 * 224 * 224)}
        return {"json": {"inputs": [pixels]}}
    if template.endswith("corrections"):
        return {"json": {"corrections": [{"picture": "a/1.png", "label": "a"}]}}
    if template == "/v1/ideal-images":
        return {"json": QUICK}
    return {"content": b"" if template == "/v1/models" or "/jobs/" in template else cat}


def problem_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


def test_every_route_is_decided_here_and_in_the_table_of_the_service(keyed: TestClient) -> None:
    assert every_route(keyed.app) == set(NEEDED)  # type: ignore[arg-type]
    for (method, path), scopes in NEEDED.items():
        assert scopes_of(method, path) == tuple(scopes.split()), path


def test_the_contract_names_the_scopes_and_the_refusals(keyed: TestClient) -> None:
    schema = keyed.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            scopes = NEEDED[method.upper(), path].split()
            assert operation.get("security") == ([{"key": scopes}, {}] if scopes else None)
            assert ("401" in operation["responses"]) == ("429" in operation["responses"] and bool(scopes))


@pytest.mark.parametrize(("method", "template"), ROUTES)
@pytest.mark.parametrize("who", ["nobody", "a stranger", *OWNERS])
def test_a_route_lets_in_those_who_may_and_nobody_else(
    keyed: TestClient, cat: bytes, method: str, template: str, who: str
) -> None:
    path = at(template, job="job_0", model="nothing") + ("/" if template in {"/docs", "/page", "/samples"} else "")
    headers = {"nobody": {}, "a stranger": bearing("mallory")}.get(who, bearing(who))
    with keyed.stream(method, path, headers=headers, **body_of(method, template, cat)) as answer:
        answer.read()
        assert all(name in answer.headers for name in SAFE)
        scopes = NEEDED[method, template].split()
        if not scopes:
            assert answer.status_code in {200, 404}
        elif who not in OWNERS:
            assert problem_of(answer) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == (who != "nobody")
        elif "admin" in OWNERS[who] or set(OWNERS[who]) & set(scopes):
            assert answer.status_code not in {401, 403, 405, 429, 500}
        else:
            assert problem_of(answer) == (403, "forbidden")
            assert f'scope="{" ".join(scopes)}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("method", "template"), [one for one in ROUTES if "{job_id}" in one[1]])
def test_anothers_job_is_as_one_that_there_is_not(
    keyed: TestClient, her_job: str, method: str, template: str, cat: bytes
) -> None:
    answers = []
    for identity in (her_job, "job_" + "0" * 24):
        answer = keyed.request(method, at(template, job=identity, model=""), headers=bearing("bora"))
        assert problem_of(answer) == (404, "unknown-job")
        answers.append({**answer.json(), "detail": answer.json()["detail"].replace(identity, ""), "request_id": ""})
    assert answers[0] == answers[1]
    assert keyed.get(f"/v1/jobs/{her_job}", headers=bearing("ayse")).json()["status"] == "queued"


@pytest.mark.parametrize(("method", "template"), [one for one in ROUTES if "/models/{name}" in one[1]])
def test_anothers_model_is_as_one_that_there_is_not(keyed: TestClient, method: str, template: str, cat: bytes) -> None:
    path = at(template, job="", model="hers")
    answer = keyed.request(method, path, headers=bearing("bora"), **body_of(method, template, cat))
    assert problem_of(answer) == (404, "unknown-model")
    assert "hers" not in (answer.json().get("suggestions") or [])
    assert keyed.get("/v1/models/hers", headers=bearing("ayse")).status_code == 200


@pytest.mark.parametrize("path", ["classify", "feature-maps", "features", "explanations", "adversarial-images"])
def test_anothers_model_cannot_be_chosen(keyed: TestClient, cat: bytes, path: str) -> None:
    answer = keyed.post(f"/v1/{path}", params={"model": "hers"}, content=cat, headers=bearing("bora"))
    assert problem_of(answer) == (404, "unknown-model")


@pytest.mark.parametrize("choice", [{"model": "hers"}, {"model": "imagenet", "compare": "hers"}])
def test_anothers_model_cannot_be_evaluated(keyed: TestClient, choice: Mapping[str, str]) -> None:
    answer = keyed.post("/v1/evaluations", params=choice, content=zipped(shapes()), headers=bearing("bora"))
    assert problem_of(answer) == (404, "unknown-model")


@pytest.mark.parametrize("choice", [{"model": "hers"}, {"model": None, "models": ["imagenet", "hers"]}])
def test_anothers_model_cannot_be_drawn_with(keyed: TestClient, choice: Mapping[str, Any]) -> None:
    answer = keyed.post("/v1/ideal-images", json={**QUICK, **choice}, headers=bearing("bora"))
    assert problem_of(answer) == (404, "unknown-model")


def test_a_loaded_model_of_another_is_unknown_too(keyed: TestClient, cat: bytes) -> None:
    hers = {"params": {"model": "hers"}, "content": cat}
    assert keyed.post("/v1/classify", headers=bearing("ayse"), **hers).status_code == 200  # type: ignore[arg-type]
    answer = keyed.post("/v1/classify", headers=bearing("bora"), **hers)  # type: ignore[arg-type]
    assert problem_of(answer) == (404, "unknown-model")
    assert keyed.post("/v1/classify", headers=bearing("root"), **hers).status_code == 200  # type: ignore[arg-type]


def test_lists_hold_ones_own_and_an_admin_sees_all(keyed: TestClient, her_job: str) -> None:
    models = {
        who: {one["name"] for one in keyed.get("/v1/models", headers=bearing(who)).json()["data"]}
        for who in ("ayse", "bora", "root")
    }
    assert models["ayse"] == models["root"]
    assert models["ayse"] - models["bora"] == {"hers"}
    assert "shared" in models["bora"]
    jobs = {who: {one["id"] for one in keyed.get("/v1/jobs", headers=bearing(who)).json()["data"]} for who in models}
    assert her_job in jobs["ayse"]
    assert her_job in jobs["root"]
    assert her_job not in jobs["bora"]
    assert keyed.get(f"/v1/jobs/{her_job}", headers=bearing("root")).status_code == 200


def test_what_is_for_everybody_is_changed_by_admins_alone(keyed: TestClient, settings: Settings) -> None:
    answer = keyed.delete("/v1/models/shared", headers=bearing("bora"))
    assert problem_of(answer) == (403, "forbidden")
    assert "everybody" in answer.json()["detail"]
    corrections = {"corrections": [{"picture": "a/1.png", "label": "a"}]}
    refused = keyed.post("/v1/models/shared/corrections", json=corrections, headers=bearing("bora"))
    assert problem_of(refused) == (403, "forbidden")


@pytest.mark.parametrize("replacing", ["true", "false"])
def test_anothers_name_is_taken(keyed: TestClient, replacing: str) -> None:
    params = {"name": "hers", "replace": replacing}
    answer = keyed.post("/v1/models", params=params, content=b"", headers=bearing("bora"))
    assert problem_of(answer) == (409, "model-exists")


def test_ids_near_anothers_lead_nowhere(keyed: TestClient, her_job: str) -> None:
    """Whatever is tried with the id of somebody else's job, no answer tells more than for one that there is not."""
    dice = random.Random(15)
    tries = [her_job.upper(), f"{her_job}/", f"%6aob_{her_job[4:]}", f"x/../{her_job}", f"./{her_job}", f"{her_job}%00"]
    tries += [f"{her_job}/{part}" for part in ("files", "events/", "cancel", "files/preview.webp")]
    for _ in range(200):
        letters = list(her_job)
        letters[dice.randrange(len(letters))] = dice.choice("0123456789abcdef%./")
        tries.append("".join(letters))
    for one in tries:
        for method in ("GET", "DELETE", "POST"):
            answer = keyed.request(method, f"/v1/jobs/{one}", headers=bearing("bora"), follow_redirects=True)
            assert answer.status_code in {404, 405, 422}, one
            assert "zebra" not in answer.text
    assert keyed.get(f"/v1/jobs/{her_job}", headers=bearing("ayse")).json()["status"] == "queued"


def test_a_path_that_there_is_not_is_told_so_and_no_scope_is_asked_for(keyed: TestClient) -> None:
    assert problem_of(keyed.get("/v1/nothing", headers=bearing("predict"))) == (404, "not-found")
    assert problem_of(keyed.get("/v1/nothing", headers=bearing("root"))) == (404, "not-found")
    assert problem_of(keyed.get("/v1/nothing")) == (401, "unauthorized")
    assert problem_of(keyed.put("/v1/models", headers=bearing("predict"))) == (405, "method-not-allowed")


@pytest.mark.parametrize("given", ["Basic YTpi", "Bearer", "Bearer  ", "bearer ink_ayse ink_ayse", "Bearer \u00e9"])
def test_a_header_that_is_no_key_opens_nothing(keyed: TestClient, given: str) -> None:
    answer = keyed.get("/v1/models", headers={b"Authorization": given.encode()})
    assert problem_of(answer) == (401, "unauthorized")


def test_the_scheme_is_written_as_one_likes(keyed: TestClient) -> None:
    assert keyed.get("/v1/models", headers={"Authorization": "bEARER ink_ayse"}).status_code == 200


def test_a_service_without_keys_looks_at_none(client: TestClient) -> None:
    assert client.get("/v1/models", headers=bearing("mallory")).status_code == 200


def test_every_kind_of_answer_has_the_safety_headers(
    keyed: TestClient, her_job: str, cat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hers = bearing("ayse")
    tag = keyed.get(f"/v1/jobs/{her_job}", headers=hers).headers["ETag"]

    def broken(self: ModelRepository) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(ModelRepository, "cards", broken)
        failed = keyed.get("/v1/models", headers=hers)
    asked: dict[int, Any] = {
        500: failed,
        304: keyed.get(f"/v1/jobs/{her_job}", headers={**hers, "If-None-Match": tag}),
        200: keyed.post("/v1/classify", content=cat, headers=hers),
        401: keyed.get("/v1/models"),
        403: keyed.get("/v1/models/nothing/export", headers=bearing("predict")),
        404: keyed.get("/v1/jobs/job_0", headers=hers),
        405: keyed.put("/v1/models", headers=hers),
        406: keyed.get("/v1/models", headers={**hers, "Accept": "text/html"}),
        413: keyed.post("/v1/ideal-images", content=b" " * 100_000, headers=hers),
        421: keyed.get("/v1/models", headers={**hers, "Host": "evil.example"}),
        422: keyed.post("/v1/ideal-images", json={}, headers=hers),
    }
    for status, answer in asked.items():
        assert answer.status_code == status
    with keyed.stream("GET", f"/v1/jobs/{her_job}/events", headers={**hers, "Accept": "application/json"}) as events:
        events.read()
        asked[0] = events
    for path in ("/", "/page/app.js", "/samples/cat.jpg", "/docs/", "/openapi.json", "/problems/gone"):
        asked[-len(asked)] = keyed.get(path)
    for answer in asked.values():
        assert {name: answer.headers.get(name) is not None for name in SAFE} == dict.fromkeys(SAFE, True)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    foreign = keyed.delete("/v1/models/hers", headers={**hers, "Origin": "https://evil.example"})
    assert problem_of(foreign) == (403, "foreign-origin")
    assert all(name in foreign.headers for name in SAFE)


def test_the_lines_of_the_matrix_are_counted(keyed: TestClient) -> None:
    """So that nobody empties it unnoticed."""
    assert len(ROUTES) * (len(OWNERS) + 2) >= 300
    assert json.loads(keyed.get("/openapi.json").text)["paths"].keys() <= {path for _, path in ROUTES}
