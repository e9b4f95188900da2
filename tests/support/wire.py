"""A line to a server that is cut where a test wants it: at what a client is about to say, or before the answer."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

Cut = Callable[[bytes, bytes], bool]
"""Of what is being said, and of all that was said before on the same connection."""


def never(_said: bytes, _before: bytes) -> bool:
    return False


class Wire:
    """Passes connections on to a port of this machine. Use it in a `with`.

    A connection of which `before` holds is cut before the server hears what is said; one of which `after` holds is cut,
    too, but the server hears it as soon as `late` is set. `cuts` counts both.
    """

    def __init__(self, target: int) -> None:
        self.before: Cut = never
        self.after: Cut = never
        self.late = threading.Event()
        self.cuts = 0
        self._target = target
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._door, *self._open):
            _end(one)

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._door.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += (near, far)
                for talk in (self._ask, self._answer):
                    threading.Thread(target=talk, args=(near, far), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket) -> None:
        earlier = b""
        with suppress(OSError):
            while said := near.recv(1 << 20):
                if self.before(said, earlier):
                    self.cuts += 1
                    break
                if self.after(said, earlier):
                    self.cuts += 1
                    _end(near)
                    self.late.wait(60)
                    far.sendall(said)
                    break
                far.sendall(said)
                earlier += said
        with suppress(OSError):
            far.shutdown(socket.SHUT_WR)  # the server reads to the end
        _end(near)

    def _answer(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while told := far.recv(1 << 20):
                near.sendall(told)
        _end(near)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
