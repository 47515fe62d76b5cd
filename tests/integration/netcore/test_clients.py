"""ReconnectingClientFactory, ClientCreator and FileSender on a real network."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred, maybeDeferred
from netcore.error import ConnectError
from netcore.protocol import ClientCreator, ClientFactory, ReconnectingClientFactory
from netcore.protocols.basic import FileSender
from netcore.reactors import Reactor
from netcore.ssl import ClientTLSOptions
from netcore.testing.contracts._recorder import Event, FactoryRecorder, OneProtocol, Recorder
from tests.integration.netcore.tcp_peers import BIG
from tests.support.certificates import HOST, client_context, server_context

Run = Callable[..., Any]


class Caller(OneProtocol, ClientFactory[Any]):
    """Connects one protocol."""


class Coming(ReconnectingClientFactory[Recorder]):
    """Comes back at once."""

    noisy = False
    protocol = Recorder
    initialDelay = delay = 0.001
    maxDelay = 0.001

    def __init__(self) -> None:
        self.made = Event()
        self.failed = Event()

    def buildProtocol(self, addr: Any) -> Recorder | None:
        built = super().buildProtocol(addr)
        assert built is not None
        built.made.times().addCallback(self.made.happened)
        self.resetDelay()
        return built

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        super().clientConnectionFailed(connector, reason)
        self.failed.happened(reason.value)


def test_a_client_comes_back_until_it_is_told_to_stop(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        servers, clients = FactoryRecorder(), Coming()
        port = reactor.listenTCP(0, servers, interface="127.0.0.1")
        place = port.getHost().port
        reactor.connectTCP("127.0.0.1", place, clients)
        for count in range(1, 6):
            await clients.made.times(count)
            (await servers.made.times(count)).transport.loseConnection()
        await clients.made.times(6)
        await servers.made.times(6)
        await maybeDeferred(port.stopListening)
        servers.built[-1].transport.abortConnection()
        await clients.failed.times(3)
        assert all(isinstance(error, ConnectError) for error in clients.failed.values)
        port = reactor.listenTCP(place, servers, interface="127.0.0.1")
        last = await clients.made.times(7)
        clients.stopTrying()
        last.transport.loseConnection()
        await last.lost.times()
        await servers.built[-1].lost.times()
        await maybeDeferred(port.stopListening)
        assert len(clients.made.values) == 7

    run(main)


def test_a_reactor_that_ends_takes_a_client_along_that_waits(new_reactor: Callable[[], Reactor]) -> None:
    """The guard would see a delayed call, or a connection."""
    reactor = new_reactor()
    clients = Coming()
    clients.initialDelay = clients.delay = clients.maxDelay = 3600
    servers = FactoryRecorder()

    def begin() -> None:
        port = reactor.listenTCP(0, servers, interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, clients)
        clients.made.times().addCallback(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    assert len(clients.made.values) == 1


@pytest.fixture
def creator(reactor: Reactor) -> ClientCreator[Recorder]:
    return ClientCreator(reactor, Recorder)


def test_connections_are_made_without_a_factory(
    reactor: Reactor, run: Run, creator: ClientCreator[Recorder], unix_place: str
) -> None:
    async def main() -> None:
        servers = FactoryRecorder()
        ports = [
            reactor.listenTCP(0, servers, interface="127.0.0.1"),
            reactor.listenUNIX(f"{unix_place}/socket", servers),
            reactor.listenSSL(0, servers, server_context(), interface="127.0.0.1"),
        ]
        options = ClientTLSOptions(HOST, client_context())
        for count, connecting in enumerate(
            [
                creator.connectTCP("127.0.0.1", ports[0].getHost().port),
                creator.connectUNIX(f"{unix_place}/socket"),
                creator.connectSSL("127.0.0.1", ports[2].getHost().port, options),
            ],
            1,
        ):
            client = await connecting
            assert client.transport.connected
            client.transport.write(b"hello")
            server = await servers.made.times(count)
            await server.got(5)
            client.transport.loseConnection()
            await client.lost.times()
            await server.lost.times()
        for port in ports:
            await maybeDeferred(port.stopListening)

    run(main)


def test_failing_and_cancelling(reactor: Reactor, run: Run, creator: ClientCreator[Recorder], unix_place: str) -> None:
    async def main() -> None:
        with pytest.raises(ConnectError):
            await creator.connectUNIX(f"{unix_place}/nothing")
        servers = FactoryRecorder()
        port = reactor.listenTCP(0, servers, interface="127.0.0.1")
        connecting: Deferred[Any] = creator.connectTCP("127.0.0.1", port.getHost().port)
        connecting.cancel()
        with pytest.raises(CancelledError):
            await connecting
        await maybeDeferred(port.stopListening)

    run(main)


def test_a_file_goes_over_a_connection(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        port = reactor.listenTCP(0, OneProtocol(server), interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, Caller(client))
        await server.made.times()
        sent = await FileSender().beginFileTransfer(io.BytesIO(BIG), server.transport)
        assert sent == BIG[-1:]
        server.transport.loseConnection()
        await client.lost.times()
        assert client.received == BIG
        await maybeDeferred(port.stopListening)

    run(main)


def test_a_connection_that_breaks_fails_the_transfer(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        client.on_data = lambda recorder, data: recorder.transport.abortConnection()
        port = reactor.listenTCP(0, OneProtocol(server), interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, Caller(client))
        await server.made.times()
        with pytest.raises(Exception, match="asked to stop"):
            await FileSender().beginFileTransfer(io.BytesIO(bytes(64 << 20)), server.transport)
        await client.lost.times()
        await maybeDeferred(port.stopListening)

    run(main)
