"""The client of all bulk servers: it asks for so many messages on each connection, and reads them as they come."""

from __future__ import annotations

import select
import socket
from time import perf_counter

from benchmarks.people import WrongAnswer
from benchmarks.systems.bulk import message

ADDRESS = "127.0.0.1"
TIMEOUT = 30.0


class Client:
    """*connections* connections, on each of which the server sends messages of *size* bytes, as many as are asked for.

    What came is compared with what was to come, byte by byte.
    """

    def __init__(self, connections: int, size: int) -> None:
        self._size = size
        self._count = connections
        self._connections: list[socket.socket] = []

    def start(self) -> None:
        pass

    def connect(self, port: int) -> None:
        for _ in range(self._count):
            connection = socket.create_connection((ADDRESS, port), TIMEOUT)
            connection = self._begin(connection)
            connection.setblocking(False)
            self._connections.append(connection)

    def _begin(self, connection: socket.socket) -> socket.socket:
        """What is said before anything is asked for."""
        return connection

    def _receive_into(self, connection: socket.socket, buffer: bytearray) -> int | None:
        """How many bytes have come; None if they were not for us."""
        return connection.recv_into(buffer)

    def disconnect(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def round(self, operations: int) -> list[float]:
        """Returns for each message how long it was after the one before on its connection."""
        size = self._size
        twice = memoryview(message(size) * 2)  # any piece of the stream, up to a message long, is in it
        latencies: list[float] = []
        left: dict[int, int] = {}
        places: dict[int, int] = {}
        last: dict[int, float] = {}
        connections = {connection.fileno(): connection for connection in self._connections}
        buffer = bytearray(size)
        with select.epoll() as poller:
            for number, (descriptor, connection) in enumerate(connections.items()):
                share = operations // len(connections) + (number < operations % len(connections))
                if share:
                    connection.sendall(share.to_bytes(8, "big"))
                    poller.register(descriptor, select.EPOLLIN)
                    left[descriptor], places[descriptor], last[descriptor] = share * size, 0, perf_counter()
            while left:
                ready = poller.poll(TIMEOUT)
                if not ready:
                    raise WrongAnswer(f"nothing came within {TIMEOUT:g} s")
                for descriptor, _ in ready:
                    received = self._receive_into(connections[descriptor], buffer)
                    if received is None:
                        continue
                    if not received:
                        raise WrongAnswer("the server closed a connection")
                    place = places[descriptor]
                    if memoryview(buffer)[:received] != twice[place : place + received]:
                        raise WrongAnswer("other bytes came than were to be sent")
                    if place + received >= size:
                        now = perf_counter()
                        latencies.append(now - last[descriptor])
                        last[descriptor] = now
                    places[descriptor] = (place + received) % size
                    left[descriptor] -= received
                    if left[descriptor] < 0:
                        raise WrongAnswer("more came than was asked for")
                    if not left[descriptor]:
                        poller.unregister(descriptor)
                        del left[descriptor]
        return latencies

    def stop(self) -> None:
        self.disconnect()
