"""What a queue costs that many jobs wait in: milliseconds of each call against the number of jobs that wait.

`python -m benchmarks.waiting_jobs` fills the tables of SQLite and of PostgreSQL (Debian: postgresql) with copies of one
accepted job, a tenth of them of one client, and half as many that have ended. No worker runs.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import sqlalchemy as sa

from app.jobs.database import open_engine
from app.jobs.files import FileStore
from app.jobs.job import Order, QueueLimits
from app.jobs.outage import Outage
from app.jobs.queue import JobQueue
from app.jobs.tables import Tables
from benchmarks.postgres import Postgres

DEPTHS: Final = (1, 10, 100, 1_000, 10_000, 100_000)
_ROUNDS: Final = 7
_ORDER: Final = Order(client="one", kind="ideal_image", flavour="quick", input={"model": "imagenet"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    parser.add_argument("--database", choices=("sqlite", "postgres"), nargs="+", default=("sqlite", "postgres"))
    choices = parser.parse_args()
    for name in choices.database:
        print(
            f"{name:>9}  waiting" + "".join(f"{call:>10}" for call in ("submit", "get last", "list", "depth", "events"))
        )
        for depth in choices.depths:
            with database(name) as url, TemporaryDirectory() as folder:
                row = measured(url, Path(folder), depth)
                print(f"{name:>9} {depth:>8}" + "".join(f"{ms:>10.1f}" for ms in row), flush=True)


@contextmanager
def database(name: str) -> Iterator[str]:
    if name == "sqlite":
        with TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/jobs.sqlite"
        return
    server = Postgres()
    try:
        yield server.url
    finally:
        server.remove()


def measured(url: str, folder: Path, depth: int) -> list[float]:
    """Milliseconds, medians: to hand in a job, to look at the last in the queue, to list a client's, to count, and to
    poll the events of ten.
    """
    files = FileStore(str(folder), max_bytes=10**9)
    queue = JobQueue(url, files, QueueLimits(total=10**9, per_client=10**9, keep=timedelta(days=7)))
    try:
        first = queue.submit(_ORDER).id
        fill(url, first, depth)
        last = queue.submit(_ORDER).id
        some = {first: 0, last: 0} | {f"waiting_{number}": 0 for number in range(8)}
        tables = Tables(open_engine(url, Outage()))
        calls: list[Callable[[], object]] = [
            lambda: queue.submit(_ORDER),
            lambda: queue.get(last),
            lambda: queue.list("one", limit=20),
            tables.depth,
            lambda: queue.events(some),
        ]
        return [median_ms(call) for call in calls]
    finally:
        queue.close()


def fill(url: str, template: str, depth: int) -> None:
    """Copies of a job that waits, each of which counts as younger, and half as many that have succeeded."""
    engine = open_engine(url, Outage())
    schema = "" if url.startswith("sqlite") else "dbos."
    with engine.begin() as connection:
        columns = [
            column["name"]
            for column in sa.inspect(connection).get_columns("workflow_status", schema=schema[:-1] or None)
        ]
        fixed = {"workflow_uuid", "authenticated_user", "status", "completed_at", "created_at", "priority", "output"}
        copied = ", ".join(f'"{name}"' for name in columns if name not in fixed)
        insert = sa.text(
            f"INSERT INTO {schema}workflow_status "
            f"(workflow_uuid, authenticated_user, status, completed_at, created_at, priority, {copied}) "
            f"SELECT :id, :client, :status, :ended, created_at + :number, priority + :number, {copied} "
            f"FROM {schema}workflow_status WHERE workflow_uuid = :template"
        )
        common = {"template": template}
        ended = {"status": "CANCELLED", "ended": int(time.time() * 1e3), "number": 0}
        rows: list[dict[str, object]] = []
        for n in range(depth):
            client = "one" if n % 10 == 0 else f"client-{n % 97}"
            rows.append({"id": f"waiting_{n}", "client": client, "status": "ENQUEUED", "ended": None, "number": n})
            if n % 2:
                rows.append({"id": f"ended_{n}", "client": client, **ended})
        connection.execute(insert, [row | common for row in rows])
        inputs = f"INSERT INTO {schema}workflow_input (workflow_uuid, inputs) SELECT workflow_uuid, "
        inputs += f"(SELECT inputs FROM {schema}workflow_input WHERE workflow_uuid = :template) "
        inputs += f"FROM {schema}workflow_status WHERE workflow_uuid <> :template"
        connection.execute(sa.text(inputs), common)
    with engine.connect() as connection:
        connection.execute(sa.text("ANALYZE"))
    engine.dispose()


def median_ms(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
        if sum(seconds) > 20:  # slow enough to say so
            break
    return statistics.median(seconds) * 1e3


if __name__ == "__main__":
    main()
