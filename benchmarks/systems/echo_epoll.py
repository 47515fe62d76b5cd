"""The limit of plain Python: an epoll loop and blocking-free sockets, with nothing that a server would need beside it.

No timers, no buffering (a message that the kernel does not take at once ends the run), no errors, no fairness.
"""

from __future__ import annotations

import os
import select
import socket

from benchmarks import mainthread


class Server:
    """Listens on a free port of loopback."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self._listener.setblocking(False)
        self._end_reader, self._end_writer = os.pipe()

    def start(self) -> dict[str, int]:
        self._ended = mainthread.submit(self._serve)
        return {"port": self._listener.getsockname()[1]}

    def _serve(self) -> None:
        listening, ending = self._listener.fileno(), self._end_reader
        connections: dict[int, socket.socket] = {}
        with select.epoll() as poller:
            poller.register(listening, select.EPOLLIN)
            poller.register(ending, select.EPOLLIN)
            while True:
                for descriptor, _ in poller.poll():
                    if descriptor == listening:
                        connection, _ = self._listener.accept()
                        connection.setblocking(False)
                        connections[connection.fileno()] = connection
                        poller.register(connection.fileno(), select.EPOLLIN)
                    elif descriptor == ending:
                        for connection in connections.values():
                            connection.close()
                        return
                    elif data := connections[descriptor].recv(65536):
                        if connections[descriptor].send(data) != len(data):
                            raise BlockingIOError("the kernel took less than a message")
                    else:
                        poller.unregister(descriptor)
                        connections.pop(descriptor).close()

    def stop(self) -> None:
        os.write(self._end_writer, b"x")
        self._ended.result(10.0)
        self._listener.close()
        os.close(self._end_reader)
        os.close(self._end_writer)
