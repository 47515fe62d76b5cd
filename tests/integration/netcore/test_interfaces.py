"""What a reactor makes provides what it declares, as it is while it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zope.interface import providedBy
from zope.interface.verify import verifyObject

from netcore.defer import Deferred, gatherResults
from netcore.endpoints import TCP4ClientEndpoint
from netcore.protocol import ConnectedDatagramProtocol, DatagramProtocol, Factory, ProcessProtocol, Protocol
from netcore.reactors import Reactor
from netcore.stdio import StandardIO


class QuietFactory(Factory[Any]):
    noisy = False
    protocol = Protocol


class QuietDatagrams(DatagramProtocol):
    noisy = False


class QuietConnected(ConnectedDatagramProtocol):
    noisy = False


def test_reactor_ports_connector_connection_and_delayed_call(tmp_path: Path) -> None:
    reactor = Reactor()
    seen: dict[str, list[str]] = {}

    def verify(candidate: Any) -> None:
        interfaces = [each for each in providedBy(candidate) if each.__module__.startswith("netcore.")]
        for interface in interfaces:
            assert verifyObject(interface, candidate)
        kind = type(candidate)
        seen[kind.__module__.rpartition(".")[2] + "." + kind.__name__] = [each.__name__ for each in interfaces]

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
        listening = [
            reactor.listenUDP(0, QuietDatagrams(), interface="127.0.0.1"),
            reactor.listenMulticast(0, QuietDatagrams(), interface="127.0.0.1"),
            reactor.listenUNIXDatagram(str(tmp_path / "socket"), QuietDatagrams()),
            reactor.connectUNIXDatagram(str(tmp_path / "socket"), QuietConnected()),
            reactor.listenUNIX(str(tmp_path / "stream"), QuietFactory()),
        ]
        for each in listening:
            verify(each)
        call = reactor.callLater(10, lambda: None)
        verify(call)
        call.cancel()
        for terminal in (False, True):
            verify(reactor.spawnProcess(Ending(), "/bin/true", usePTY=terminal))
        with open("/dev/null", "r+b") as nothing:
            verify(StandardIO(Protocol(), nothing.fileno(), nothing.fileno(), reactor))
        connecting = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(ClientMaker())
        attempt = connecting._canceller.__self__
        verify(attempt)
        verify(attempt._connector)
        connecting.addErrback(failed.append)
        ended.append(connecting)
        gatherResults(ended).addBoth(lambda _: reactor.stop())

    class Ending(ProcessProtocol):
        def __init__(self) -> None:
            self.ended = Deferred[None]()
            ended.append(self.ended)

        def processEnded(self, reason: Any) -> None:
            self.ended.callback(None)

    failed: list[Any] = []
    ended: list[Deferred[Any]] = []
    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    reactor.dispose()
    assert failed == []
    assert seen == {
        "tcp.Port": ["IListeningPort"],
        "_reactor.Reactor": [
            *("IReactorCore", "IReactorTime", "IReactorThreads", "IReactorFDSet", "IReactorTCP", "IReactorSocket"),
            *("IReactorUDP", "IReactorMulticast", "IReactorUNIX", "IReactorUNIXDatagram", "IReactorSSL"),
            *("IReactorPluggableResolver", "IReactorPluggableNameResolver", "IReactorProcess"),
        ],
        "udp.Port": ["IListeningPort", "IUDPTransport"],
        "udp.MulticastPort": ["IMulticastTransport", "IListeningPort", "IUDPTransport"],
        "_unix_datagram.DatagramPort": ["IListeningPort", "IUNIXDatagramTransport"],
        "_unix_datagram.ConnectedDatagramPort": ["IListeningPort", "IUNIXDatagramConnectedTransport"],
        "unix.Port": ["IListeningPort"],
        "_timers.DelayedCall": ["IDelayedCall"],
        "_connect.Attempt": ["IProtocolFactory", "ILoggingContext"],
        "_tcp_connector.Connector": ["IConnector"],
        "_connection.Connection": ["ITLSTransport"],
        "process.Process": ["IProcessTransport", "IConsumer", "IPushProducer"],
        "process.PTYProcess": ["IProcessTransport", "IConsumer", "IPushProducer"],
        "stdio.StandardIO": ["ITransport", "IConsumer", "IPushProducer"],
    }
