"""A way to a port of this machine that can be closed: what lies behind it is away then, and as it was afterwards."""

import socket
import threading
from contextlib import suppress

from benchmarks.servers import free_port


class Gate:
    """Passes connections on to a port, until it is closed: then they are refused, and those that there are are cut."""

    def __init__(self, target: int) -> None:
        self._target, self.port = target, free_port()
        self._open: set[socket.socket] = set()
        self._door: socket.socket | None = None

    def open(self) -> None:
        self._door = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._door,), daemon=True).start()

    def close(self) -> None:
        if self._door:
            self._door.shutdown(socket.SHUT_RDWR)
            self._door.close()
        for one in tuple(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _serve(self, door: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = door.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                for source, sink in ((near, far), (far, near)):
                    self._open.add(source)
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        self._open.discard(source)
        source.close()
