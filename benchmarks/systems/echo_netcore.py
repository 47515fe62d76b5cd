"""netcore: a `Protocol` and a `Factory` on `listenTCP`, over asyncio's default loop or uvloop's."""

from __future__ import annotations

from benchmarks.systems.base import ReactorHost
from benchmarks.systems.certificates import server_context
from netcore.protocol import Factory, Protocol
from netcore.reactors import Reactor


class Echo(Protocol):
    """Sends back what it receives."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Server:
    """Listens on a free port of loopback; with TLS, if it is to be *secure*."""

    def __init__(self, loop: str = "asyncio", secure: bool = False) -> None:
        self._host = ReactorHost(Reactor(loop))
        self._secure = secure

    def start(self) -> dict[str, int]:
        self._host.start()
        reactor, factory, end = self._host.reactor, Factory.forProtocol(Echo), (50, "127.0.0.1")
        if self._secure:
            port = self._host.call(reactor.listenSSL, 0, factory, server_context(), *end)
        else:
            port = self._host.call(reactor.listenTCP, 0, factory, *end)
        return {"port": port.getHost().port}

    def stop(self) -> None:
        self._host.stop()
