"""`IReactorPluggableResolver` and `IReactorPluggableNameResolver`: who looks names up."""

from __future__ import annotations

from typing import Any

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import Deferred, fail, succeed
from netcore.error import DNSLookupError
from netcore.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorPluggableResolver,
    IResolutionReceiver,
    IResolverSimple,
    implementer,
    provides,
)
from netcore.testing.contracts._contract import ReactorContract, driven, fails, raises
from netcore.testing.contracts._recorder import ClientRecorder, FactoryRecorder

__all__ = ["ReactorPluggableNameResolverContract", "ReactorPluggableResolverContract"]

HERE = "127.0.0.1"
NO_NAME = "a" * 70 + ".example"  # RFC 1035: a label has 63 bytes at most


@implementer(IResolverSimple)
class Simple:
    """Knows one name, and notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def getHostByName(self, name: str, timeout: Any = ()) -> Deferred[str]:
        self.asked.append(name)
        return succeed(HERE) if name == "known.example" else fail(DNSLookupError(f"not known: {name}"))


@implementer(IHostResolution)
class Resolution:
    """One that is over already."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None: ...


@implementer(IHostnameResolver)
class Names:
    """Knows one name, and notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(hostName)
        resolution = Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        if hostName == "known.example":
            resolutionReceiver.addressResolved(IPv4Address("TCP", HERE, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


@implementer(IResolutionReceiver)
class Receiver:
    """Notes what is found; *complete* fires with it."""

    def __init__(self) -> None:
        self.began: list[Any] = []
        self.addresses: list[Any] = []
        self.complete = Deferred[list[Any]]()

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        self.began.append(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        assert len(self.began) == 1
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        assert len(self.began) == 1
        self.complete.callback(list(self.addresses))


class _Resolving(ReactorContract):
    """A server to be looked for."""

    async def connects(self, name: str, resolver: Any) -> None:
        """``connectTCP`` to *name* asks *resolver*, once, and connects."""
        server, client, lost = FactoryRecorder(), ClientRecorder(), ClientRecorder()
        number = self.reactor.listenTCP(0, server, interface=HERE).getHost().port
        self.reactor.connectTCP(name, number, client)
        protocol = await client.made.times()
        assert protocol.transport.getPeer() == IPv4Address("TCP", HERE, number)
        assert resolver.asked == [name]
        self.reactor.connectTCP("unknown.example", number, lost)
        assert type(await lost.failed.times()) is DNSLookupError
        literal = ClientRecorder()
        self.reactor.connectTCP(HERE, number, literal)
        await literal.made.times()
        assert resolver.asked == [name, "unknown.example"]


class ReactorPluggableResolverContract(_Resolving):
    """`IReactorPluggableResolver`, with ``IReactorCore.resolve``. Override `makeReactor`."""

    interface = IReactorPluggableResolver

    @driven
    async def test_names_are_looked_up(self) -> None:
        """An address is its own."""
        assert await self.reactor.resolve("localhost") == HERE
        assert await self.reactor.resolve("192.0.2.7") == "192.0.2.7"
        await fails(self.reactor.resolve(NO_NAME), DNSLookupError)

    @driven
    async def test_another_can_be_asked(self) -> None:
        """The one before is given back, and can be put in its place again."""
        mine = Simple()
        before = self.reactor.installResolver(mine)
        assert provides(before, IResolverSimple)
        assert await self.reactor.resolve("known.example") == HERE
        await fails(self.reactor.resolve("unknown.example"), DNSLookupError)
        assert await self.reactor.resolve("192.0.2.7") == "192.0.2.7"
        assert mine.asked == ["known.example", "unknown.example"]
        assert self.reactor.installResolver(before) is mine
        assert await self.reactor.resolve("localhost") == HERE

    @driven
    async def test_connecting_asks_it(self) -> None:
        """Once for each name, and never for an address."""
        mine = Simple()
        self.reactor.installResolver(mine)
        await self.connects("known.example", mine)


class ReactorPluggableNameResolverContract(_Resolving):
    """`IReactorPluggableNameResolver`, and the `IHostnameResolver` it has. Override `makeReactor`."""

    interface = IReactorPluggableNameResolver

    def look_up(self, name: str, *args: Any) -> Receiver:
        """Ask the reactor's resolver."""
        receiver = Receiver()
        resolution = self.reactor.nameResolver.resolveHostName(receiver, name, *args)
        assert provides(resolution, IHostResolution)
        return receiver

    @driven
    async def test_the_addresses_of_a_name_are_told(self) -> None:
        """Each with the port that was asked for, between the beginning and the end."""
        assert provides(self.reactor.nameResolver, IHostnameResolver)
        receiver = self.look_up("localhost", 79)
        found = await receiver.complete
        assert IPv4Address("TCP", HERE, 79) in found
        assert all(isinstance(each, IPv4Address | IPv6Address) and each.port == 79 for each in found)
        assert receiver.began[0].name == "localhost"

    @driven
    async def test_only_what_is_wanted_is_told(self) -> None:
        """Of the kinds of addresses, and for what."""
        found = await self.look_up("localhost", 79, [IPv4Address], "UDP").complete
        assert {type(each) for each in found} == {IPv4Address}
        assert {each.type for each in found} == {"UDP"}
        with raises(ValueError):
            self.look_up("localhost", 79, None, "carrier pigeon")

    @driven
    async def test_an_address_is_its_own(self) -> None:
        """Of either kind."""
        assert await self.look_up("192.0.2.7", 79).complete == [IPv4Address("TCP", "192.0.2.7", 79)]
        assert await self.look_up("2001:db8::7", 79).complete == [IPv6Address("TCP", "2001:db8::7", 79)]

    @driven
    async def test_a_name_that_is_not_found_has_no_address(self) -> None:
        """That is all that is told."""
        assert await self.look_up(NO_NAME).complete == []

    @driven
    async def test_a_look_up_can_be_cancelled(self) -> None:
        """It is complete at once, and nothing comes after that."""
        receiver = self.look_up("localhost", 79)
        receiver.began[0].cancel()
        await receiver.complete
        before = list(receiver.addresses)
        await self.settle()
        assert receiver.addresses == before

    @driven
    async def test_another_can_be_asked(self) -> None:
        """The one before is given back, and can be put in its place again."""
        mine = Names()
        before = self.reactor.nameResolver
        assert self.reactor.installNameResolver(mine) is before
        assert self.reactor.nameResolver is mine
        await self.connects("known.example", mine)
        assert self.reactor.installNameResolver(before) is mine
