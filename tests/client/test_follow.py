"""A job is followed to its end, whatever happens to the line."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import httpx2
import pytest

from app.client import Client, JobEvent, NoServerError, ProblemError
from tests.support.clock import Clock
from tests.support.http_server import answering, problem, send, serving
from tests.support.job_streams import END, ENDED, JOB, broken, stream, told


def names(events: Iterator[JobEvent]) -> list[str]:
    return [event["event"] for event in events]


def resumed(asked: list[httpx2.Request]) -> list[str]:
    return [request.headers["Last-Event-ID"] for request in asked]


@pytest.mark.parametrize("cut", [stream, broken])
def test_a_line_that_ends_too_soon_is_taken_up_where_it_ended_after_a_pause(
    cut: Callable[..., httpx2.Response], clock: Clock
) -> None:
    client, asked = answering(cut(told(1, "started"), told(2), "event: prog"), stream(told(3), END))
    assert names(client.follow(JOB)) == ["started", "progress", "progress", "end"]
    assert resumed(asked) == ["0", "2"]
    assert clock.pauses == [0.1]


def test_a_service_that_says_come_again_is_asked_again(clock: Clock) -> None:
    leaving = stream(told(1, "started"), ": the service ends; come again\n\n")
    client, asked = answering(leaving, stream(told(2), END))
    assert names(client.follow(JOB)) == ["started", "progress", "end"]
    assert resumed(asked) == ["0", "1"]
    assert clock.pauses == [0.1]


def test_a_restart_of_the_service_is_survived(clock: Clock) -> None:
    asked: list[str] = []

    def answer(*blocks: str) -> Callable[[BaseHTTPRequestHandler], None]:
        def handle(request: BaseHTTPRequestHandler) -> None:
            asked.append(request.headers["Last-Event-ID"])
            send(request, "".join(blocks).encode(), 200, **{"Content-Type": "text/event-stream"})

        return handle

    with serving(answer(told(1, "started"))) as url:
        client = Client(url)
        events = client.follow(JOB)
        assert next(events)["event"] == "started"
    with ExitStack() as restarted:
        again = serving(answer(END), port=urlsplit(url).port or 0)
        clock.at_pause[3] = lambda: restarted.enter_context(again)
        assert names(events) == ["end"]
    client.close()
    assert asked == ["0", "1"]
    assert clock.pauses == [0.1, 0.2, 0.4]


def test_a_service_that_stays_away_is_given_up_after_a_minute_of_growing_pauses(nobody: str, clock: Clock) -> None:
    with Client(nobody) as client, pytest.raises(NoServerError, match="No Inkblot answers at"):
        list(client.follow(JOB))
    assert clock.pauses[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert set(clock.pauses[6:]) == {2.0}
    assert 55 < clock.now <= 60


def test_a_stream_that_tells_nothing_is_given_up_after_a_minute(clock: Clock) -> None:
    client, _ = answering(stream())
    with pytest.raises(NoServerError, match="breaks again and again"):
        list(client.follow(JOB))
    assert 55 < clock.now <= 60


@pytest.mark.parametrize("sign", [told(1), ": ping\n\n"])
def test_every_sign_of_life_starts_the_minute_anew(sign: str, clock: Clock) -> None:
    client, asked = answering(*[stream()] * 25, stream(sign), *[stream()] * 25, stream(END))
    assert names(client.follow(JOB))[-1] == "end"
    assert len(asked) == 52
    assert clock.now > 60
    assert clock.pauses[25] == 0.1


def test_a_problem_is_the_services_own_word_at_once(clock: Clock) -> None:
    client, asked = answering(stream(told(1)), problem("gone", 410))
    with pytest.raises(ProblemError) as caught:
        list(client.follow(JOB))
    assert caught.value.slug == "gone"
    assert len(asked) == 2
    assert clock.pauses == [0.1]
    client, asked = answering(problem("internal", 500))
    with pytest.raises(ProblemError):
        list(client.follow(JOB))
    assert len(asked) == 1


def test_comes_again_when_the_service_says(clock: Clock) -> None:
    client, asked = answering(stream(told(1)), problem("storage-down", 503, "5"), stream(END))
    assert names(client.follow(JOB)) == ["progress", "end"]
    assert resumed(asked) == ["0", "1", "1"]
    assert clock.pauses == [0.1, 5]


def test_does_not_wait_for_a_service_that_wants_more_than_a_minute(clock: Clock) -> None:
    client, asked = answering(problem("storage-down", 503, "3600"))
    with pytest.raises(ProblemError) as caught:
        list(client.follow(JOB))
    assert caught.value.retry_after == 3600
    assert len(asked) == 1
    assert clock.pauses == []


def test_a_proxy_that_cannot_reach_the_service_is_waited_for(clock: Clock) -> None:
    client, _ = answering(httpx2.Response(502, html="<h1>Bad Gateway</h1>"), stream(END))
    assert names(client.follow(JOB)) == ["end"]
    assert clock.pauses == [0.1]


def test_what_is_no_inkblot_is_told_at_once(clock: Clock) -> None:
    client, asked = answering(httpx2.Response(404, html="<h1>Not Found</h1>"))
    with pytest.raises(NoServerError, match="is no Inkblot: it said 404 Not Found"):
        list(client.follow(JOB))
    assert len(asked) == 1
    assert clock.pauses == []


def test_where_nothing_more_comes_the_end_is_told_as_the_service_would(clock: Clock) -> None:
    client, asked = answering(stream(told(1)), httpx2.Response(204), httpx2.Response(200, json=ENDED))
    assert list(client.follow(JOB)) == [
        {"event": "progress", "data": {}},
        {"event": "end", "data": {"status": "succeeded", "job": ENDED}},
    ]
    assert [request.url.path for request in asked[1:]] == ["/v1/jobs/job_1/events", "/v1/jobs/job_1"]
    assert clock.pauses == [0.1]


def test_a_listener_who_leaves_closes_the_line(clock: Clock) -> None:
    client, _ = answering(answer := stream(told(1), told(2)))
    for _ in client.follow(JOB):
        break
    assert answer.is_closed
    assert clock.pauses == []
