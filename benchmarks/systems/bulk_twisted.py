"""Twisted: the same push producer, registered with the transport."""

from __future__ import annotations

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.internet.protocol import Factory, Protocol

from benchmarks.systems.base import ReactorHost
from benchmarks.systems.bulk import ASK, Producer, message
from benchmarks.systems.certificates_twisted import server_options

TEXT = message(16 * 1024)


class Bulk(Protocol):  # type: ignore[misc]  # Twisted is not there when types are checked
    """Sends as many messages as it is asked for."""

    def connectionMade(self) -> None:
        self._producer = Producer(self.transport, TEXT)
        self._asked = b""
        self.transport.registerProducer(self._producer, True)

    def dataReceived(self, data: bytes) -> None:
        self._asked += data
        if len(self._asked) == ASK:
            self._producer.left, self._asked = int.from_bytes(self._asked, "big"), b""
            self._producer.resumeProducing()


class Server:
    """Listens on a free port of loopback; with TLS, if it is to be *secure*."""

    def __init__(self, secure: bool = False) -> None:
        reactor = EPollReactor()
        installReactor(reactor)  # which its TLS asks for the time
        self._host = ReactorHost(reactor)
        self._secure = secure

    def start(self) -> dict[str, int]:
        self._host.start()
        reactor, factory, end = self._host.reactor, Factory.forProtocol(Bulk), (50, "127.0.0.1")
        if self._secure:
            port = self._host.call(reactor.listenSSL, 0, factory, server_options(), *end)
        else:
            port = self._host.call(reactor.listenTCP, 0, factory, *end)
        return {"port": port.getHost().port}

    def stop(self) -> None:
        self._host.stop()
