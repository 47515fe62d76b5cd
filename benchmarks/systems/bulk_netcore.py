"""netcore: a push producer, registered with the transport."""

from __future__ import annotations

from benchmarks.systems.base import ReactorHost
from benchmarks.systems.bulk import ASK, Producer, message
from benchmarks.systems.certificates import server_context
from netcore.protocol import Factory, Protocol
from netcore.reactors import Reactor

TEXT = message(16 * 1024)


class Bulk(Protocol):
    """Sends as many messages as it is asked for."""

    def connectionMade(self) -> None:
        self._producer = Producer(self.transport, TEXT)
        self._asked = b""
        self.transport.registerProducer(self._producer, True)  # type: ignore[attr-defined]  # TCP's transports have it

    def dataReceived(self, data: bytes) -> None:
        self._asked += data
        if len(self._asked) == ASK:
            self._producer.left, self._asked = int.from_bytes(self._asked, "big"), b""
            self._producer.resumeProducing()


class Server:
    """Listens on a free port of loopback; with TLS, if it is to be *secure*."""

    def __init__(self, loop: str = "asyncio", secure: bool = False) -> None:
        self._host = ReactorHost(Reactor(loop))
        self._secure = secure

    def start(self) -> dict[str, int]:
        self._host.start()
        reactor, factory, end = self._host.reactor, Factory.forProtocol(Bulk), (50, "127.0.0.1")
        if self._secure:
            port = self._host.call(reactor.listenSSL, 0, factory, server_context(), *end)
        else:
            port = self._host.call(reactor.listenTCP, 0, factory, *end)
        return {"port": port.getHost().port}

    def stop(self) -> None:
        self._host.stop()
