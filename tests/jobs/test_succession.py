from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from app.jobs.database import Alive, open_engine
from app.jobs.outage import Outage
from app.jobs.queue import JobQueue
from app.jobs.succession import Succession
from app.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(queue: JobQueue, job_settings: Settings) -> Iterator[sa.Engine]:
    """Whose tables are made."""
    engine = open_engine(job_settings.jobs_database, Outage())
    yield engine
    engine.dispose()


_LOCKS = sa.text("SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory'")


def let_go(engine: sa.Engine, lock: Alive) -> None:
    """As a restart of the database does to all locks; the server hears of the end of a line a moment later."""
    held, lock._held = lock._held, None
    held.connection.dbapi_connection.close()
    held.invalidate()
    while _locks(engine):
        pass


def _locks(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        query = f"{_LOCKS} AND d.datname = current_database()"
        return int(connection.scalar(sa.text(query)) or 0)


@pytest.mark.parametrize("job_settings", ["postgres"], indirect=True)
def test_who_only_looks_whether_a_worker_lives_does_not_end_it(engine: sa.Engine) -> None:
    mine, other = Alive(engine, "me"), Alive(engine, "me")
    assert mine.take()
    succession = Succession(engine, mine)
    for _ in range(4):
        let_go(engine, mine)
        assert other.take()
        assert succession.look()
        let_go(engine, other)
        assert succession.look()
        assert not other.take()
    mine.release()


@pytest.mark.parametrize("job_settings", ["postgres"], indirect=True)
def test_a_worker_whose_name_is_anothers_for_good_ends(engine: sa.Engine) -> None:
    mine, other = Alive(engine, "me"), Alive(engine, "me")
    assert mine.take()
    succession = Succession(engine, mine)
    let_go(engine, mine)
    assert other.take()
    assert [succession.look() for _ in range(3)] == [True, True, False]
    other.release()
