"""Twisted: a `Protocol` and a `Factory` on `listenTCP`, on the epoll reactor, its own choice on Linux."""

from __future__ import annotations

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory, Protocol

from benchmarks.systems.base import ReactorHost


class Echo(Protocol):  # type: ignore[misc]  # Twisted is not there when types are checked
    """Sends back what it receives."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Server:
    """Listens on a free port of loopback."""

    def __init__(self) -> None:
        self._host = ReactorHost(EPollReactor())

    def start(self) -> dict[str, int]:
        self._host.start()
        port = self._host.call(self._host.reactor.listenTCP, 0, Factory.forProtocol(Echo), 50, "127.0.0.1")
        return {"port": port.getHost().port}

    def stop(self) -> None:
        self._host.stop()
