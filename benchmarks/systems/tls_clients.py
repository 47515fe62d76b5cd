"""The clients of all servers with TLS: those without, on `ssl` sockets; and one that does nothing but shake hands.

The records are as long as the messages, so that nothing is left in the socket's own buffer when one was received.
"""

from __future__ import annotations

import socket
import ssl
from time import perf_counter

from benchmarks.people import WrongAnswer
from benchmarks.systems import bulk_client, echo_client
from benchmarks.systems.certificates import client_context


class Echo(echo_client.Client):
    """As that, with TLS."""

    def start(self) -> None:
        self._context = client_context()

    def _begin(self, connection: socket.socket) -> socket.socket:
        return self._context.wrap_socket(connection)

    def _receive(self, connection: socket.socket, most: int) -> bytes | None:
        try:
            return connection.recv(most)
        except ssl.SSLWantReadError:  # a ticket for the next session
            return None


class Bulk(bulk_client.Client):
    """As that, with TLS."""

    def start(self) -> None:
        self._context = client_context()

    def _begin(self, connection: socket.socket) -> socket.socket:
        return self._context.wrap_socket(connection)

    def _receive_into(self, connection: socket.socket, buffer: bytearray) -> int | None:
        try:
            return connection.recv_into(buffer)
        except ssl.SSLWantReadError:
            return None


class Handshakes:
    """Connects, shakes hands (in full: no session is taken up again), and leaves; one at a time.

    *connections* and *size* mean nothing here.
    """

    def __init__(self, connections: int, size: int) -> None:
        self._context = client_context()

    def start(self) -> None:
        pass

    def connect(self, port: int) -> None:
        self._port = port

    def disconnect(self) -> None:
        pass

    def round(self, operations: int) -> list[float]:
        latencies = []
        for _ in range(operations):
            began = perf_counter()
            connection = socket.create_connection((echo_client.ADDRESS, self._port), echo_client.TIMEOUT)
            with connection, self._context.wrap_socket(connection) as secure:
                secure.sendall(b"x")
                if secure.recv(1) != b"x":
                    raise WrongAnswer("another byte came back than was sent")
            latencies.append(perf_counter() - began)
        return latencies

    def stop(self) -> None:
        pass
