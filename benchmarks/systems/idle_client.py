"""The client of idle connections: it opens them, leaves them alone, and at the end sends a message over each."""

from __future__ import annotations

import select
import socket

from benchmarks.people import WrongAnswer

ADDRESS = "127.0.0.1"
TIMEOUT = 30.0


class Client:
    """*connections* connections to one server."""

    def __init__(self, connections: int) -> None:
        self._count = connections
        self._connections: dict[int, socket.socket] = {}

    def start(self) -> None:
        pass

    def connect(self, port: int) -> None:
        """Open them all."""
        for _ in range(self._count):
            connection = socket.create_connection((ADDRESS, port), TIMEOUT)
            connection.setblocking(False)
            self._connections[connection.fileno()] = connection

    def echo(self) -> int:
        """Send a message over each, and wait for it to come back. Returns: over how many it came back."""
        with select.epoll() as poller:
            for descriptor, connection in self._connections.items():
                poller.register(descriptor, select.EPOLLIN)
                connection.send(descriptor.to_bytes(4, "big"))
            waiting = set(self._connections)
            while waiting:
                ready = poller.poll(TIMEOUT)
                if not ready:
                    break
                for descriptor, _ in ready:
                    if self._connections[descriptor].recv(64) != descriptor.to_bytes(4, "big"):
                        raise WrongAnswer("a connection was closed, or another message came back than was sent")
                    poller.unregister(descriptor)
                    waiting.discard(descriptor)
        return self._count - len(waiting)

    def disconnect(self) -> None:
        """Close them all."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def stop(self) -> None:
        self.disconnect()
