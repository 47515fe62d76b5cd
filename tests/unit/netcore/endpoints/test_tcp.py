"""TCP endpoints on a scripted reactor: what they ask of it, and when their Deferreds fire."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import CancelledError, Deferred
from netcore.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    connectProtocol,
)
from netcore.error import CannotListenError, ConnectionLost, ConnectionRefusedError, NoProtocol, UserError
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol, Interface, implementer, provides
from netcore.protocol import Factory, Protocol
from netcore.protocols.policies import WrappingFactory
from netcore.testing import StringTransport

ADDRESS = IPv4Address("TCP", "192.0.2.1", 79)


class ScriptedReactor:
    """Notes what is asked of it; the test says how connecting goes, through `factory`."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.factory: Any = None
        self.raises: Exception | None = None

    def listenTCP(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append((args, kwargs))
        if self.raises is not None:
            raise self.raises
        return "the port"

    def connectTCP(self, host: str, port: int, factory: Any, **kwargs: Any) -> Any:
        self.asked.append((host, port, kwargs))
        if self.raises is not None:
            raise self.raises
        self.factory = factory
        factory.doStart()
        factory.startedConnecting(self)
        return self

    def disconnect(self) -> None:
        self.asked.append("disconnect")
        self.factory.clientConnectionFailed(self, Failure(UserError()))

    def connected(self) -> tuple[Any, StringTransport]:
        """Let the connection stand, as a reactor does."""
        transport = StringTransport()
        protocol = self.factory.buildProtocol(ADDRESS)
        if protocol is not None:
            protocol.makeConnection(transport)
        return protocol, transport


class Recorder(Protocol):
    heard: bytes = b""
    reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.reason = reason


class QuietFactory(Factory[Any]):
    noisy = False
    protocol = Recorder


@pytest.fixture
def reactor() -> Any:
    return ScriptedReactor()


def results_of(deferred: Deferred[Any]) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


def test_listen_asks_the_reactor_and_fires_with_the_port(reactor: Any) -> None:
    factory = QuietFactory()
    listening = TCP4ServerEndpoint(reactor, 79, backlog=7, interface="127.0.0.1").listen(factory)
    assert results_of(listening) == ["the port"]
    assert reactor.asked == [((79, factory), {"backlog": 7, "interface": "127.0.0.1"})]


@pytest.mark.parametrize(("kind", "interface"), [(TCP4ServerEndpoint, ""), (TCP6ServerEndpoint, "::")])
def test_server_endpoints_listen_everywhere_by_default(reactor: Any, kind: Any, interface: str) -> None:
    factory = QuietFactory()
    assert results_of(kind(reactor, 79).listen(factory)) == ["the port"]
    assert reactor.asked == [((79, factory), {"backlog": 50, "interface": interface})]


def test_listen_fails_through_its_deferred(reactor: Any) -> None:
    reactor.raises = CannotListenError("", 79, OSError("in use"))
    (failure,) = results_of(TCP4ServerEndpoint(reactor, 79).listen(QuietFactory()))
    assert failure.value is reactor.raises


def test_a_transport_finds_what_a_wrapper_passes_on(reactor: Any) -> None:
    """It knows that when it is connected."""

    @implementer(IHalfCloseableProtocol)
    class HalfCloseable(Recorder):
        def readConnectionLost(self) -> None:
            self.heard += b", and the last"

        def writeConnectionLost(self) -> None:
            pass

    connecting = TCP4ClientEndpoint(reactor, "example.org", 79).connect(
        WrappingFactory(Factory.forProtocol(HalfCloseable))
    )
    below, _ = reactor.connected()
    (wrapper,) = results_of(connecting)
    IHalfCloseableProtocol(below, None).readConnectionLost()  # type: ignore[call-arg,misc]
    assert wrapper.wrappedProtocol.heard == b", and the last"


def test_connect_asks_the_reactor(reactor: Any) -> None:
    TCP4ClientEndpoint(reactor, "example.org", 79, timeout=5, bindAddress="127.0.0.2").connect(QuietFactory())
    TCP4ClientEndpoint(reactor, "example.org", 79, bindAddress=("127.0.0.2", 99)).connect(QuietFactory())
    assert reactor.asked == [
        ("example.org", 79, {"timeout": 5, "bindAddress": ("127.0.0.2", 0)}),
        ("example.org", 79, {"timeout": 30, "bindAddress": ("127.0.0.2", 99)}),
    ]


def test_connect_fires_with_the_protocol_once_it_is_connected(reactor: Any) -> None:
    connecting = TCP4ClientEndpoint(reactor, "h", 79).connect(QuietFactory())
    results = results_of(connecting)
    assert results == []
    carried, transport = reactor.connected()
    (protocol,) = results
    assert type(protocol) is Recorder
    assert protocol.transport is transport
    carried.dataReceived(b"hello")
    assert protocol.heard == b"hello"
    reason = Failure(ConnectionLost())
    carried.connectionLost(reason)
    assert protocol.reason is reason


def test_the_factory_starts_and_stops_with_the_attempt(reactor: Any) -> None:
    factory = QuietFactory()
    TCP4ClientEndpoint(reactor, "h", 79).connect(factory)
    assert factory.numPorts == 1
    reactor.factory.doStop()
    assert factory.numPorts == 0


def test_connection_made_comes_before_the_deferred_fires(reactor: Any) -> None:
    order: list[str] = []

    class Ordered(Recorder):
        def connectionMade(self) -> None:
            order.append("connectionMade")

    connecting = connectProtocol(TCP4ClientEndpoint(reactor, "h", 79), Ordered())
    connecting.addCallback(lambda protocol: order.append("fired"))
    reactor.connected()
    assert order == ["connectionMade", "fired"]


def test_a_failed_attempt_fails_the_deferred(reactor: Any) -> None:
    results = results_of(TCP4ClientEndpoint(reactor, "h", 79).connect(QuietFactory()))
    reason = Failure(ConnectionRefusedError())
    reactor.factory.clientConnectionFailed(reactor, reason)
    assert results == [reason]


def test_a_reactor_that_refuses_fails_the_deferred(reactor: Any) -> None:
    reactor.raises = OverflowError("port")
    (failure,) = results_of(TCP4ClientEndpoint(reactor, "h", 99999).connect(QuietFactory()))
    assert failure.value is reactor.raises


def test_a_factory_that_builds_no_protocol_fails_the_deferred(reactor: Any) -> None:
    class Refusing(QuietFactory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    results = results_of(TCP4ClientEndpoint(reactor, "h", 79).connect(Refusing()))
    assert reactor.connected()[0] is None
    assert results[0].check(NoProtocol)


def test_a_factory_that_raises_fails_the_deferred(reactor: Any) -> None:
    class Failing(QuietFactory):
        def buildProtocol(self, addr: Any) -> None:
            raise KeyError(addr)

    results = results_of(TCP4ClientEndpoint(reactor, "h", 79).connect(Failing()))
    assert reactor.connected()[0] is None
    assert results[0].check(KeyError)


def test_a_protocol_that_raises_in_connection_made_fails_the_deferred(reactor: Any) -> None:
    class Failing(Recorder):
        def connectionMade(self) -> None:
            raise KeyError("made")

    protocol = Failing()
    results = results_of(connectProtocol(TCP4ClientEndpoint(reactor, "h", 79), protocol))
    carried = reactor.factory.buildProtocol(ADDRESS)
    with pytest.raises(KeyError):
        carried.makeConnection(StringTransport())
    reason = Failure(KeyError("made"))
    carried.connectionLost(reason)
    assert results == [reason]
    assert protocol.reason is reason


def test_cancelling_ends_the_attempt(reactor: Any) -> None:
    connecting = TCP4ClientEndpoint(reactor, "h", 79).connect(QuietFactory())
    results = results_of(connecting)
    connecting.cancel()
    assert reactor.asked[-1] == "disconnect"
    assert results[0].check(CancelledError)


def test_cancelling_after_the_connection_stands_does_nothing(reactor: Any) -> None:
    connecting = TCP4ClientEndpoint(reactor, "h", 79).connect(QuietFactory())
    reactor.connected()
    connecting.cancel()
    assert reactor.asked[-1] != "disconnect"


def test_connect_protocol_connects_the_one_it_was_given(reactor: Any) -> None:
    protocol = Recorder()
    results = results_of(connectProtocol(TCP4ClientEndpoint(reactor, "h", 79), protocol))
    reactor.connected()
    assert results == [protocol]


def test_what_carries_the_protocol_provides_what_the_protocol_provides(reactor: Any) -> None:
    from zope.interface import implementer

    class ISpecial(Interface):
        def special(self) -> str:
            """Something a transport may ask of some protocols."""

    @implementer(ISpecial)
    class Special(Recorder):
        def special(self) -> str:
            return "yes"

    connectProtocol(TCP4ClientEndpoint(reactor, "h", 79), Special())
    carried, _ = reactor.connected()
    assert provides(carried, ISpecial)
    assert carried.special() == "yes"
    assert carried.logPrefix() == "Special"


def test_endpoints_say_what_they_are() -> None:
    assert "port=79" in repr(TCP4ServerEndpoint(None, 79))  # type: ignore[arg-type]
    assert "host='h'" in repr(TCP4ClientEndpoint(None, "h", 79))  # type: ignore[arg-type]


def test_tcp6_listens_on_ipv6_addresses_only() -> None:
    assert "interface='::'" in repr(TCP6ServerEndpoint(ScriptedReactor(), 80, interface=""))
    for wrong in ("127.0.0.1", "localhost"):
        with pytest.raises(ValueError, match="no IPv6 address"):
            TCP6ServerEndpoint(ScriptedReactor(), 80, interface=wrong)


@pytest.mark.parametrize(
    ("kind", "types"),
    [(TCP4ClientEndpoint, (IPv4Address,)), (TCP6ClientEndpoint, (IPv6Address,)), (HostnameEndpoint, None)],
)
def test_which_addresses_of_a_name_are_tried(reactor: Any, kind: Any, types: Any) -> None:
    reactor.addressTypes = None
    kind(reactor, "example.org", 79).connect(QuietFactory())
    assert reactor.asked == [("example.org", 79, {"timeout": 30, "bindAddress": None})]
    assert reactor.addressTypes == types


def test_a_name_may_be_bytes_and_have_a_delay_of_its_own(reactor: Any) -> None:
    HostnameEndpoint(reactor, b"example.org", 79, 5, b"127.0.0.2", 0.1).connect(QuietFactory())
    assert reactor.asked == [("example.org", 79, {"timeout": 5, "bindAddress": ("127.0.0.2", 0)})]
    assert reactor.attemptDelay == 0.1
    with pytest.raises(UnicodeDecodeError):
        HostnameEndpoint(reactor, "exämple.org".encode(), 79)


@pytest.mark.parametrize("delay", [-1, float("nan")])
def test_a_delay_is_a_time(reactor: Any, delay: float) -> None:
    with pytest.raises(ValueError, match="attemptDelay"):
        HostnameEndpoint(reactor, "example.org", 79, attemptDelay=delay)
