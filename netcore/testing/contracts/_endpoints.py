"""`IStreamServerEndpoint` and `IStreamClientEndpoint`: places, as values."""

from __future__ import annotations

from typing import Any

from netcore.defer import CancelledError, maybeDeferred
from netcore.error import CannotListenError, ConnectError, ConnectionDone, NoProtocol
from netcore.interfaces import IAddress, IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint, provides
from netcore.testing.contracts._contract import ReactorContract, driven, fails
from netcore.testing.contracts._recorder import FactoryRecorder, Recorder

__all__ = ["StreamClientEndpointContract", "StreamServerEndpointContract"]


class _EndpointContract(ReactorContract):
    """What the two have in common: each is tested with one of the other kind."""

    def makeServer(self) -> Any:
        """An `IStreamServerEndpoint` on ``self.reactor``, for a place that is free."""
        raise NotImplementedError

    def makeClient(self, port: Any) -> Any:
        """An `IStreamClientEndpoint` on ``self.reactor`` that leads to *port*, an `IListeningPort` of `makeServer`,
        which may have stopped listening."""
        raise NotImplementedError


class StreamServerEndpointContract(_EndpointContract):
    """`IStreamServerEndpoint`. Override `makeServer`, `makeClient` and `makeServerAt`."""

    interface = IStreamServerEndpoint

    def makeServerAt(self, port: Any) -> Any:
        """An `IStreamServerEndpoint` for the place where *port* listens."""
        raise NotImplementedError

    async def declares(self) -> None:
        assert provides(self.makeServer(), self.interface)

    @driven
    async def test_listening_gives_a_port(self) -> None:
        """It knows its address. The factory is in use."""
        factory = FactoryRecorder()
        port = await self.makeServer().listen(factory)
        assert provides(port, IListeningPort)
        assert provides(port.getHost(), IAddress)
        assert factory.told == ["start"]
        await maybeDeferred(port.stopListening)
        assert factory.told == ["start", "stop"]

    @driven
    async def test_clients_are_served_by_protocols_of_the_factory(self) -> None:
        """Each by one of its own."""
        factory, clients = FactoryRecorder(), FactoryRecorder()
        port = await self.makeServer().listen(factory)
        for count in range(1, 4):
            client = await self.makeClient(port).connect(clients)
            server = await factory.made.times(count)
            client.transport.write(b"question")
            await server.got(8)
            server.transport.write(b"answer")
            await client.got(6)
        assert len(set(map(id, factory.built))) == 3
        await maybeDeferred(port.stopListening)

    @driven
    async def test_nobody_is_served_when_it_has_stopped(self) -> None:
        """Connections that were made stay."""
        factory, clients = FactoryRecorder(), FactoryRecorder()
        port = await self.makeServer().listen(factory)
        client = await self.makeClient(port).connect(clients)
        server = await factory.made.times()
        await maybeDeferred(port.stopListening)
        await fails(self.makeClient(port).connect(clients), ConnectError)
        server.transport.write(b"still here")
        await client.got(10)

    @driven
    async def test_a_place_that_is_taken_fails(self) -> None:
        """Through the Deferred: nothing is raised. The factory is not in use."""
        factory = FactoryRecorder()
        port = await self.makeServer().listen(FactoryRecorder())
        await fails(self.makeServerAt(port).listen(factory), CannotListenError)
        assert factory.started == factory.stopped
        await maybeDeferred(port.stopListening)

    @driven
    async def test_it_may_listen_again(self) -> None:
        """When it has stopped, in the same place."""
        port = await self.makeServer().listen(FactoryRecorder())
        endpoint = self.makeServerAt(port)
        await maybeDeferred(port.stopListening)
        for _ in range(2):
            port = await endpoint.listen(FactoryRecorder())
            await maybeDeferred(port.stopListening)


class StreamClientEndpointContract(_EndpointContract):
    """`IStreamClientEndpoint`. Override `makeServer` and `makeClient`."""

    interface = IStreamClientEndpoint

    async def declares(self) -> None:
        port = await self.makeServer().listen(FactoryRecorder())
        assert provides(self.makeClient(port), self.interface)
        await maybeDeferred(port.stopListening)

    async def listen(self) -> tuple[Any, FactoryRecorder]:
        """A port that listens, and its factory."""
        server = FactoryRecorder()
        return await self.makeServer().listen(server), server

    @driven
    async def test_connecting_gives_the_protocol_that_the_factory_built(self) -> None:
        """It is connected, and had its ``connectionMade``."""
        port, server = await self.listen()
        factory = FactoryRecorder()
        protocol = await self.makeClient(port).connect(factory)
        assert [protocol] == factory.built
        assert protocol.told == ["made"]
        protocol.transport.write(b"hello")
        await (await server.made.times()).got(5)

    @driven
    async def test_each_attempt_is_another_connection(self) -> None:
        """An endpoint is a place, and may be used again."""
        port, server = await self.listen()
        endpoint, factory = self.makeClient(port), FactoryRecorder()
        one, two = await endpoint.connect(factory), await endpoint.connect(factory)
        assert one is not two
        await server.made.times(2)
        one.transport.loseConnection()
        await one.lost.times()
        two.transport.write(b"still here")
        await server.built[1].got(10)

    @driven
    async def test_the_protocol_hears_of_the_end(self) -> None:
        """Itself, once, whoever closes."""
        port, server = await self.listen()
        for count, closer in enumerate(("client", "server"), 1):
            client = await self.makeClient(port).connect(FactoryRecorder())
            served = await server.made.times(count)
            (client if closer == "client" else served).transport.loseConnection()
            assert type(await client.lost.times()) is ConnectionDone
            assert type(await served.lost.times()) is ConnectionDone
            assert len(client.reasons) == 1

    @driven
    async def test_where_nobody_listens_it_fails(self) -> None:
        """Nothing is built."""
        port, _ = await self.listen()
        await maybeDeferred(port.stopListening)
        factory = FactoryRecorder()
        await fails(self.makeClient(port).connect(factory), ConnectError)
        await self.settle()
        assert factory.built == []
        assert factory.started == factory.stopped

    @driven
    async def test_a_factory_that_builds_no_protocol_fails(self) -> None:
        """The connection is closed."""
        port, server = await self.listen()
        factory = FactoryRecorder()
        factory.build = lambda: None
        await fails(self.makeClient(port).connect(factory), NoProtocol)
        await (await server.made.times()).lost.times()

    @driven
    async def test_what_building_raises_is_what_it_fails_with(self) -> None:
        """Whether it is logged as well is not said."""
        port, _ = await self.listen()
        factory = FactoryRecorder()
        factory.build = lambda: 1 / 0
        await fails(self.makeClient(port).connect(factory), ZeroDivisionError)
        self.flushLoggedErrors(ZeroDivisionError)

    @driven
    async def test_cancelling_ends_the_attempt(self) -> None:
        """Nothing is built, and another attempt may be made."""
        port, _ = await self.listen()
        endpoint, factory = self.makeClient(port), FactoryRecorder()
        connecting = endpoint.connect(factory)
        connecting.cancel()
        await fails(connecting, CancelledError)
        await self.settle()
        assert factory.built == []
        assert factory.started == factory.stopped
        protocol: Recorder = await endpoint.connect(factory)
        assert protocol.told == ["made"]
