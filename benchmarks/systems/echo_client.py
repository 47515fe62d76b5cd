"""The client of all echo servers: one epoll loop over plain sockets, in a process of its own."""

from __future__ import annotations

import random
import select
import socket
from time import perf_counter

from benchmarks.people import WrongAnswer

ADDRESS = "127.0.0.1"
TIMEOUT = 30.0
PAYLOADS = 16


class Client:
    """*connections* connections, each with one message of *size* bytes under way: the next is sent when it is back."""

    def __init__(self, connections: int, size: int) -> None:
        draw = random.Random(size)
        self._payloads = [draw.randbytes(size) for _ in range(PAYLOADS)]
        self._count = connections
        self._connections: dict[int, socket.socket] = {}

    def start(self) -> None:
        pass

    def connect(self, port: int) -> None:
        for _ in range(self._count):
            connection = socket.create_connection((ADDRESS, port), TIMEOUT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._payloads[0]) > 65536:  # so that the kernel takes a message at once
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(self._payloads[0]))
            connection = self._begin(connection)
            connection.setblocking(False)
            self._connections[connection.fileno()] = connection

    def _begin(self, connection: socket.socket) -> socket.socket:
        """What is said before messages are."""
        return connection

    def _receive(self, connection: socket.socket, most: int) -> bytes | None:
        """What has come; None if it was not for us."""
        return connection.recv(most)

    def disconnect(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def round(self, operations: int) -> list[float]:
        latencies: list[float] = []
        payloads, connections = self._payloads, self._connections
        size = len(payloads[0])
        sent: dict[int, tuple[bytes, float]] = {}
        partly: dict[int, bytearray] = {}
        left = operations

        def send(descriptor: int) -> None:
            # Neighbours in turn carry different bytes, so a message that went astray or stayed behind is noticed.
            payload = payloads[(descriptor + left) % PAYLOADS]
            sent[descriptor] = payload, perf_counter()
            if connections[descriptor].send(payload) != size:
                raise WrongAnswer("the kernel took less than a message, on a connection with none under way")

        with select.epoll() as poller:
            for descriptor in connections:
                poller.register(descriptor, select.EPOLLIN)
            for descriptor in list(connections)[:operations]:
                send(descriptor)
                left -= 1
            while len(latencies) < operations:
                ready = poller.poll(TIMEOUT)
                if not ready:
                    raise WrongAnswer(f"no message came back within {TIMEOUT:g} s")
                for descriptor, _ in ready:
                    data: bytes | bytearray | None = self._receive(connections[descriptor], max(65536, size))
                    if data is None:
                        continue
                    if not data:
                        raise WrongAnswer("the server closed a connection")
                    payload, began = sent[descriptor]
                    if len(data) < size or partly:
                        whole = partly.setdefault(descriptor, bytearray())
                        whole += data
                        if len(whole) < size:
                            continue
                        data = partly.pop(descriptor)
                    if data != payload:
                        raise WrongAnswer("other bytes came back than were sent")
                    latencies.append(perf_counter() - began)
                    if left:
                        send(descriptor)
                        left -= 1
        return latencies

    def stop(self) -> None:
        self.disconnect()
