"""A PostgreSQL server of our own, which can be frozen, stopped and started again."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.servers import free_port

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/bin")


class Postgres:
    """In a folder of its own that its user can reach; raises `FileNotFoundError` where there is none to start."""

    def __init__(self) -> None:
        found = [path for place in _PLACES for path in Path("/").glob(f"{place[1:]}/initdb")]
        if not found:
            raise FileNotFoundError("needs PostgreSQL's initdb and postgres (Debian: postgresql)")
        self._programs = found[-1].resolve().parent
        self._folder, self._port = Path(mkdtemp(prefix="postgres-")), free_port()
        self._data, self._said = self._folder / "data", self._folder / "log"
        self._user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        if self._user:
            shutil.chown(self._folder, self._user)
        initdb = [str(self._programs / "initdb"), "-D", str(self._data), "-U", "inkblot", "-A", "trust"]
        subprocess.run(initdb, check=True, capture_output=True, user=self._user)
        self.start()
        address = ["-h", "127.0.0.1", "-p", str(self._port), "-U", "inkblot"]
        subprocess.run([str(self._programs / "createdb"), *address, "jobs"], check=True)

    @property
    def url(self) -> str:
        return f"postgresql://inkblot@127.0.0.1:{self._port}/jobs"

    def start(self) -> None:
        options = ["-D", str(self._data), "-p", str(self._port), "-k", str(self._folder), "-h", "127.0.0.1"]
        with self._said.open("a") as log:
            command = [str(self._programs / "postgres"), *options, "-c", "fsync=off"]
            self._server = subprocess.Popen(command, stdout=log, stderr=log, user=self._user)
        ready = [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self._port), "-t", "1"]
        while subprocess.run(ready, check=False, capture_output=True).returncode:
            assert self._server.poll() is None, self._said.read_text()

    def stop(self) -> None:
        """At once: who is connected is cut off."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(60)

    def remove(self) -> None:
        self.thaw()
        self.stop()
        shutil.rmtree(self._folder)

    def freeze(self) -> None:
        """All of it: connections are taken by the kernel, and nothing is answered."""
        for process in self._processes():
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._processes():
            os.kill(process, signal.SIGCONT)

    def _processes(self) -> list[int]:
        """The first, and all that it started."""
        first = self._server.pid
        found = [first]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
            if parent == first:
                found.append(int(stat.parent.name))
        return found
