"""What a reactor makes provides what it declares, as it is while it works."""

from __future__ import annotations

from typing import Any

from zope.interface import providedBy
from zope.interface.verify import verifyObject

from netcore.endpoints import TCP4ClientEndpoint
from netcore.protocol import Factory, Protocol
from netcore.reactors import Reactor


class QuietFactory(Factory[Any]):
    noisy = False
    protocol = Protocol


def test_reactor_port_connector_connection_and_delayed_call() -> None:
    reactor = Reactor()
    seen: dict[str, list[str]] = {}

    def verify(candidate: Any) -> None:
        interfaces = [each for each in providedBy(candidate) if each.__module__.startswith("netcore.")]
        for interface in interfaces:
            assert verifyObject(interface, candidate)
        seen[type(candidate).__name__] = [interface.__name__ for interface in interfaces]

    class Client(Protocol):
        def connectionMade(self) -> None:
            verify(self.transport)

    class ClientMaker(QuietFactory):
        protocol = Client

        def doStart(self) -> None:
            super().doStart()

    def begin() -> None:
        port = reactor.listenTCP(0, QuietFactory(), interface="127.0.0.1")
        verify(port)
        verify(reactor)
        call = reactor.callLater(10, lambda: None)
        verify(call)
        call.cancel()
        connecting = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(ClientMaker())
        attempt = connecting._canceller.__self__
        verify(attempt)
        verify(attempt._connector)
        connecting.addErrback(failed.append)
        connecting.addBoth(lambda _: reactor.stop())

    failed: list[Any] = []
    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    reactor.dispose()
    assert failed == []
    assert seen == {
        "Port": ["IListeningPort"],
        "Reactor": ["IReactorCore", "IReactorTime", "IReactorThreads", "IReactorTCP"],
        "DelayedCall": ["IDelayedCall"],
        "Attempt": ["IProtocolFactory", "ILoggingContext"],
        "Connector": ["IConnector"],
        "Connection": ["ITCPTransport"],
    }
