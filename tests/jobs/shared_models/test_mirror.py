import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from app.jobs.files import StorageDownError
from app.jobs.shared_models.mirror import ModelMirror
from app.jobs.shared_models.store import ModelStore, OvertakenError, Stored
from app.main import create_app
from app.settings import Settings
from app.vision.models.model_folder import EXAMPLES, HEAD, ModelExistsError, file_of, publish
from app.vision.models.repository import ModelRepository, UnknownModelError
from app.wiring import repository_for
from tests.support.answers import finished, label_of, teach
from tests.support.models import RECORD, files
from tests.support.paths import ROOT
from tests.support.pictures import shape, shapes, zipped
from tests.support.service import wait_until_ready

pytestmark = pytest.mark.slow

Mirror = Callable[[str], ModelMirror]


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


@pytest.fixture
def store(bucket: Path) -> ModelStore:
    return ModelStore(bucket.as_uri())


@pytest.fixture
def machine(tmp_path: Path, bucket: Path) -> Mirror:
    """A mirror of a machine of this name, in a folder of that name."""
    return lambda name: ModelMirror(tmp_path / name, ModelStore(bucket.as_uri()))


def models_of(folder: Path, mirror: ModelMirror | None = None) -> ModelRepository:
    device = torch.device("cpu")
    return ModelRepository([ROOT / "models"], weights_dir=None, device=device, trained_dir=folder, shared=mirror)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stored_in(bucket: Path) -> list[str]:
    """Uploads without what tells them apart."""
    paths = [str(path.relative_to(bucket / "models")) for path in bucket.glob("models/*/**/*") if path.is_file()]
    return sorted(re.sub(r"-[0-9a-f]+/", "/", path) for path in paths)


def an_hour_passes(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 4000,) * 2)


def record_of(folder: Path, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / name / "model.json").read_text())
    return record


def test_what_one_machine_publishes_is_copied_whole_to_the_others(tmp_path: Path, machine: Mirror) -> None:
    one, other = machine("one"), machine("other")
    contents = {**files(), EXAMPLES: b"remembered"}
    assert one.publish("shapes", RECORD, contents, replace=False) == 1
    other.pull()
    for folder in (tmp_path / "one", tmp_path / "other"):
        assert names_in(folder) == ["shapes"], "no draft is left"
        assert record_of(folder, "shapes") == {"version": 1, **RECORD}
        for name, data in contents.items():
            assert (folder / "shapes" / "v1" / name).read_bytes() == data
    assert models_of(tmp_path / "other").load("shapes").card.is_trained


def test_a_model_that_is_not_here_is_found_when_it_is_asked_for(tmp_path: Path, machine: Mirror) -> None:
    models = models_of(tmp_path / "other", machine("other"))
    with pytest.raises(UnknownModelError):
        models.card("shapes")
    machine("one").publish("shapes", RECORD, files(), replace=False)
    assert models.card("shapes").version == 1
    assert models.labels("shapes").find("red").index == 0
    models.delete("shapes")
    with pytest.raises(UnknownModelError):
        models.delete("shapes")
    machine("one").publish("shapes", RECORD, files(), replace=False)
    models.delete("shapes")  # without having seen it


def test_the_list_of_models_is_not_old(tmp_path: Path, machine: Mirror) -> None:
    models = models_of(tmp_path / "other", machine("other"))
    machine("one").publish("shapes", RECORD, files(), replace=False)
    assert "shapes" in [card.name for card in models.cards()]


def test_a_replacement_reaches_the_others_and_the_version_before_stays_for_its_readers(
    tmp_path: Path, machine: Mirror, bucket: Path
) -> None:
    one, other = machine("one"), machine("other")
    for version in (1, 2, 3):
        assert one.publish("shapes", RECORD, files(version), replace=True) == version
        other.pull()
        models = models_of(tmp_path / "other")
        assert models.card("shapes").version == version
        path = models.file("shapes", HEAD)
        assert path
        assert path.read_bytes() == files(version)[HEAD]
    assert names_in(tmp_path / "other" / "shapes") == ["model.json", "origin.json", "v2", "v3"]
    card = tmp_path / "other" / "shapes" / "model.json"
    assert file_of(card, 2, HEAD).read_bytes() == files(2)[HEAD]
    assert len(stored_in(bucket)) == 1 + 3 * 2
    an_hour_passes(bucket)
    machine("third").pull()
    assert stored_in(bucket) == [
        "shapes/model.json",
        "shapes/v3/head.safetensors",
        "shapes/v3/labels.json",
    ]


def test_what_is_up_to_date_costs_one_look_at_the_list_and_is_not_written_again(
    tmp_path: Path, machine: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machine("one"), machine("other")
    for _ in range(2):
        one.publish("shapes", RECORD, files(), replace=True)
        other.pull()
    monkeypatch.delattr(ModelStore, "get")
    cards = [tmp_path / name / "shapes" / "model.json" for name in ("one", "other")]
    before = [card.stat().st_mtime_ns for card in cards]
    for mirror in (one, other, machine("other")):
        mirror.pull()
    assert [card.stat().st_mtime_ns for card in cards] == before


def test_a_deleted_model_goes_everywhere_and_whoever_has_it_goes_on(
    tmp_path: Path, machine: Mirror, bucket: Path
) -> None:
    one, other = machine("one"), machine("other")
    one.publish("shapes", RECORD, files(), replace=False)
    models = models_of(tmp_path / "other", other)
    loaded = models.load("shapes")
    one.delete("shapes")
    assert stored_in(bucket) == names_in(tmp_path / "one") == []
    models.refresh()
    assert models.loaded("shapes") is None
    assert loaded.head(torch.ones(1, 1280)).isfinite().all()
    assert names_in(tmp_path / "other") == []
    one.delete("shapes")  # somebody else was quicker


def test_deleting_what_is_deleted_leaves_what_is_being_uploaded(machine: Mirror, bucket: Path) -> None:
    one, other = machine("one"), machine("other")
    one.publish("shapes", RECORD, files(), replace=False)
    other.pull()
    one.delete("shapes")
    uploaded = bucket / "models" / "shapes" / "v1-0123456789ab" / HEAD
    uploaded.parent.mkdir(parents=True)
    uploaded.write_bytes(b"of another model; its card comes next")
    other.delete("shapes")
    assert uploaded.is_file()


def test_another_model_under_the_name_of_a_deleted_one_is_noticed(tmp_path: Path, machine: Mirror) -> None:
    one, other = machine("one"), machine("other")
    one.publish("shapes", RECORD, files(), replace=False)
    other.pull()
    one.delete("shapes")
    one.publish("shapes", RECORD, files(1), replace=False)
    other.pull()
    assert names_in(tmp_path / "other" / "shapes") == ["model.json", "origin.json", "v1"]
    assert (tmp_path / "other" / "shapes" / "v1" / HEAD).read_bytes() == files(1)[HEAD]


def test_of_many_machines_that_publish_one_name_exactly_one_wins(tmp_path: Path, machine: Mirror, bucket: Path) -> None:
    together, contents = threading.Barrier(6), [files(seed) for seed in range(6)]

    def try_to(seed: int) -> int | None:
        mirror = machine(f"machine-{seed}")
        together.wait()
        try:
            mirror.publish("shapes", {**RECORD, "seed": seed}, contents[seed], replace=False)
        except ModelExistsError:
            return None
        return seed

    with ThreadPoolExecutor(6) as pool:
        (winner,) = [seed for seed in pool.map(try_to, range(6)) if seed is not None]
    assert stored_in(bucket) == ["shapes/model.json", "shapes/v1/head.safetensors", "shapes/v1/labels.json"]
    for seed in range(6):
        machine(f"machine-{seed}").pull()
        folder = tmp_path / f"machine-{seed}"
        assert record_of(folder, "shapes")["seed"] == winner
        assert (folder / "shapes" / "v1" / HEAD).read_bytes() == contents[winner][HEAD]


def test_a_name_that_is_taken_on_another_machine_only_is_refused(tmp_path: Path, machine: Mirror, bucket: Path) -> None:
    machine("one").publish("shapes", RECORD, files(), replace=False)
    before = stored_in(bucket)
    with pytest.raises(ModelExistsError):
        machine("other").publish("shapes", RECORD, files(1), replace=False)
    assert stored_in(bucket) == before


def test_a_card_that_was_replaced_meanwhile_is_not_overwritten(store: ModelStore, bucket: Path) -> None:
    first = store.publish("shapes", RECORD, files(), replace=False)
    second = store.publish("shapes", RECORD, files(1), replace=True)
    before = stored_in(bucket)
    with pytest.raises(OvertakenError):
        store.upload("shapes", RECORD, files(2), version=2, before=first.stamp)
    assert stored_in(bucket) == before
    assert store.get("shapes") == second


def test_a_push_that_was_killed_is_no_model_and_neither_in_the_way_nor_kept(
    tmp_path: Path, machine: Mirror, bucket: Path
) -> None:
    left = bucket / "models" / "shapes" / "v1-0123456789ab"
    left.mkdir(parents=True)
    (left / HEAD).write_bytes(b"of a process that was killed before it wrote the card")
    machine("one").pull()
    assert not (tmp_path / "one").exists() or names_in(tmp_path / "one") == []
    machine("two").publish("shapes", RECORD, files(), replace=False)
    machine("one").pull()
    assert (tmp_path / "one" / "shapes" / "v1" / HEAD).read_bytes() == files()[HEAD]
    assert (left / HEAD).exists(), "it may still be going on"
    an_hour_passes(bucket)
    machine("one").pull()
    assert not (left / HEAD).exists()
    assert len(stored_in(bucket)) == 3


def test_what_is_published_while_a_pull_looks_is_not_taken_for_deleted(
    tmp_path: Path, machine: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine("one")
    one.publish("shapes", RECORD, files(), replace=False)
    monkeypatch.setattr(ModelStore, "e_tags", lambda _: {})  # the list was made a moment before
    one.pull()
    assert names_in(tmp_path / "one") == ["shapes"]


def test_a_copy_that_takes_long_does_not_replace_a_newer_one(
    tmp_path: Path, machine: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, slow, quick = machine("one"), machine("other"), machine("other")
    one.publish("shapes", RECORD, files(), replace=False)
    download = ModelStore.download

    def slowly(store: ModelStore, name: str, stored: Stored, into: Path) -> None:
        download(store, name, stored, into)
        if stored.version == 1:
            one.publish("shapes", RECORD, files(1), replace=True)
            quick.pull()

    monkeypatch.setattr(ModelStore, "download", slowly)
    slow.pull()
    assert record_of(tmp_path / "other", "shapes")["version"] == 2
    assert names_in(tmp_path / "other" / "shapes") == ["model.json", "origin.json", "v2"]


def test_a_large_model_on_its_way_holds_up_nobody_who_publishes_another(
    machine: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machine("one"), machine("other")
    one.publish("large", RECORD, files(), replace=False)
    download, entered, gate = ModelStore.download, threading.Event(), threading.Event()

    def slowly(store: ModelStore, name: str, stored: Stored, into: Path) -> None:
        entered.set()
        assert gate.wait(60)
        download(store, name, stored, into)

    monkeypatch.setattr(ModelStore, "download", slowly)
    with ThreadPoolExecutor(2) as pool:
        pulling = pool.submit(other.pull)
        assert entered.wait(60)
        try:
            assert pool.submit(other.publish, "small", RECORD, files(1), replace=False).result(60) == 1
        finally:
            gate.set()
        pulling.result(60)


def test_of_two_replacements_the_newer_one_is_kept_here_whichever_is_copied_first(
    tmp_path: Path, machine: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machine("one"), machine("other")
    publish = ModelStore.publish

    def overtaken(store: ModelStore, name: str, *rest: Any, replace: bool) -> Stored:
        stored = publish(store, name, *rest, replace=replace)
        if stored.version == 1:
            other.publish(name, *rest, replace=True)
            one.pull()
        return stored

    monkeypatch.setattr(ModelStore, "publish", overtaken)
    assert one.publish("shapes", RECORD, files(), replace=True) == 1
    assert record_of(tmp_path / "one", "shapes")["version"] == 2


def test_a_copy_that_has_forgotten_whose_it_is_is_no_other_model(tmp_path: Path, machine: Mirror) -> None:
    one = machine("one")
    one.publish("shapes", RECORD, files(), replace=False)
    (tmp_path / "one" / "shapes" / "origin.json").unlink()  # as after a kill while it was brought to the store
    one.pull()
    assert names_in(tmp_path / "one") == ["shapes"]
    assert (tmp_path / "one" / "shapes" / "origin.json").is_file()


def test_a_broken_folder_here_does_not_stop_the_others(tmp_path: Path, machine: Mirror, bucket: Path) -> None:
    for name in ("a", "z"):
        (tmp_path / "one" / name).mkdir(parents=True)
        (tmp_path / "one" / name / "model.json").write_text("not json")
    publish(tmp_path / "one", "mine", RECORD, files())
    machine("other").publish("shapes", RECORD, files(), replace=False)
    machine("one").pull()
    assert names_in(tmp_path / "one") == ["a", "mine", "shapes", "z"]
    assert sorted(path.name for path in (bucket / "models").iterdir() if path.is_dir()) == ["mine", "shapes"]


@pytest.mark.parametrize(
    "card",
    [
        b"not json",
        b"[]",
        b"[" * 100_000,
        json.dumps({**RECORD, "version": 1}).encode(),
        json.dumps({**RECORD, "version": 1, "files": []}).encode(),
        json.dumps({**RECORD, "version": 1, "files": ["v1-0a/../../../evil"]}).encode(),
        json.dumps({**RECORD, "version": 1, "files": ["v1-0a/head.safetensors"]}).encode(),
        json.dumps({**RECORD, "version": 1, "files": [7]}).encode(),
        json.dumps({**RECORD, "version": 1, "files": ["model.json"]}).encode(),
    ],
)
def test_a_broken_entry_is_logged_once_and_does_not_stop_the_others(
    tmp_path: Path, machine: Mirror, bucket: Path, card: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (bucket / "models" / "broken").mkdir(parents=True)
    (bucket / "models" / "broken" / "model.json").write_bytes(card)
    (bucket / "models" / "stray").write_bytes(b"")
    machine("one").publish("shapes", RECORD, files(), replace=False)
    other = machine("other")
    with caplog.at_level(logging.WARNING, logger="app.jobs.shared_models.mirror"):
        other.pull()
        other.pull()
    assert names_in(tmp_path / "other") == ["shapes"]
    assert [one for one in caplog.messages if "broken" in one] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_half_deleted_replacement_leaves_the_copy_of_the_version_before(
    tmp_path: Path, machine: Mirror, bucket: Path
) -> None:
    one, other = machine("one"), machine("other")
    one.publish("shapes", RECORD, files(), replace=False)
    other.pull()
    one.publish("shapes", RECORD, files(1), replace=True)
    next(bucket.glob("models/shapes/v2-*")).joinpath(HEAD).unlink()
    other.pull()
    assert models_of(tmp_path / "other").card("shapes").version == 1
    assert models_of(tmp_path / "other").load("shapes")


def test_a_broken_entry_can_be_taught_over(machine: Mirror, bucket: Path) -> None:
    (bucket / "models" / "shapes").mkdir(parents=True)
    (bucket / "models" / "shapes" / "model.json").write_bytes(b"not json")
    assert machine("one").publish("shapes", RECORD, files(), replace=False) == 1


def test_while_the_store_is_away_what_is_here_serves_and_nothing_is_deleted(
    tmp_path: Path, machine: Mirror, bucket: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = machine("other")
    machine("one").publish("shapes", RECORD, files(), replace=False)
    other.pull()
    away = bucket.rename(tmp_path / "away")
    late = machine("other")  # started while it is away
    with caplog.at_level(logging.WARNING, logger="app.jobs.shared_models.mirror"):
        for mirror in (other, late):
            mirror.pull()
            mirror.pull()
            models = models_of(tmp_path / "other", mirror)
            assert models.load("shapes")
            with pytest.raises(UnknownModelError):
                models.card("unknown")
            with pytest.raises(StorageDownError):
                models.delete("shapes")
            assert names_in(tmp_path / "other") == ["shapes"]
        with pytest.raises(StorageDownError):
            late.publish("new", RECORD, files(), replace=False)
    assert len(caplog.messages) == 2, "once each"
    away.rename(bucket)
    late.pull()
    assert names_in(tmp_path / "other") == ["shapes"]
    late.delete("shapes")
    assert names_in(tmp_path / "other") == []


def test_models_from_before_there_was_a_store_are_brought_there_once(
    tmp_path: Path, machine: Mirror, bucket: Path
) -> None:
    publish(tmp_path / "one", "shapes", RECORD, files())
    publish(tmp_path / "one", "shapes", RECORD, files(1), replace=True)
    one, other = machine("one"), machine("other")
    one.pull()
    other.pull()
    assert models_of(tmp_path / "other").card("shapes").version == 2
    assert (tmp_path / "other" / "shapes" / "v2" / HEAD).read_bytes() == files(1)[HEAD]
    other.delete("shapes")
    one.pull()
    assert names_in(tmp_path / "one") == stored_in(bucket) == [], "it does not come back"


def test_processes_of_one_machine_bring_one_model(tmp_path: Path, machine: Mirror, bucket: Path) -> None:
    publish(tmp_path / "one", "shapes", RECORD, files())
    together = threading.Barrier(4)

    def pull(_: int) -> None:
        mirror = machine("one")
        together.wait()
        mirror.pull()
        mirror.pull()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(pull, range(4)))
    assert names_in(tmp_path / "one") == ["shapes"]
    assert len(stored_in(bucket)) == 3


def test_a_model_whose_name_the_store_has_otherwise_goes_on_under_another(tmp_path: Path, machine: Mirror) -> None:
    machine("other").publish("shapes", RECORD, files(), replace=False)
    publish(tmp_path / "one", "shapes", {**RECORD, "licence": "mine"}, files(1))
    one = machine("one")
    one.pull()
    one.pull()
    names = names_in(tmp_path / "one")
    assert names[0] == "shapes"
    assert len(names) == 2
    heads = [(tmp_path / "one" / name / "v1" / HEAD).read_bytes() for name in names]
    assert heads == [files()[HEAD], files(1)[HEAD]]
    machine("other").pull()
    assert names_in(tmp_path / "other") == names


def test_copies_of_another_store_are_not_taken_for_deleted(tmp_path: Path, machine: Mirror) -> None:
    machine("one").publish("shapes", RECORD, files(), replace=False)
    (tmp_path / "new").mkdir()
    store = ModelStore((tmp_path / "new").as_uri())
    ModelMirror(tmp_path / "one", store).pull()
    assert names_in(tmp_path / "one") == ["shapes"]
    assert store.get("shapes")


def test_a_flood_of_unknown_names_asks_the_store_ten_times_a_second(
    tmp_path: Path, machine: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    get = ModelStore.get

    def counted(store: ModelStore, name: str) -> Stored | None:
        asked.append(name)
        return get(store, name)

    monkeypatch.setattr(ModelStore, "get", counted)
    monkeypatch.setattr("app.jobs.shared_models.mirror.time.monotonic", lambda: 1000.0)
    models = models_of(tmp_path / "one", machine("one"))
    for number in range(50):
        with pytest.raises(UnknownModelError):
            models.card(f"unknown-{number}")
    assert len(asked) == 10
    monkeypatch.setattr("app.jobs.shared_models.mirror.time.monotonic", lambda: 1001.0)
    machine("other").publish("shapes", RECORD, files(), replace=False)
    assert models.card("shapes")
    for name in ("efficientnet_lite1", "imagenet", "../shapes"):
        asked.clear()
        with suppress(UnknownModelError):
            models.card(name)
        assert asked == [], "it cannot be there"


@pytest.fixture
def machines(tmp_path: Path, bucket: Path) -> dict[str, Settings]:
    """A service and a worker that share a database and a bucket, and no folder."""
    return {
        name: Settings(
            data_dir=tmp_path / name,
            engine="torch",
            worker="external",
            database_url=f"sqlite:///{tmp_path / 'jobs.sqlite'}",
            files_url=bucket.as_uri(),
        )
        for name in ("service", "worker", "other")
    }


@pytest.fixture
def service(machines: dict[str, Settings], monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr("app.main._FOLLOW_S", 0.1)
    with TestClient(create_app(machines["service"]), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@contextmanager
def worker(settings: Settings) -> Iterator[None]:
    environ = os.environ | settings.environ()
    process = subprocess.Popen([sys.executable, "-m", "app", "worker"], cwd=ROOT, env=environ)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_a_model_that_is_taught_corrected_and_deleted_elsewhere_is_so_here(
    service: TestClient, machines: dict[str, Settings]
) -> None:
    here, there, other = (machines[name].trained_dir for name in ("service", "worker", "other"))
    with worker(machines["worker"]):
        job = teach(service, "shapes", zipped(shapes(4)))
        assert job["status"] == "succeeded", job["error"]
        assert label_of(service, "shapes", shape("red", 50)) == "red"
        assert (here / "shapes" / "v1" / EXAMPLES).read_bytes() == (there / "shapes" / "v1" / EXAMPLES).read_bytes()
        taken = service.post("/v1/models", params={"name": "shapes"}, content=zipped(shapes(4)))
        assert taken.status_code == 409
        repository_for(machines["other"]).refresh()
        assert corrected(service, "red/0.png")["status"] == "succeeded"
    assert until(lambda: service.get("/v1/models/shapes").json()["version"] == 2)
    assert record_of(other, "shapes")["version"] == 1
    with worker(machines["other"]):  # which learns first that its copy is old
        assert corrected(service, "red/1.png")["status"] == "succeeded"
    assert record_of(other, "shapes")["version"] == 3
    assert record_of(other, "shapes")["training"]["counts"] == {"red": 2, "blue": 4}

    repository_for(machines["worker"]).delete("shapes")
    assert until(lambda: classified(service, "shapes") == 404)
    assert until(lambda: names_in(here) == names_in(there) == [])  # it is gone before its files are
    repository_for(machines["other"]).refresh()
    assert names_in(other) == []


def corrected(service: TestClient, picture: str) -> dict[str, Any]:
    """The job that left this picture out, when it has ended."""
    corrections = {"corrections": [{"picture": picture, "label": None}]}
    answer = service.post("/v1/models/shapes/corrections", json=corrections)
    assert answer.status_code == 202, answer.text
    return finished(service, answer.json())


def test_a_model_that_is_deleted_here_is_deleted_everywhere(
    service: TestClient, machines: dict[str, Settings], bucket: Path
) -> None:
    there = repository_for(machines["worker"])
    there.publish("shapes", RECORD, files())
    assert until(lambda: "shapes" in [one["name"] for one in service.get("/v1/models").json()["data"]])
    assert service.delete("/v1/models/shapes").status_code == 204
    there.refresh()
    assert names_in(machines["worker"].trained_dir) == []
    there.publish("shapes", RECORD, files())
    assert service.get("/v1/models/shapes").status_code == 200
    bucket.rename(bucket.with_name("away"))
    refused = service.delete("/v1/models/shapes")
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/storage-down")
    assert str(bucket) not in refused.text
    assert classified(service, "shapes") == 200


def classified(service: TestClient, model: str) -> int:
    return service.post("/v1/classify", params={"model": model}, content=shape("red", 50)).status_code


def until(true: Callable[[], bool], *, seconds: float = 20) -> bool:
    """Asks again and again; the time is only for the case that nothing happens."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if true():
            return True
        time.sleep(0.02)
    return False
