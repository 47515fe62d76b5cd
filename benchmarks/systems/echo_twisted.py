"""Twisted: a `Protocol` and a `Factory` on `listenTCP`, on the epoll reactor, its own choice on Linux."""

from __future__ import annotations

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.internet.protocol import Factory, Protocol

from benchmarks.systems.base import ReactorHost
from benchmarks.systems.certificates_twisted import server_options


class Echo(Protocol):  # type: ignore[misc]  # Twisted is not there when types are checked
    """Sends back what it receives."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Server:
    """Listens on a free port of loopback; with TLS, if it is to be *secure*."""

    def __init__(self, secure: bool = False) -> None:
        reactor = EPollReactor()
        installReactor(reactor)  # which its TLS asks for the time
        self._host = ReactorHost(reactor)
        self._secure = secure

    def start(self) -> dict[str, int]:
        self._host.start()
        reactor, factory, end = self._host.reactor, Factory.forProtocol(Echo), (50, "127.0.0.1")
        if self._secure:
            port = self._host.call(reactor.listenSSL, 0, factory, server_options(), *end)
        else:
            port = self._host.call(reactor.listenTCP, 0, factory, *end)
        return {"port": port.getHost().port}

    def stop(self) -> None:
        self._host.stop()
