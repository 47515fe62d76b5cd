"""Connections that begin with a header of the PROXY protocol: who hears what, when, and who is refused."""

from __future__ import annotations

import logging
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from netcore.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from netcore.defer import succeed
from netcore.error import ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol, IHandshakeListener, ITCPTransport, implementer, provides
from netcore.protocol import Factory, Protocol
from netcore.protocols.haproxy import HAProxyWrappingFactory, proxyEndpoint
from netcore.protocols.haproxy._trust import Trusted
from netcore.task import Clock
from netcore.testing import StringTransport
from tests.unit.netcore.protocols.haproxy import headers

CLIENT, SERVER = IPv4Address("TCP", "127.0.0.9", 35443), IPv4Address("TCP", "127.0.0.1", 21001)
PROXY, HERE = IPv4Address("TCP", "10.0.0.2", 4000), IPv4Address("TCP", "10.0.0.1", 79)
ELSEWHERE = IPv4Address("TCP", "198.51.100.7", 4000)


class Recorder(Protocol):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def connectionMade(self) -> None:
        self.told.append(("made", self.transport.getPeer(), self.transport.getHost()))

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.told.append(("lost", reason.type))


class Service(Factory[Any]):
    noisy = False

    def __init__(self, make: Any = Recorder) -> None:
        self.make = make
        self.peers: list[Any] = []
        self.built: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.peers.append(addr)
        self.built.append(self.make())
        return self.built[-1]


class World:
    """A service behind the PROXY protocol, and one connection to it."""

    def __init__(self, peer: Any = PROXY, make: Any = Recorder, **options: Any) -> None:
        self.clock = Clock()
        self.service = Service(make)
        self.factory = HAProxyWrappingFactory(self.service, clock=self.clock, **options)
        self.factory.noisy = False
        self.connect(peer)

    def connect(self, peer: Any = PROXY) -> None:
        self.transport = StringTransport(HERE, peer)
        self.wrapper: Any = self.factory.buildProtocol(peer)
        self.wrapper.makeConnection(self.transport)

    def receive(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.wrapper.dataReceived(piece)

    @property
    def told(self) -> list[Any]:
        (protocol,) = self.service.built
        return protocol.told  # type: ignore[no-any-return]

    def end(self) -> None:
        """The connection has gone; nothing is left."""
        self.wrapper.connectionLost(Failure(ConnectionLost()))
        assert self.factory.protocols == {}
        assert self.clock.getDelayedCalls() == []


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_the_protocol_sees_the_client() -> None:
    world = World()
    world.receive(headers.V1_IPV4 + b"hello\r\n")
    assert world.service.peers == [CLIENT]
    assert world.told == [("made", CLIENT, SERVER), b"hello\r\n"]
    protocol = world.service.built[0]
    assert protocol.transport.proxyHeader.version == 1
    assert list(world.factory.protocols) == [world.wrapper]
    assert world.clock.getDelayedCalls() == []
    world.receive(b"more")
    world.end()
    assert world.told[2:] == [b"more", ("lost", ConnectionLost)]


@pytest.mark.parametrize("header", headers.RECORDED)
def test_the_header_may_be_cut_anywhere(header: bytes) -> None:
    """And what follows comes as it came."""
    following = b"PROXY\r\n\0"
    whole = World()
    whole.receive(header + following)
    assert whole.told[1:] == [following]
    for cut in range(1, len(header) + len(following)):
        world = World()
        world.receive((header + following)[:cut], (header + following)[cut:])
        assert world.told[0] == whole.told[0]
        assert b"".join(world.told[1:]) == following
    world = World()
    world.receive(*one_by_one(header + following))
    assert world.told == [whole.told[0], *one_by_one(following)]


def test_nobody_hears_of_a_connection_before_its_header() -> None:
    """Section 2 of the specification."""
    world = World()
    world.receive(headers.V1_IPV4[:-1])
    assert world.service.peers == []
    assert world.factory.protocols == {}
    assert world.transport.value() == b""
    world.end()
    assert world.service.peers == []


@pytest.mark.parametrize("header", [headers.V1_UNIX, headers.V2_UNIX, headers.V2_CHECK])
def test_what_the_proxy_does_not_say_is_as_it_is(header: bytes) -> None:
    world = World()
    world.receive(header)
    assert world.told == [("made", PROXY, HERE)]
    assert world.service.peers == [PROXY]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", headers.V1_IPV4.replace(b"9", b"999"), b"x" * 70_000])
def test_a_malformed_header_ends_that_connection(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.receive(data, data, headers.V1_IPV4)
    assert world.transport.disconnected
    assert world.service.peers == []
    assert world.factory.refused == 1
    assert "10.0.0.2" in caplog.text
    assert repr(data[:16])[2:-1] in caplog.text
    world.end()
    world.connect()
    world.receive(headers.V1_IPV4)
    assert world.told == [("made", CLIENT, SERVER)], "another one is served"


def test_the_header_must_come_in_time(caplog: pytest.LogCaptureFixture) -> None:
    world = World(headerTimeout=3)
    world.receive(*one_by_one(headers.V1_IPV4[:20]))
    world.clock.advance(2.9)
    assert not world.transport.disconnected
    world.clock.advance(0.1)
    assert world.transport.disconnected
    assert "its header was not there after 3 s" in caplog.text
    world.receive(headers.V1_IPV4[20:])
    assert world.service.peers == []
    world.end()


def test_without_a_limit_there_is_no_timer() -> None:
    world = World(headerTimeout=None)
    assert world.clock.getDelayedCalls() == []
    world.receive(headers.V1_IPV4)
    assert world.told == [("made", CLIENT, SERVER)]


TRUST: list[tuple[Any, Any, bool]] = [
    (None, IPv4Address("TCP", "127.0.0.1", 1), True),
    (None, IPv4Address("TCP", "10.255.0.1", 1), True),
    (None, IPv4Address("TCP", "172.31.0.1", 1), True),
    (None, IPv4Address("TCP", "172.32.0.1", 1), False),
    (None, IPv4Address("TCP", "192.168.0.1", 1), True),
    (None, IPv4Address("TCP", "198.51.100.7", 1), False),
    (None, IPv4Address("TCP", "100.64.0.1", 1), False),
    (None, IPv6Address("TCP", "::1", 1), True),
    (None, IPv6Address("TCP", "fd00::1", 1), True),
    (None, IPv6Address("TCP", "fe80::1", 1, 0, 2), True),
    (None, IPv6Address("TCP", "2001:db8::1", 1), False),
    (None, IPv6Address("TCP", "::ffff:10.0.0.1", 1), True),
    (None, IPv6Address("TCP", "::ffff:198.51.100.7", 1), False),
    (None, UNIXAddress(None), True),
    (None, HostnameAddress(b"localhost", 1), False),
    (None, IPv4Address("TCP", "localhost", 1), False),
    (None, None, False),
    (["198.51.100.0/24"], IPv4Address("TCP", "198.51.100.7", 1), True),
    (["198.51.100.7"], IPv4Address("TCP", "198.51.100.7", 1), True),
    (["198.51.100.7"], IPv4Address("TCP", "198.51.100.8", 1), False),
    (["198.51.100.7"], IPv4Address("TCP", "127.0.0.1", 1), False),
    (["198.51.100.7"], UNIXAddress(None), False),
    ([ip_network("2001:db8::/32")], IPv6Address("TCP", "2001:db8::1", 1), True),
    ([ip_address("2001:db8::1")], IPv6Address("TCP", "2001:db8::1", 1), True),
    (["::ffff:198.51.100.0/120"], IPv4Address("TCP", "198.51.100.7", 1), True),
    (["::ffff:198.51.100.7"], IPv6Address("TCP", "::ffff:198.51.100.7", 1), True),
    (["::ffff:198.51.100.7"], IPv4Address("TCP", "198.51.100.8", 1), False),
    (["::/0"], IPv4Address("TCP", "198.51.100.7", 1), False),
    (["unix"], UNIXAddress("/run/socket"), True),
    (["unix"], IPv4Address("TCP", "127.0.0.1", 1), False),
    (["any"], IPv4Address("TCP", "198.51.100.7", 1), True),
    (["any"], IPv6Address("TCP", "2001:db8::1", 1), True),
    (["any"], UNIXAddress(None), True),
    (["any"], HostnameAddress(b"localhost", 1), True),
    ((each for each in ("private", "198.51.100.7")), IPv4Address("TCP", "10.0.0.1", 1), True),
]


@pytest.mark.parametrize(("trusted", "peer", "yes"), TRUST)
def test_who_is_trusted(trusted: Any, peer: Any, yes: bool) -> None:
    assert (peer in HAProxyWrappingFactory(Service(), trusted=trusted).trusted) is yes


def test_who_is_not_trusted_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    world = World(ELSEWHERE)
    assert world.transport.disconnected
    assert "198.51.100.7" in caplog.text
    assert "it is no trusted source: these are private, unix" in caplog.text
    world.receive(headers.V1_IPV4 + b"hello")
    assert world.service.peers == []
    world.end()


def test_who_is_not_trusted_may_be_let_through_as_himself() -> None:
    """What he sends is data, a header too."""
    world = World(ELSEWHERE, untrusted="pass")
    assert world.told == [("made", ELSEWHERE, HERE)]
    assert world.service.built[0].transport.proxyHeader is None
    world.receive(headers.V1_IPV4)
    assert world.told[1:] == [headers.V1_IPV4]
    world.end()
    assert world.told[2:] == [("lost", ConnectionLost)]


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"trusted": "10.0.0.0/8"}, TypeError, "several strings"),
        ({"trusted": []}, ValueError, "nobody can send"),
        ({"trusted": ["10.0.0.1/8"]}, ValueError, "'10.0.0.1/8' is none .*host bits"),
        ({"trusted": [10]}, ValueError, "10 is none .int is no str"),
        ({"trusted": [b"four"]}, ValueError, "b'four' is none .bytes is no str"),
        ({"trusted": ["localhost"]}, ValueError, "one of private, unix, any: 'localhost' is none"),
        ({"untrusted": "maybe"}, ValueError, "'maybe'"),
        ({"headerTimeout": 0}, ValueError, "above 0, not 0"),
        ({"headerTimeout": float("nan")}, ValueError, "not nan"),
    ],
)
def test_wrong_options_are_refused_at_once(options: Any, error: Any, why: str) -> None:
    with pytest.raises(error, match=why):
        HAProxyWrappingFactory(Service(), **options)
    with pytest.raises(error, match=why):
        proxyEndpoint(None, **options)  # type: ignore[arg-type]


def test_a_scan_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = World(ELSEWHERE)
    for _ in range(1000):
        world.connect(ELSEWHERE)
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    world.clock.advance(10)
    world.connect(ELSEWHERE)
    assert len(caplog.records) == 2
    assert "(1000 more since the last such line)" in caplog.text
    assert world.factory.refused == 1002


def test_a_service_may_refuse_the_client() -> None:
    world = World(make=lambda: None)
    world.receive(headers.V1_IPV4 + b"hello", b"more")
    assert world.service.peers == [CLIENT]
    assert world.transport.disconnecting
    assert not world.transport.disconnected
    world.end()


def test_what_building_raises_is_the_transports_to_handle() -> None:
    world = World(make=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.receive(headers.V1_IPV4)
    world.end()


def test_who_pauses_at_once_hears_the_rest_when_he_goes_on() -> None:
    class Pausing(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.pauseProducing()

    world = World(make=Pausing)
    world.receive(headers.V1_IPV4 + b"hello")
    assert world.told == [("made", CLIENT, SERVER)]
    assert world.transport.producerState == "paused"
    transport = world.service.built[0].transport
    transport.resumeProducing()
    transport.resumeProducing()
    assert world.told[1:] == [], "not from within the call"
    transport.pauseProducing()
    world.clock.advance(0)
    assert (world.told[1:], world.transport.producerState) == ([], "paused")
    transport.resumeProducing()
    world.clock.advance(0)
    assert (world.told[1:], world.transport.producerState) == ([b"hello"], "producing")
    transport.pauseProducing()
    transport.resumeProducing()
    assert world.transport.producerState == "producing"
    world.end()


def test_what_is_raised_when_he_goes_on_ends_the_connection(logged: Any) -> None:
    class Broken(Recorder):
        def connectionMade(self) -> None:
            self.transport.pauseProducing()

        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    world = World(make=Broken)
    world.receive(headers.V1_IPV4 + b"hello")
    world.service.built[0].transport.resumeProducing()
    world.clock.advance(0)
    logged.take(ZeroDivisionError)
    assert world.transport.disconnected
    assert world.transport.failure.type is ZeroDivisionError, "he hears why, as without a proxy"
    assert world.transport.producerState == "paused"
    world.end()


def test_what_is_raised_when_he_goes_on_ends_a_connection_that_takes_no_reason(logged: Any) -> None:
    """Such as that of the standard streams."""

    class Streams:
        ended = False
        disconnecting = False

        def getPeer(self) -> None: ...

        getHost = pauseProducing = resumeProducing = getPeer

        def loseConnection(self) -> None:
            self.ended = True

    class Broken(Recorder):
        def connectionMade(self) -> None:
            self.transport.pauseProducing()

        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    world = World(make=Broken, trusted=["any"])
    world.wrapper.connectionLost(Failure(ConnectionLost()))
    world.wrapper, streams = world.factory.buildProtocol(None), Streams()
    world.wrapper.makeConnection(streams)
    world.receive(headers.V1_IPV4 + b"hello")
    world.service.built[0].transport.resumeProducing()
    world.clock.advance(0)
    logged.take(ZeroDivisionError)
    assert streams.ended
    world.wrapper.connectionLost(Failure(ConnectionLost()))


def test_who_closes_at_once_does_not_hear_the_rest() -> None:
    class Closing(Recorder):
        def connectionMade(self) -> None:
            self.transport.loseConnection()

    world = World(make=Closing)
    world.receive(headers.V1_IPV4 + b"hello")
    assert world.told == []
    world.end()


def test_an_end_while_he_pauses_leaves_nothing() -> None:
    world = World()
    world.receive(headers.V1_IPV4)
    protocol = world.service.built[0]
    protocol.transport.pauseProducing()
    world.receive(b"in spite of it")  # what a transport may have had already
    protocol.transport.resumeProducing()
    world.end()


def test_who_goes_on_after_the_end_begins_nothing() -> None:
    class Pausing(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.pauseProducing()

    world = World(make=Pausing)
    world.receive(headers.V1_IPV4 + b"never delivered")
    transport = world.service.built[0].transport
    world.end()
    transport.resumeProducing()
    assert world.clock.getDelayedCalls() == []
    assert world.told[1:] == [("lost", ConnectionLost)]


@implementer(IHandshakeListener)
class HandshakeRecorder(Recorder):
    def handshakeCompleted(self) -> None:
        self.told.append("handshake")


def test_a_handshake_before_the_header_is_heard_of_after_the_connection() -> None:
    """As with a header inside TLS: ``proxyEndpoint(wrapServerTLS(...))``."""
    world = World(make=HandshakeRecorder)
    assert provides(world.wrapper, IHandshakeListener)
    world.wrapper.handshakeCompleted()
    world.receive(headers.V1_IPV4 + b"hello")
    assert world.told == [("made", CLIENT, SERVER), "handshake", b"hello"]
    world.end()


def test_a_handshake_that_comes_later_is_handed_on() -> None:
    """As with ``startTLS``."""
    world = World(make=HandshakeRecorder)
    world.receive(headers.V1_IPV4 + b"hello")
    world.wrapper.handshakeCompleted()
    assert world.told[1:] == [b"hello", "handshake"]
    world.end()


def test_who_closes_at_once_does_not_hear_of_the_handshake() -> None:
    class Closing(HandshakeRecorder):
        def connectionMade(self) -> None:
            self.transport.loseConnection()

    world = World(make=Closing)
    world.wrapper.handshakeCompleted()
    world.receive(headers.V1_IPV4)
    assert world.told == []
    world.end()


def test_who_does_not_listen_for_a_handshake_is_not_told() -> None:
    world = World()
    world.wrapper.handshakeCompleted()
    world.receive(headers.V1_IPV4)
    world.wrapper.handshakeCompleted()
    assert world.told == [("made", CLIENT, SERVER)]
    world.end()


def test_it_is_the_transport_below_to_the_protocol_and_the_other_way_round() -> None:
    @implementer(IHalfCloseableProtocol)
    class HalfClosing(Recorder):
        def readConnectionLost(self) -> None:
            self.told.append("no more")

        def writeConnectionLost(self) -> None:
            pass

    world = World(make=HalfClosing)
    assert not provides(world.wrapper, IHalfCloseableProtocol)
    world.receive(headers.V1_IPV4)
    assert provides(world.wrapper, IHalfCloseableProtocol)
    world.wrapper.readConnectionLost()
    assert world.told[1:] == ["no more"]
    transport: Any = world.service.built[0].transport
    assert provides(transport, ITCPTransport)
    transport.setTcpNoDelay(True)
    transport.write(b"answer")
    assert (world.transport.value(), world.transport.getTcpNoDelay()) == (b"answer", True)
    world.end()


def test_what_follows_is_not_handed_on_when_tls_begins_with_it() -> None:
    """``startTLS`` asks the transport's protocol for what came behind the last byte that was not encrypted."""

    class Starting(Recorder):
        def connectionMade(self) -> None:
            self.taken = self.transport.clearLineBuffer()

    world = World(make=Starting)
    world.receive(headers.V1_IPV4 + b"records")
    assert (world.service.built[0].taken, world.told) == (b"records", [])
    world.end()


def test_two_headers_are_two_proxies() -> None:
    """The nearest one's comes first; whether the next one is trusted goes by what it says."""
    service = Service()
    clock = Clock()
    factory = HAProxyWrappingFactory(HAProxyWrappingFactory(service, clock=clock), clock=clock)
    wrapper = factory.buildProtocol(PROXY)
    wrapper.makeConnection(StringTransport(HERE, PROXY))
    wrapper.dataReceived(headers.V1_CHECK + headers.V2_IPV4 + b"hello")
    assert service.peers == [IPv4Address("TCP", "127.0.0.9", 42073)]
    assert service.built[0].told[1:] == [b"hello"]
    wrapper.connectionLost(Failure(ConnectionLost()))


def test_the_clock_is_the_reactors(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("netcore.protocols.haproxy._wrapper.current_reactor", lambda: clock)
    factory = HAProxyWrappingFactory(Service())
    wrapper = factory.buildProtocol(PROXY)
    wrapper.makeConnection(StringTransport(HERE, PROXY))
    assert len(clock.getDelayedCalls()) == 1
    wrapper.connectionLost(Failure(ConnectionLost()))
    assert clock.getDelayedCalls() == []


def test_an_endpoint_hands_on_what_it_was_told() -> None:
    class Below:
        def listen(self, factory: Any) -> Any:
            self.factory = factory
            return succeed("the port")

        def __repr__(self) -> str:
            return "below"

    below: Any = Below()
    clock, service = Clock(), Service()
    endpoint = proxyEndpoint(below, trusted=["198.51.100.7"], untrusted="pass", headerTimeout=7, clock=clock)
    assert repr(endpoint) == "<PROXY protocol over below>"
    outcome: list[Any] = []
    endpoint.listen(service).addBoth(outcome.append)
    assert outcome == ["the port"]
    factory = below.factory
    assert (factory.wrappedFactory, factory.untrusted, factory.headerTimeout) == (service, "pass", 7)
    assert ELSEWHERE in factory.trusted
    assert factory.clock is clock
    proxyEndpoint(below).listen(service)
    assert str(below.factory.trusted) == "private, unix"
    assert isinstance(below.factory.trusted, Trusted)


def test_it_is_called_like_what_is_above() -> None:
    world = World()
    assert world.wrapper.logPrefix() == "Service (HAProxyWrappingFactory)"
    world.receive(headers.V1_IPV4)
    assert world.wrapper.logPrefix() == "Recorder (HAProxyProtocolWrapper)"
