"""Answers and jobs show themselves in Jupyter."""

import sys
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.client import Client, JobError
from tests.support.http_server import answering
from tests.support.job_streams import END, ENDED, JOB, stream, told


def test_a_prediction_is_shown_as_bars(client: TestClient, dog: bytes) -> None:
    with Client(http=client) as inkblot:
        answer: Any = inkblot.classify(dog, top_k=2)
    shown = answer._repr_html_()
    assert "basenji" in shown
    assert f"{answer['predictions'][0]['score']:.1%}" in shown
    assert shown.count("<tr>") == 2


def test_a_picture_that_is_unknown_is_shown_as_that_first() -> None:
    body = {
        "object": "prediction",
        "predictions": [{"label": "<b>", "display": "<b>", "index": 0, "score": 0.954}],
        "unknown": {"is_unknown": True, "score": 0.97},
    }
    inkblot, _ = answering(httpx2.Response(200, json=body))
    shown = cast("Any", inkblot.classify(b"tulip"))._repr_html_()
    assert shown.index("unknown") < shown.index("&lt;b&gt;")
    assert "97.0%" in shown


def test_lists_are_tables_and_other_answers_their_json(client: TestClient, dog: bytes) -> None:
    with Client(http=client) as inkblot:
        models: Any = inkblot.models()
        layers: Any = inkblot.layers("imagenet")
        explained: Any = inkblot.explain(dog)
        nothing: Any = inkblot.labels("imagenet", search="nosuchclass")
    assert "<td>cats-vs-dogs</td>" in models._repr_html_()
    assert layers._repr_html_().count("<tr>") == len(layers) + 1
    assert explained._repr_html_().startswith("<pre>{")
    assert nothing._repr_html_() == "<p>–</p>"


def test_files_are_shown_as_the_pictures_that_they_are(client: TestClient, dog: bytes, cat: bytes) -> None:
    with Client(http=client) as inkblot:
        png: Any = inkblot.explain_drawn(dog)
        webp: Any = inkblot.explain_drawn(dog, form="webp")
    assert (png._repr_png_(), png._repr_jpeg_(), png._repr_html_()) == (bytes(png), None, None)
    assert (webp._repr_png_(), webp._repr_jpeg_()) == (None, None)
    assert webp._repr_html_().startswith('<img src="data:image/webp;base64,UklGR')
    photo: Any = answering(httpx2.Response(200, content=cat))[0].file("/photo")
    assert photo._repr_jpeg_() == cat


def test_a_job_is_shown_as_its_state_and_what_came_of_it() -> None:
    job = {
        **ENDED,
        "kind": "adversarial_image",
        "progress": {"step": 3, "steps": 8},
        "error": None,
        "result": {
            "before": {"label": "Bernese mountain dog", "score": 0.819},
            "after": {"label": "tabby", "score": 0.989},
            "perturbation": {"linf": "4/255"},
            "verified": {"png": True, "jpeg_q75": False},
            "success": True,
            "hint": None,
        },
        "input": {"target": "tabby"},
    }
    shown = cast("Any", answering(httpx2.Response(200, json=job))[0].job("job_1"))._repr_html_()
    assert "adversarial image <b>succeeded</b>, step 3 of 8" in shown
    assert "Bernese mountain dog (81.9%) → tabby (98.9%), changed by at most 4/255" in shown
    assert "still fools after: png" in shown
    assert "jpeg" not in shown
    failed = {**job, "status": "failed", "result": None, "error": {"title": "No", "detail": "Too few pictures."}}
    assert (
        "Too few pictures." in cast("Any", answering(httpx2.Response(200, json=failed))[0].job("job_1"))._repr_html_()
    )


@pytest.mark.parametrize(
    ("objective", "success", "told"),
    [
        ({"label": "zebra"}, True, "zebra: 3.3% for this network<br>"),
        ({"label": "zebra"}, False, "zebra: 3.3% for this network, which sees hartebeest<br>"),
        ({"layer": "_blocks.10", "channel": 7}, True, "channel 7 of _blocks.10: 0.012 → 0.0333<br>"),
    ],
)
def test_a_drawing_that_failed_does_not_look_fine(objective: dict[str, Any], success: bool, told: str) -> None:
    check = {"model": "efficientnet_lite1", "label": "bustard", "score": 0.183, "agrees": False}
    result = {"success": success, "label": "hartebeest", "png_score": 0.0333, "start_score": 0.012, "checks": [check]}
    job = {**ENDED, "kind": "ideal_image", "progress": None, "error": None}
    job |= {"result": result, "input": {"objective": objective}}
    shown = cast("Any", answering(httpx2.Response(200, json=job))[0].job("job_1"))._repr_html_()
    assert told in shown
    assert "efficientnet_lite1 sees bustard (18.3%)" in shown


def test_an_attack_that_failed_says_what_would_help() -> None:
    result = {
        "before": {"label": "basenji", "score": 0.9},
        "after": {"label": "basenji", "score": 0.5},
        "perturbation": {"linf": "1/255"},
        "verified": {"png": False},
        "success": False,
        "hint": "Allow a larger epsilon.",
    }
    job = {**ENDED, "kind": "adversarial_image", "progress": None, "error": None, "result": result, "input": {}}
    shown = cast("Any", answering(httpx2.Response(200, json=job))[0].job("job_1"))._repr_html_()
    assert "still fools after: nothing<br>Allow a larger epsilon." in shown


def test_the_picture_of_a_job_is_its_main_file() -> None:
    ended = cast(
        "Any", {**ENDED, "kind": "ideal_image", "result": {"files": {"final": "/v1/jobs/job_1/files/final.png"}}}
    )
    client, asked = answering(httpx2.Response(200, content=b"\x89PNG"))
    assert client.drawn(ended) == b"\x89PNG"
    assert asked[0].url.path == "/v1/jobs/job_1/files/final.png"
    with pytest.raises(LookupError):
        client.drawn(cast("Any", {**ENDED, "kind": "model", "result": {"files": {}}}))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a notebook shows, in this order."""
    seen: list[str] = []

    class Handle:
        def update(self, bar: Any) -> None:
            seen.append(bar._repr_html_())

    display = SimpleNamespace(display=lambda *_, **__: Handle())
    jupyter = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()), display=display)
    monkeypatch.setitem(sys.modules, "IPython", cast("Any", jupyter))
    return seen


def test_who_waits_in_a_notebook_sees_a_bar_that_fills(shown: list[str]) -> None:
    queued = told(1, "queued", position=2, eta_s=9.0)
    half = told(2, "progress", step=32, steps=64, score=0.25, loss=None, eta_s=4.0)
    client, _ = answering(stream(queued, half, told(3, "metric", epoch=1), END))
    ended: Any = client.wait(JOB)
    assert ended == ENDED
    assert "_repr_html_" in dir(ended)
    assert [text.rpartition("> ")[2] for text in shown] == [
        "place 2 in the queue, about 9 s",
        "step 32 of 64, 25.0%, 4 s left",
        "succeeded",
    ]
    assert "width:110px" in shown[1]
    assert "width:220px" in shown[2]


def test_a_job_without_a_result_is_an_error_that_says_why(shown: list[str]) -> None:
    client, _ = answering(stream(told(1, "end", status="deleted", job=None)))
    with pytest.raises(JobError, match=r"^The job was deleted\.$"):
        client.wait(JOB)
    assert shown[-1].endswith("deleted")
