"""Blocking TCP, for tests that talk to a program of their own from outside."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from asyncdb.testing._waiting import free_port

__all__ = ["TIMEOUT", "Gate", "ask", "free_port"]

TIMEOUT = 30.0


def ask(port: int, question: bytes, half_close: bool = False) -> bytes:
    """Send *question* to a port of the loopback interface, and return what is answered until it closes.

    Args:
        half_close: close our side first, as `nc -N` does at the end of its input.
    """
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.sendall(question)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)


class Gate:
    """A port that leads to another one while it is open; closing it breaks what goes through.

    It stands between a program and a server that the test cannot, or should not, stop.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = free_port()
        self._behind = host, port
        self._server: socket.socket | None = None
        self._passing: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        """Let connections through."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._run(self._accept, self._server)

    def close(self) -> None:
        """Let nothing through, and break the connections there are."""
        for each in (self._server, *self._passing):
            if each is not None:
                try:
                    each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it; close() alone does not
                except OSError:
                    pass
        for thread in self._threads:
            thread.join(TIMEOUT)
        for each in (self._server, *self._passing):
            if each is not None:
                each.close()
        self._server = None
        self._passing.clear()
        self._threads.clear()

    def _run(self, function: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                outer, _ = server.accept()
            except OSError:
                return
            inner = socket.create_connection(self._behind, TIMEOUT)
            inner.settimeout(None)
            self._passing += [outer, inner]
            self._run(self._carry, outer, inner)
            self._run(self._carry, inner, outer)

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
