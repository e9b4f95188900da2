import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.jobs.files import FileStore
from app.jobs.queue import JobQueue, QueueLimits
from app.settings import Settings
from tests.support.paths import ROOT
from tests.support.service import free_port

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/bin")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of our own; skips where there is none to start."""
    found = [path for place in _PLACES for path in Path("/").glob(f"{place[1:]}/initdb")]
    if not found:
        pytest.skip("needs PostgreSQL's initdb and postgres (Debian: postgresql)")
    programs = found[-1].resolve().parent
    folder = tmp_path_factory.mktemp("postgres")
    user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        if not shutil.which("runuser"):
            pytest.skip("needs runuser to start PostgreSQL as another user than root")
        for parent in (folder, *folder.parents):
            if parent.owner() == "root" and parent.is_relative_to(tmp_path_factory.getbasetemp().parent):
                parent.chmod(0o755)
        shutil.chown(folder, "nobody")
        user = ["runuser", "-u", "nobody", "--"]
    data, port = folder / "data", free_port()
    subprocess.run(
        [*user, programs / "initdb", "-D", data, "-U", "inkblot", "-A", "trust"], check=True, capture_output=True
    )
    options = ["-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-c", "fsync=off"]
    with (folder.parent / "postgres.log").open("w") as log:
        server = subprocess.Popen([*user, str(programs / "postgres"), *options], stdout=log, stderr=log)
    ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
    while subprocess.run(ready, check=False, capture_output=True).returncode:
        assert server.poll() is None, (folder.parent / "postgres.log").read_text()
    subprocess.run(
        [str(programs / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "inkblot", "jobs"], check=True
    )
    yield f"postgresql://inkblot@127.0.0.1:{port}/jobs"
    server.terminate()
    server.wait(20)


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
