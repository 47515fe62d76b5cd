"""Services with connections on real sockets: TCP, TLS and UNIX."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from netcore.application.internet import (
    ClientService,
    MulticastServer,
    SSLClient,
    SSLServer,
    TCPClient,
    TCPServer,
    UDPServer,
    UNIXClient,
    UNIXDatagramClient,
    UNIXDatagramServer,
    UNIXServer,
)
from netcore.defer import CancelledError, Deferred
from netcore.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint
from netcore.endpoints._connect import Attempt
from netcore.error import ConnectError, ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import IDrainable, implementer
from netcore.protocol import (
    ClientFactory,
    ConnectedDatagramProtocol,
    DatagramProtocol,
    Factory,
    connectionDone,
)
from netcore.protocols.basic import LineReceiver
from netcore.reactors import Reactor
from tests.support.certificates import HOST, client_context, server_context
from tests.support.network import free_port

KINDS = ["tcp", "tls", "unix"]
LONG = 1000.0  # seconds, which nothing here takes


@implementer(IDrainable)
class Server(LineReceiver):
    """Answers *hello*; told to end, says *bye* and closes, unless it was asked to *stay*."""

    stays = False

    def connectionMade(self) -> None:
        self.factory.standing.append(self)

    def lineReceived(self, line: bytes) -> None:
        self.stays |= line == b"stay"
        self.sendLine(b"hello")

    def drain(self, seconds: float) -> None:
        if not self.stays:
            self.sendLine(b"bye")
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.standing.remove(self)


class ServerFactory(Factory[Server]):
    noisy = False
    protocol = Server

    def __init__(self) -> None:
        self.standing: list[Server] = []


class Client(LineReceiver):
    """Hears lines, and its end."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.heard: Deferred[bytes] = Deferred()
        self.lost: Deferred[BaseException] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        if not self.heard.called:
            self.heard.callback(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(reason.value)


class Clients(ClientFactory[Client]):
    noisy = False
    protocol = Client


class UNIXPlace:
    """A UNIX socket to connect to."""

    def __init__(self, reactor: Any, path: str) -> None:
        self.reactor = reactor
        self.path = path

    def connect(self, protocolFactory: Any) -> Any:
        return Attempt.make(protocolFactory, lambda attempt: self.reactor.connectUNIX(self.path, attempt))


class Net:
    """A server by the reactor's methods and an endpoint to it."""

    def __init__(self, kind: str, reactor: Any, place: str) -> None:
        self.factory = ServerFactory()
        self.number = free_port()
        options = {"reactor": reactor, "drain": LONG, "grace": LONG}
        inet = {**options, "interface": "127.0.0.1"}
        self.endpoint: Any
        self.server: Any
        if kind == "tcp":
            self.server = TCPServer(self.number, self.factory, **inet)
            self.endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.number)
        elif kind == "tls":
            self.server = SSLServer(self.number, self.factory, server_context(), **inet)
            self.endpoint = SSL4ClientEndpoint(reactor, HOST, self.number, client_context())
        else:
            self.server = UNIXServer(f"{place}/s", self.factory, **options)
            self.endpoint = UNIXPlace(reactor, f"{place}/s")

    async def connect(self, say: bytes = b"hi") -> Client:
        client: Client = await self.endpoint.connect(Clients())
        client.sendLine(say)
        assert await client.heard == b"hello"
        return client


@pytest.fixture(params=KINDS)
def net(request: pytest.FixtureRequest, reactor: Reactor, unix_place: str) -> Net:
    return Net(request.param, reactor, unix_place)


def assert_empty(net: Net) -> None:
    assert net.factory.standing == []
    assert net.server.connections == 0


def test_a_server_drains(run: Any, net: Net) -> None:
    async def main() -> None:
        net.server.startService()
        idle, stays = await net.connect(), await net.connect(b"stay")
        assert net.server.connections == 2
        stopping = net.server.stopService().addCallback(lambda _: assert_empty(net))
        assert isinstance(await idle.lost, ConnectionDone)
        assert idle.lines == [b"hello", b"bye"]
        stays.sendLine(b"still there?")
        stays.heard = Deferred()
        assert await stays.heard == b"hello"
        assert net.server.connections == 1
        stays.transport.loseConnection()
        await stopping
        await stays.lost
        net.server.startService()
        (await net.connect()).transport.loseConnection()
        await net.server.stopService()

    run(main)


def test_a_server_in_a_hurry_closes_and_then_aborts(run: Any, net: Net) -> None:
    async def main() -> None:
        net.server.startService()
        closes, reads_nothing = await net.connect(b"stay"), await net.connect(b"stay")
        reads_nothing.transport.pauseProducing()
        for server in net.factory.standing:
            server.transport.write(b"x" * 10_000_000 if server is net.factory.standing[1] else b"last\r\n")
        stopping = net.server.stopService()
        net.server.hurry()
        await closes.lost
        assert closes.lines[-1] == b"last"
        assert net.server.connections == 1
        net.server.hurry()
        await stopping
        assert net.factory.standing == []
        reads_nothing.transport.abortConnection()
        await reads_nothing.lost

    run(main)


def test_a_reactor_that_stops_waits_until_all_is_drained(new_reactor: Callable[[], Reactor], unix_place: str) -> None:
    reactor = new_reactor()
    net = Net("tcp", reactor, unix_place)
    happened: list[str] = []

    async def main() -> None:
        net.server.startService()
        client = await net.connect(b"stay")
        reactor.addSystemEventTrigger("before", "shutdown", net.server.stopService)
        reactor.stop()
        await Deferred[None]().addTimeout(0, reactor).addErrback(lambda _: None)
        assert len(net.factory.standing) == 1
        client.sendLine(b"still there?")
        client.heard = Deferred()
        await client.heard
        happened.append("answered while the reactor stops")
        client.transport.loseConnection()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
    reactor.run(installSignalHandlers=False)
    assert happened == ["answered while the reactor stops"]
    assert net.factory.standing == []


def test_a_client_connects_again_and_stops(run: Any, reactor: Any, net: Net) -> None:
    async def main() -> None:
        net.server.startService()
        prepared: list[Any] = []

        async def prepare(client: Client) -> None:
            client.sendLine(b"stay")
            assert await client.heard == b"hello"
            prepared.append(client)

        service = ClientService(net.endpoint, Clients(), lambda failures: 0.0, reactor, prepare)
        service.startService()
        for number in range(3):
            client = await service.whenConnected()
            assert type(client) is Client
            assert len(net.factory.standing) == 1
            assert prepared[number:] == [client]
            net.factory.standing[0].transport.loseConnection()
            await client.lost
        last = await service.whenConnected()
        await service.stopService()
        assert last.lost.called
        with pytest.raises(CancelledError):
            await service.whenConnected()
        await net.server.stopService()

    run(main)


def test_a_client_finds_a_server_that_comes_later(run: Any, reactor: Any, net: Net) -> None:
    async def main() -> None:
        service = ClientService(net.endpoint, Clients(), lambda failures: 0.0, reactor)
        service.startService()
        with pytest.raises(ConnectError):
            await service.whenConnected(failAfterFailures=3)
        net.server.startService()
        await service.whenConnected()
        stopping = service.stopService()
        service.startService()
        await stopping
        await service.whenConnected()
        await service.stopService()
        await net.server.stopService()

    run(main)


@pytest.mark.parametrize("connected", [False, True])
def test_a_reactor_may_end_while_a_client_runs(
    new_reactor: Callable[[], Reactor], unix_place: str, connected: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reactor = new_reactor()
    net = Net("tcp", reactor, unix_place)
    service = ClientService(net.endpoint, Clients(), clock=reactor)

    async def main() -> None:
        if connected:
            net.server.startService()
        service.startService()
        if connected:
            await service.whenConnected()
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
    with caplog.at_level(logging.ERROR):
        reactor.run(installSignalHandlers=False)
        reactor.dispose()
    assert caplog.records == []


def test_the_other_services(run: Any, reactor: Any, unix_place: str) -> None:
    """As their names say."""

    class Datagrams(DatagramProtocol):
        noisy = False

        def __init__(self) -> None:
            self.heard: Deferred[bytes] = Deferred()

        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            self.heard.callback(datagram)

    class Sender(ConnectedDatagramProtocol):
        noisy = False

        def startProtocol(self) -> None:
            self.transport.write(b"hello")

    async def main() -> None:
        for kind in (UDPServer, MulticastServer):
            receives = Datagrams()
            server = kind(0, receives, interface="127.0.0.1", reactor=reactor)
            server.startService()
            receives.transport.write(b"hello", ("127.0.0.1", receives.transport.getHost().port))
            assert await receives.heard == b"hello"
            await server.stopService()
        receives = Datagrams()
        server = UNIXDatagramServer(f"{unix_place}/d", receives, reactor=reactor)
        sender = UNIXDatagramClient(f"{unix_place}/d", Sender(), reactor=reactor)
        server.startService()
        sender.startService()
        assert await receives.heard == b"hello"
        await sender.stopService()
        await server.stopService()

    run(main)


@pytest.mark.parametrize("kind", KINDS)
def test_clients_by_the_reactors_methods(run: Any, reactor: Any, unix_place: str, kind: str) -> None:
    async def main() -> None:
        net = Net(kind, reactor, unix_place)
        net.server.startService()
        made: Any = Client()
        made.connectionMade = lambda: made.sendLine(b"hi")
        clients = Clients()
        clients.protocol = lambda: made
        client: Any = {
            "tcp": lambda: TCPClient("127.0.0.1", net.number, clients, reactor=reactor),
            "tls": lambda: SSLClient("127.0.0.1", net.number, clients, client_context(), reactor=reactor),
            "unix": lambda: UNIXClient(f"{unix_place}/s", clients, reactor=reactor),
        }[kind]()
        client.startService()
        assert await made.heard == b"hello"
        client.stopService()
        await made.lost
        await net.server.stopService()

    run(main)
