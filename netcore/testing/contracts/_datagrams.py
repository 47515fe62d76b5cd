"""`IReactorUDP` and `IReactorMulticast`: ports for datagrams, on the loopback interface."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from netcore.defer import maybeDeferred
from netcore.error import CannotListenError, InvalidAddressError, MessageLengthError, MulticastJoinError
from netcore.interfaces import (
    IListeningPort,
    IMulticastTransport,
    IReactorMulticast,
    IReactorUDP,
    IUDPTransport,
    provides,
)
from netcore.testing.contracts._contract import ReactorContract, driven, fails, raises
from netcore.testing.contracts._recorder import Event

__all__ = ["DatagramRecorder", "ReactorMulticastContract", "ReactorUDPContract"]

HERE = "127.0.0.1"
# Of a site's own (RFC 2365); another one in each process, since Linux hands a socket what comes for the groups of any
# other on this host, too (IP_MULTICAST_ALL, ip(7)).
GROUP = f"239.255.{os.getpid() // 254 % 254 + 1}.{os.getpid() % 254 + 1}"


class DatagramRecorder:
    """A protocol that notes what it is told: as much of one as ports use."""

    noisy = False

    def __init__(self) -> None:
        self.transport: Any = None
        self.told: list[str] = []
        self.received, self.refused, self.failed = Event(), Event(), Event()
        self.on_data: Callable[[bytes], object] = lambda data: None

    def logPrefix(self) -> str:
        return "recorder"

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self.doStart()

    def doStart(self) -> None:
        self.told.append("start")

    def doStop(self) -> None:
        self.told.append("stop")
        self.transport = None

    def datagramReceived(self, data: bytes, addr: Any = None) -> None:
        self.received.happened((data, addr))
        self.on_data(data)

    def connectionRefused(self) -> None:
        self.refused.happened()

    def connectionFailed(self, failure: Any) -> None:
        self.failed.happened(failure.value)


def closed_port() -> tuple[str, int]:
    """Where nobody receives."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind((HERE, 0))
        name: tuple[str, int] = sock.getsockname()
        return name


class ReactorUDPContract(ReactorContract):
    """`IReactorUDP`, and the `IUDPTransport` it gives. Override `makeReactor`."""

    interface = IReactorUDP

    def listen(
        self, protocol: DatagramRecorder | None = None, port: int = 0, interface: str = HERE, **options: Any
    ) -> tuple[DatagramRecorder, tuple[str, int]]:
        """A protocol with a port, and the address of that."""
        protocol = protocol or DatagramRecorder()
        host = self.reactor.listenUDP(port, protocol, interface=interface, **options).getHost()
        return protocol, (host.host, host.port)

    @driven
    async def test_a_port_is_the_transport_of_its_protocol(self) -> None:
        """And knows its address."""
        protocol = DatagramRecorder()
        port = self.reactor.listenUDP(0, protocol, interface=HERE)
        host = protocol.transport.getHost()
        assert host == port.getHost()
        assert provides(port, IListeningPort)
        assert provides(protocol.transport, IUDPTransport)
        assert protocol.told == ["start"]
        assert (host.type, host.host) == ("UDP", HERE)
        assert host.port > 0

    @driven
    async def test_datagrams_come_whole_and_say_from_whom(self) -> None:
        """They can be answered; an empty one is one."""
        (one, here), (other, there) = self.listen(), self.listen()
        for number, data in enumerate((b"hello", b"", b"x" * 1000), 1):
            one.transport.write(data, there)
            assert await other.received.times(number) == (data, here)
            other.transport.write(data, here)
            assert await one.received.times(number) == (data, there)

    @driven
    async def test_ipv6_works(self) -> None:
        """The interface says which it is."""
        (one, here), (other, there) = self.listen(interface="::1"), self.listen(interface="::1")
        one.transport.write(b"six", there)
        data, addr = await other.received.times()
        assert (data, *addr[:2]) == (b"six", *here)

    @driven
    async def test_what_is_too_long_arrives_cut_off(self) -> None:
        """For the receiver that said so."""
        one, _ = self.listen()
        other, there = self.listen(maxPacketSize=10)
        one.transport.write(b"0123456789abc", there)
        assert (await other.received.times())[0] == b"0123456789"

    @driven
    async def test_what_is_too_long_for_a_datagram_is_refused(self) -> None:
        """At once."""
        one, here = self.listen()
        with raises(MessageLengthError):
            one.transport.write(b"x" * 70_000, here)

    @driven
    async def test_only_literal_addresses_are_written_to(self) -> None:
        """A name would have to be looked up."""
        one, _ = self.listen()
        with raises(InvalidAddressError):
            one.transport.write(b"x", ("localhost", 9))
        with raises(InvalidAddressError):
            one.transport.connect("localhost", 9)
        with raises(InvalidAddressError):
            self.reactor.listenUDP(0, DatagramRecorder(), interface="localhost")

    @driven
    async def test_a_connected_port_writes_and_hears_one_place_only(self) -> None:
        """It can be connected once."""
        (one, here), (other, there), (stranger, _) = self.listen(), self.listen(), self.listen()
        one.transport.connect(*there)
        with raises(RuntimeError):
            one.transport.connect(*there)
        one.transport.write(b"hello")
        assert await other.received.times() == (b"hello", here)
        stranger.transport.write(b"from elsewhere", here)
        await self.settle()
        other.transport.write(b"answer", here)
        assert await one.received.times() == (b"answer", there)
        await self.settle()
        assert len(one.received.values) == 1

    @driven
    async def test_a_refusal_is_told_and_the_port_goes_on(self) -> None:
        """Once for each datagram, as long as nobody receives there."""
        one, here = self.listen()
        there = closed_port()
        one.transport.connect(*there)
        for number in range(1, 4):
            one.transport.write(b"x")
            await one.refused.times(number)
        other, _ = self.listen(port=there[1])
        other.transport.write(b"here now", here)
        assert await one.received.times() == (b"here now", there)

    @driven
    async def test_broadcasting_must_be_allowed(self) -> None:
        """At first it is not."""
        one, _ = self.listen()
        assert not one.transport.getBroadcastAllowed()
        one.transport.setBroadcastAllowed(True)
        assert one.transport.getBroadcastAllowed()
        one.transport.setBroadcastAllowed(False)
        assert not one.transport.getBroadcastAllowed()

    @driven
    async def test_a_port_in_use_is_refused(self) -> None:
        """The protocol is not told anything."""
        _, (_, taken) = self.listen()
        protocol = DatagramRecorder()
        with raises(CannotListenError) as caught:
            self.listen(protocol, port=taken)
        assert caught.value.port == taken
        assert protocol.told == []
        for wrong in (-1, 65536):
            with raises(ValueError):
                self.listen(protocol, port=wrong)

    @driven
    async def test_stop_listening_frees_the_port(self) -> None:
        """And tells the protocol, once."""
        protocol, (_, number) = self.listen()
        transport = protocol.transport
        await maybeDeferred(transport.stopListening)
        await maybeDeferred(transport.stopListening)
        assert protocol.told == ["start", "stop"]
        self.listen(port=number)

    @driven
    async def test_a_protocol_may_stop_when_it_received_something(self) -> None:
        """No more comes then."""
        (one, _), (other, there) = self.listen(), self.listen()
        other.on_data = lambda data: other.transport.stopListening() and None
        for _ in range(3):
            one.transport.write(b"x", there)
        await other.received.times()
        await self.settle()
        assert len(other.received.values) == 1
        assert other.told == ["start", "stop"]

    @driven
    async def test_what_a_protocol_raises_is_logged_and_the_port_goes_on(self) -> None:
        """One mistake costs one datagram."""
        (one, _), (other, there) = self.listen(), self.listen()

        def once(data: bytes) -> None:
            if len(other.received.values) == 1:
                raise ZeroDivisionError

        other.on_data = once
        for number in (1, 2):
            one.transport.write(b"x", there)
            await other.received.times(number)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1


class ReactorMulticastContract(ReactorContract):
    """`IReactorMulticast`, and the `IMulticastTransport` it gives. Override `makeReactor`.

    It needs a loopback interface that takes datagrams to groups, as Linux's does if it is asked to by its address.
    """

    interface = IReactorMulticast

    def listen(self, port: int = 0, **options: Any) -> tuple[DatagramRecorder, int]:
        """A protocol with a port, and the number of that."""
        protocol = DatagramRecorder()
        return protocol, int(self.reactor.listenMulticast(port, protocol, **options).getHost().port)

    @driven
    async def test_a_port_can_join_groups(self) -> None:
        """It says so."""
        protocol, number = self.listen()
        assert provides(protocol.transport, IMulticastTransport)
        assert number > 0

    @driven
    async def test_members_of_a_group_hear_what_is_sent_to_it(self) -> None:
        """Until they leave it."""
        (one, _), (other, number) = self.listen(), self.listen()
        one.transport.write(b"too early", (GROUP, number))
        await other.transport.joinGroup(GROUP, HERE)
        await maybeDeferred(one.transport.setOutgoingInterface, HERE)
        one.transport.write(b"hello", (GROUP, number))
        assert (await other.received.times())[0] == b"hello"
        await other.transport.leaveGroup(GROUP, HERE)
        one.transport.write(b"too late", (GROUP, number))
        one.transport.write(b"to itself", (HERE, number))
        assert (await other.received.times(2))[0] == b"to itself"

    @driven
    async def test_several_may_listen_on_one_port(self) -> None:
        """If each says so, all hear what is sent to the group."""
        sender, _ = self.listen()
        first, number = self.listen(listenMultiple=True)
        second, _ = self.listen(number, listenMultiple=True)
        await maybeDeferred(sender.transport.setOutgoingInterface, HERE)
        for each in (first, second):
            await each.transport.joinGroup(GROUP, HERE)
        sender.transport.write(b"all", (GROUP, number))
        for each in (first, second):
            assert (await each.received.times())[0] == b"all"
        with raises(CannotListenError):
            self.listen(number)

    @driven
    async def test_what_is_no_group_cannot_be_joined(self) -> None:
        """Through the Deferred; nor can a group be left that was not joined."""
        one, _ = self.listen()
        await fails(one.transport.joinGroup(HERE, HERE), MulticastJoinError)
        await fails(one.transport.leaveGroup(GROUP, HERE), MulticastJoinError)

    @driven
    async def test_options_can_be_asked_for_and_set(self) -> None:
        """How far datagrams go, whether they come back, and by which interface they leave."""
        one, _ = self.listen()
        transport = one.transport
        assert transport.getTTL() == 1
        transport.setTTL(3)
        assert transport.getTTL() == 3
        assert transport.getLoopbackMode()
        transport.setLoopbackMode(False)
        assert not transport.getLoopbackMode()
        await maybeDeferred(transport.setOutgoingInterface, HERE)
        assert transport.getOutgoingInterface() == HERE
