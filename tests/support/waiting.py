"""Waits for events of jobs, never for a time."""

import time
from collections.abc import Callable

from app.jobs.job import Event, Job
from app.jobs.queue import JobQueue


def wait_until(queue: JobQueue, job: Job, done: Callable[[Job, list[Event]], bool], *, seconds: float = 90) -> Job:
    """Looks again and again; the time is only for the case that nothing happens."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        now, events = queue.get(job.id), list(queue.events({job.id: 0})[job.id][1])
        if done(now, events):
            return now
        time.sleep(0.02)
    raise AssertionError(f"{job.id} is {now.status} after {seconds} s: {[event.name for event in events]}")


def ended(job: Job, _events: list[Event]) -> bool:
    return job.status.is_final


def started_twice(_job: Job, events: list[Event]) -> bool:
    return sum(event.name == "started" for event in events) == 2
