"""Who is let in, who is refused, what that costs, and what is told of it."""

from __future__ import annotations

import dataclasses
import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest

from netcore.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from netcore.defer import succeed
from netcore.error import ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import IAddress, ISSLTransport, IStreamServerEndpoint, implementer, provides
from netcore.protocol import Factory, Protocol
from netcore.protocols.limits import LimitCounters, ListenerLimits
from netcore.protocols.limits._counting import LOG_PERIOD
from netcore.task import Clock
from netcore.testing import StringTransport, connectedPair

DONE = Failure(ConnectionDone())


class Building(Factory[Any]):
    """Counts what it builds."""

    noisy = False
    protocol = Protocol

    def __init__(self) -> None:
        self.built: list[Any] = []

    def buildProtocol(self, addr: IAddress) -> Any:
        self.built.append(super().buildProtocol(addr))
        return self.built[-1]


def ipv4(number: int, port: int = 50000) -> IPv4Address:
    return IPv4Address("TCP", f"192.0.2.{number}", port)


class Door:
    """A factory with limits, at which peers come and go."""

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.limits = ListenerLimits(**limits)
        self.above = Building()
        self.factory: Any = self.limits.wrapFactory(self.above, self.clock)

    def come(self, address: Any, transport: Any = None) -> Any:
        """Returns: the protocol below; None: the connection was closed at once."""
        protocol = self.factory.buildProtocol(address)
        if protocol is not None:
            protocol.makeConnection(transport or StringTransport(peerAddress=address))
        return protocol

    def go(self, *protocols: Any) -> None:
        for protocol in protocols:
            protocol.connectionLost(DONE)

    def counters(self) -> LimitCounters:
        return self.limits.counters()


def test_no_more_than_so_many_at_a_time() -> None:
    door = Door(connections=2, connectionsPerPeer=None)
    first, second = (door.come(ipv4(1)) for _ in range(2))
    assert door.come(ipv4(2)) is None
    assert len(door.above.built) == 2, "nothing is built for who is refused"
    door.go(first)
    third = door.come(ipv4(2))
    assert door.counters() == LimitCounters(
        current=2, peak=2, peers=2, accepted=3, refused={"connections": 1}, closed={}
    )
    door.go(second, third)
    assert door.counters().current == door.counters().peers == 0
    assert door.clock.getDelayedCalls() == []


def test_no_more_than_so_many_of_one_peer() -> None:
    door = Door(connectionsPerPeer=2)
    first = door.come(ipv4(1, 1))
    door.come(ipv4(1, 2))
    assert door.come(ipv4(1, 3)) is None
    assert door.come(ipv4(2)) is not None
    door.go(first)
    assert door.come(ipv4(1, 4)) is not None
    assert door.counters().refused == {"connectionsPerPeer": 1}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (IPv6Address("TCP", "2001:db8:0:1::1", 1), IPv6Address("TCP", "2001:db8:0:1:ffff::2", 2), True),
        (IPv6Address("TCP", "2001:db8:0:1::1", 1), IPv6Address("TCP", "2001:db8:0:2::1", 1), False),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), ipv4(1), True),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), IPv6Address("TCP", "::ffff:192.0.2.2", 1), False),
        (IPv6Address("TCP", "fe80::1%eth0", 1), IPv6Address("TCP", "fe80::2", 1), True),
        (UNIXAddress(None), UNIXAddress(b"/tmp/x"), True),
        (HostnameAddress(b"a.example", 1), HostnameAddress(b"a.example", 1), False),
    ],
)
def test_who_counts_as_one_peer(one: Any, other: Any, same: bool) -> None:
    door = Door(connectionsPerPeer=1)
    door.come(one)
    protocol = door.come(other)
    refused = protocol is None or protocol.transport.disconnected
    assert refused is same


def test_of_an_ipv6_address_as_many_bits_as_wanted_make_a_peer() -> None:
    for prefix, refused in ((48, True), (63, False), (64, False), (128, False)):
        door = Door(connectionsPerPeer=1, ipv6Prefix=prefix)
        door.come(IPv6Address("TCP", "2001:db8:0:0::1", 1))
        assert (door.come(IPv6Address("TCP", "2001:db8:0:2::1", 1)) is None) is refused


class UNIXTransport(StringTransport):
    uid: int | None = 0

    def getPeerCredentials(self) -> Any:
        if self.uid is None:
            raise OSError("this system does not say")
        return SimpleNamespace(uid=self.uid)


def unix(uid: int | None) -> UNIXTransport:
    transport = UNIXTransport(peerAddress=UNIXAddress(None))
    transport.uid = uid
    return transport


def test_users_are_peers_on_unix_sockets() -> None:
    door = Door(connectionsPerPeer=1)
    address = UNIXAddress(None)
    door.come(address, unix(1))
    other, again = unix(2), unix(1)
    door.come(address, other)
    refused = door.come(address, again)
    assert not other.disconnecting
    assert again.disconnected
    told: list[Any] = []
    door.above.built[-1].connectionLost = told.append
    refused.dataReceived(b"anything")
    refused.connectionLost(DONE)
    assert told == [], "it never heard of the connection"
    assert door.counters().current == 2
    assert door.counters().refused == {"connectionsPerPeer": 1}


def test_all_are_one_where_the_system_does_not_say_or_it_is_so_wanted() -> None:
    door = Door(connectionsPerPeer=1)
    door.come(UNIXAddress(None), unix(None))
    door.come(UNIXAddress(None), again := unix(None))
    assert again.disconnected
    door = Door(connectionsPerPeer=1, unixPeers="one")
    door.come(UNIXAddress(None), unix(1))
    assert door.come(UNIXAddress(None), unix(2)) is None


def test_all_that_it_is_put_around_is_counted_together() -> None:
    door = Door(connections=2)
    other = door.limits.wrapFactory(Building(), door.clock)
    door.come(ipv4(1))
    protocol = other.buildProtocol(ipv4(2))
    protocol.makeConnection(StringTransport())
    assert door.come(ipv4(3)) is None
    assert door.counters().peak == 2
    copy = dataclasses.replace(door.limits, idle=None)
    assert copy.counters().accepted == 0


def test_what_was_built_before_and_connects_later_is_looked_at_again() -> None:
    """As behind a layer that waits for a header of the proxy."""
    door = Door(connections=1)
    transports = [StringTransport(), StringTransport()]
    built = [door.factory.buildProtocol(ipv4(1)) for _ in transports]
    for protocol, transport in zip(built, transports, strict=True):
        protocol.makeConnection(transport)
    assert [transport.disconnected for transport in transports] == [False, True]
    assert door.counters().refused == {"connections": 1}


def test_what_counts_is_the_peer_that_the_transport_tells() -> None:
    door = Door(connectionsPerPeer=1)
    proxy = ipv4(1)
    for number in (2, 3):
        door.come(proxy, transport := StringTransport(peerAddress=ipv4(number)))
        assert not transport.disconnecting
    door.come(proxy, transport := StringTransport(peerAddress=ipv4(2)))
    assert transport.disconnected


def test_a_connection_that_breaks_at_once_is_counted_off() -> None:
    class Breaks(Protocol):
        def connectionMade(self) -> None:
            raise ZeroDivisionError

    door = Door()
    door.above.protocol = Breaks
    protocol = door.factory.buildProtocol(ipv4(1))
    with pytest.raises(ZeroDivisionError):
        protocol.makeConnection(StringTransport())
    protocol.connectionLost(DONE)
    assert door.counters().current == 0
    assert door.clock.getDelayedCalls() == []


class TestRefusing:
    def full(self, **limits: Any) -> Door:
        door = Door(connections=1, overflow=b"busy\r\n", **limits)
        door.come(ipv4(1))
        return door

    def test_a_word_and_time_to_read_it(self) -> None:
        door = self.full()
        refused = door.come(ipv4(2), transport := StringTransport())
        assert transport.value() == b"busy\r\n"
        assert transport.writeDisconnecting
        assert not transport.disconnecting
        refused.dataReceived(b"what it wanted to say")
        door.clock.advance(1)
        assert transport.disconnected
        refused.connectionLost(DONE)
        assert len(door.above.built) == 1

    def test_who_closes_leaves_nothing_behind(self) -> None:
        door = self.full()
        pair = connectedPair(door.factory.buildProtocol(ipv4(2)), Protocol())
        heard: list[bytes] = []
        pair.client.dataReceived = heard.append  # type: ignore[method-assign]
        pair.client.transport.write(b"a question")
        pair.flush()
        assert heard == [b"busy\r\n"]
        assert not pair.serverTransport.connected
        assert len(door.clock.getDelayedCalls()) == 1, "that of the other connection"

    def test_so_many_are_told_at_a_time_and_the_others_cost_nothing(self) -> None:
        door = self.full()
        told = [door.come(ipv4(2)) for _ in range(10)]
        assert None not in told
        assert [door.come(ipv4(2)) for _ in range(500)] == [None] * 500
        assert len(door.clock.getDelayedCalls()) == 11
        door.go(told[0])
        assert door.come(ipv4(2)) is not None
        assert door.counters().refused == {"connections": 511}

    def test_on_a_unix_socket_too(self) -> None:
        door = Door(connectionsPerPeer=1, overflow=b"busy\r\n")
        door.come(UNIXAddress(None), unix(1))
        refused = door.come(UNIXAddress(None), transport := unix(1))
        assert transport.value() == b"busy\r\n"
        door.go(refused)
        assert len(door.clock.getDelayedCalls()) == 1

    def test_a_handshake_is_too_much_for_that(self) -> None:
        @implementer(ISSLTransport)
        class Secure(StringTransport):
            getPeerCertificate = None

        door = self.full()
        refused = door.come(ipv4(2), transport := Secure())
        assert transport.value() == b""
        assert transport.disconnected
        door.go(refused)

    def test_on_a_pipe(self) -> None:
        class Pipe:
            closed = 0

            def write(self, data: bytes) -> None:
                assert data == b"busy\r\n"

            def getPeer(self) -> Any:
                return HostnameAddress(b"pipe", 1)

            def loseConnection(self) -> None:
                self.closed += 1

        door = self.full()
        refused = door.come(ipv4(2), pipe := Pipe())
        door.clock.advance(1)
        assert pipe.closed == 2
        door.go(refused)


class TestLogging:
    @pytest.fixture
    def lines(self, caplog: pytest.LogCaptureFixture) -> Any:
        caplog.set_level(logging.INFO, logger="netcore.limits")
        return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]

    def test_a_refusal_is_logged_once_a_minute(self, lines: Any) -> None:
        door = Door(connections=1, handshake=None, firstByte=None)
        door.come(ipv4(1))
        for _ in range(100):
            door.come(ipv4(2))
        what = "refused a connection of IPv4Address(type='TCP', host='192.0.2.2', port=50000): 1 stand already"
        first = ("WARNING", f"{what} (ListenerLimits.connections)")
        assert lines() == [first]
        door.clock.advance(LOG_PERIOD)
        for _ in range(100):
            door.come(ipv4(2))
        assert lines() == [first, ("WARNING", f"{first[1]}; and 99 more, not logged, since such a line")]

    def test_so_is_a_closing_and_each_kind_by_itself(self, lines: Any) -> None:
        door = Door(connectionsPerPeer=None)
        some = [door.come(ipv4(1)) for _ in range(10)]
        for protocol in some[:5]:
            protocol.dataReceived(b"?")
        door.clock.advance(20)
        assert [level for level, _ in lines()] == ["INFO", "INFO"]
        assert {line.rpartition("(")[2] for _, line in lines()} == {
            "ListenerLimits.firstByte is 20)",
            "ListenerLimits.minimumRate is 240)",
        }
        assert door.counters().closed == {"firstByte": 5, "minimumRate": 5}


def test_an_endpoint_with_limits() -> None:
    @implementer(IStreamServerEndpoint)
    class Endpoint:
        def listen(self, protocolFactory: Any) -> Any:
            self.factory = protocolFactory
            return succeed("port")

    below, above, limits, clock = Endpoint(), Building(), ListenerLimits(connections=1), Clock()
    endpoint = limits.wrapEndpoint(below, clock)
    assert provides(endpoint, IStreamServerEndpoint)
    results: list[Any] = []
    endpoint.listen(above).addCallback(results.append)
    assert results == ["port"]
    below.factory.buildProtocol(ipv4(1)).makeConnection(StringTransport())
    assert below.factory.buildProtocol(ipv4(1)) is None
    assert limits.counters().current == 1
    assert "connections=1" in repr(endpoint)
    assert len(clock.getDelayedCalls()) == 1


def test_without_a_clock_it_is_the_reactors(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("netcore.protocols.limits._factory.current_reactor", lambda: clock)
    protocol = ListenerLimits().wrapFactory(Building()).buildProtocol(ipv4(1))
    protocol.makeConnection(StringTransport())
    assert len(clock.getDelayedCalls()) == 1


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("connections", 0, "must be 1 or more, or None for no limit, not 0"),
        ("connections", True, "must be a whole number, or None"),
        ("connectionsPerPeer", 1.5, "must be a whole number, or None"),
        ("buffer", -1, "must be 1 or more"),
        ("ipv6Prefix", 129, "must be 1 or more, to 128 at most, not 129"),
        ("ipv6Prefix", None, "must be a whole number, to 128 at most"),
        ("unixPeers", "group", 'must be "user" or "one"'),
        ("idle", 0, "must be a finite number of seconds above 0, or None for no limit, not 0"),
        ("request", math.inf, "must be a finite number of seconds above 0"),
        ("firstByte", math.nan, "must be a finite number of seconds above 0"),
        ("handshake", "10", "must be a number of seconds, or None for no limit, not '10'"),
        ("minimumRate", -1.0, "must be a finite number of bytes per second above 0"),
        ("rateWindow", None, "must be a number of seconds, not None"),
        ("overflow", "busy", "must be bytes, not 'busy': encode text first"),
    ],
)
def test_a_wrong_option_is_refused_with_what_to_say_instead(name: str, value: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        ListenerLimits(**{name: value})
    assert str(caught.value).startswith(f"ListenerLimits.{name} {error}")


def test_options_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ListenerLimits().idle = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        ListenerLimits().counters().refused["connections"] = 0  # type: ignore[index]
