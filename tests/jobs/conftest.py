import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.jobs.files import FileStore
from app.jobs.job import QueueLimits
from app.jobs.queue import JobQueue
from app.settings import Settings
from tests.support.paths import ROOT
from tests.support.postgres import running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of our own; skips where there is none to start."""
    with running_postgres() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgres"])
def job_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with a database of their own, of either kind."""
    settings = Settings(data_dir=tmp_path, worker="external", engine="torch")
    if request.param == "sqlite":
        return settings
    url: str = request.getfixturevalue("postgres")
    name = f"t{tmp_path.name.lower().encode().hex()[-24:]}"
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return replace(settings, database_url=url.replace("/jobs", f"/{name}"))


@pytest.fixture
def queue(job_settings: Settings) -> Iterator[JobQueue]:
    files = FileStore(job_settings.jobs_files, max_bytes=job_settings.files_max_bytes)
    queue = JobQueue(job_settings.jobs_database, files, QueueLimits(per_client=4, total=6, keep=timedelta(days=7)))
    yield queue
    queue.close()


@pytest.fixture
def start_worker(job_settings: Settings) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts real worker processes; all are killed in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        environ = os.environ | job_settings.environ()
        started.append(subprocess.Popen([sys.executable, "-m", "app", "worker"], cwd=ROOT, env=environ))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(20)
