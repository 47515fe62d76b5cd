"""netcore: a push producer, registered with the transport."""

from __future__ import annotations

from benchmarks.systems.base import ReactorHost
from benchmarks.systems.bulk import ASK, Producer, message
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
    """Listens on a free port of loopback."""

    def __init__(self, loop: str = "asyncio") -> None:
        self._host = ReactorHost(Reactor(loop))

    def start(self) -> dict[str, int]:
        self._host.start()
        port = self._host.call(self._host.reactor.listenTCP, 0, Factory.forProtocol(Bulk), 50, "127.0.0.1")
        return {"port": port.getHost().port}

    def stop(self) -> None:
        self._host.stop()
