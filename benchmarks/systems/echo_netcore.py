"""netcore: a `Protocol` and a `Factory` on `listenTCP`, over asyncio's default loop or uvloop's."""

from __future__ import annotations

from benchmarks.systems.base import ReactorHost
from netcore.protocol import Factory, Protocol
from netcore.reactors import Reactor


class Echo(Protocol):
    """Sends back what it receives."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Server:
    """Listens on a free port of loopback."""

    def __init__(self, loop: str = "asyncio") -> None:
        self._host = ReactorHost(Reactor(loop))

    def start(self) -> dict[str, int]:
        self._host.start()
        port = self._host.call(self._host.reactor.listenTCP, 0, Factory.forProtocol(Echo), 50, "127.0.0.1")
        return {"port": port.getHost().port}

    def stop(self) -> None:
        self._host.stop()
