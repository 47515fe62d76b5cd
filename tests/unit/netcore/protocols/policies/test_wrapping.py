"""Wrappers: a protocol behind one notices nothing, nor does its transport."""

from __future__ import annotations

import gc
import ssl
import weakref
from typing import Any

import pytest

from netcore import scope
from netcore.address import IPv4Address
from netcore.defer import CancelledError, Deferred
from netcore.error import ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import (
    IConsumer,
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILimitListener,
    IPushProducer,
    ITCPTransport,
    implementer,
    provides,
)
from netcore.protocol import ClientFactory, Factory, Protocol
from netcore.protocols.basic import LineReceiver
from netcore.protocols.limits import LimitExceeded
from netcore.protocols.policies import (
    LimitConnectionsByPeer,
    ProtocolWrapper,
    ThrottlingFactory,
    WrappingFactory,
)
from netcore.protocols.tls import TLSMemoryBIOFactory
from netcore.testing import StringTransport, connectedPair

DONE = Failure(ConnectionDone())


class Recorder(Protocol):
    """Notes what it hears, in the list of its factory."""

    def note(self, *what: Any) -> None:
        self.factory.told.append(what)

    def connectionMade(self) -> None:
        self.note("made", self.transport.getPeer(), len(self.factory.wrapping.protocols))

    def dataReceived(self, data: bytes) -> None:
        self.note("data", data)

    def connectionLost(self, reason: Failure = DONE) -> None:
        self.note("lost", reason.type, len(self.factory.wrapping.protocols))


@implementer(IHalfCloseableProtocol, IHandshakeListener, IFileDescriptorReceiver, ILimitListener)
class Everything(Recorder):
    def readConnectionLost(self) -> None:
        self.note("read lost")

    def writeConnectionLost(self) -> None:
        self.note("write lost")

    def handshakeCompleted(self) -> None:
        self.note("secure")

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.note("descriptor", descriptor)

    def limitExceeded(self, error: LimitExceeded) -> None:
        self.note("limit", error.limit)


class Recording(ClientFactory[Any]):
    """Notes what it is told itself, too."""

    noisy = False
    protocol = Recorder
    wrapping: WrappingFactory

    def __init__(self) -> None:
        self.told: list[Any] = []

    def startFactory(self) -> None:
        self.told.append("started")

    def stopFactory(self) -> None:
        self.told.append("stopped")

    def startedConnecting(self, connector: Any) -> None:
        self.told.append(("connecting", connector))

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.told.append(("failed", connector, reason))

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.told.append(("client lost", connector, reason))


@pytest.fixture
def above() -> Recording:
    return Recording()


@pytest.fixture
def factory(above: Recording) -> WrappingFactory:
    above.wrapping = WrappingFactory(above)
    above.wrapping.noisy = False
    return above.wrapping


@pytest.fixture
def transport() -> Any:
    return StringTransport()


def connect(factory: WrappingFactory, transport: Any) -> Any:
    wrapper = factory.buildProtocol(transport.getPeer())
    wrapper.makeConnection(transport)
    return wrapper


def test_what_is_heard_and_said_goes_through(factory: WrappingFactory, above: Recording, transport: Any) -> None:
    wrapper = connect(factory, transport)
    assert factory.protocols == {wrapper: 1}
    protocol = wrapper.wrappedProtocol
    assert wrapper.protocol is protocol
    wrapper.dataReceived(b"hello")
    protocol.transport.write(b"good ")
    protocol.transport.writeSequence([b"b", b"ye"])
    assert transport.value() == b"good bye"
    assert protocol.transport.getHost() == transport.getHost()
    wrapper.connectionLost(DONE)
    assert above.told == [("made", transport.getPeer(), 1), ("data", b"hello"), ("lost", ConnectionDone, 0)]
    assert factory.protocols == {}


def test_the_wrapper_hears_of_the_connection_first_then_the_factory_then_the_protocol(
    factory: WrappingFactory, above: Recording, transport: Any
) -> None:
    class First(ProtocolWrapper):
        def connectionMade(self) -> None:
            above.told.append(("wrapper", len(factory.protocols), self.transport is transport, self.connected))

    factory.protocol = First
    connect(factory, transport)
    assert [told[:2] for told in above.told] == [("wrapper", 0), ("made", transport.getPeer())]
    assert above.told[0] == ("wrapper", 0, True, 1)


def test_closing_is_seen_above_whoever_closes(factory: WrappingFactory, transport: Any) -> None:
    protocol = connect(factory, transport).wrappedProtocol
    assert protocol.transport.disconnecting is False
    protocol.transport.loseConnection()
    assert transport.disconnecting
    assert protocol.transport.disconnecting is True
    for close in ("abortConnection", "stopConsuming"):
        transport = StringTransport()
        protocol = connect(factory, transport).wrappedProtocol
        getattr(protocol.transport, close)()
        assert transport.disconnecting
        assert protocol.transport.disconnecting is True
    transport = StringTransport()
    protocol = connect(factory, transport).wrappedProtocol
    transport.loseConnection()
    assert protocol.transport.disconnecting is True, "closed below"
    transport = StringTransport()
    wrapper = connect(factory, transport)
    wrapper.disconnecting = True
    assert wrapper.disconnecting is True, "as subclasses may say"
    assert not transport.disconnecting


def test_what_the_transport_provides_and_has_the_wrapper_provides_and_has(
    factory: WrappingFactory, transport: Any
) -> None:
    wrapper = connect(factory, transport)
    for interface in (ITCPTransport, IConsumer, IPushProducer):
        assert provides(wrapper, interface)
    wrapper.setTcpNoDelay(True)
    assert transport.getTcpNoDelay()
    wrapper.pauseProducing()
    assert transport.producerState == "paused"
    wrapper.registerProducer(producer := object(), True)
    assert (transport.producer, transport.streaming) == (producer, True)
    wrapper.unregisterProducer()
    assert transport.producer is None
    wrapper.lingerLimit = 3.0
    assert transport.lingerLimit == wrapper.lingerLimit == 3.0
    with pytest.raises(AttributeError):
        wrapper.loseMind()
    with pytest.raises(TypeError):
        len(wrapper)


def test_before_there_is_a_transport_there_is_nothing_to_ask(factory: WrappingFactory, transport: Any) -> None:
    wrapper = factory.buildProtocol(transport.getPeer())
    with pytest.raises(AttributeError, match="'ProtocolWrapper' object has no attribute 'pauseProducing'"):
        wrapper.pauseProducing()
    assert wrapper.disconnecting is False


def test_what_transports_ask_a_protocol_for_is_passed_on(
    factory: WrappingFactory, above: Recording, transport: Any
) -> None:
    above.protocol = Everything
    wrapper = connect(factory, transport)
    del above.told[:]
    for interface in (IHalfCloseableProtocol, IHandshakeListener, IFileDescriptorReceiver, ILimitListener):
        assert provides(wrapper, interface)
    wrapper.handshakeCompleted()
    wrapper.fileDescriptorReceived(7)
    wrapper.readConnectionLost()
    wrapper.writeConnectionLost()
    wrapper.limitExceeded(LimitExceeded("idle", 5, "nothing was said"))
    assert above.told == [("secure",), ("descriptor", 7), ("read lost",), ("write lost",), ("limit", "idle")]


def test_a_protocol_that_has_no_half_close_is_not_said_to_have_one(factory: WrappingFactory, transport: Any) -> None:
    wrapper = connect(factory, transport)
    for interface in (IHalfCloseableProtocol, IHandshakeListener, IFileDescriptorReceiver, ILimitListener):
        assert not provides(wrapper, interface)


def test_half_close_through_a_wrapper(factory: WrappingFactory, above: Recording) -> None:
    above.protocol = Everything
    wrapper = factory.buildProtocol(None)  # type: ignore[arg-type]
    pair = connectedPair(wrapper, Protocol())
    del above.told[:]
    pair.client.transport.loseWriteConnection()
    pair.flush()
    assert above.told == [("read lost",)]
    wrapper.wrappedProtocol.transport.loseWriteConnection()
    pair.flush()
    assert above.told[1:] == [("write lost",), ("lost", ConnectionDone, 0)]


def test_another_protocol_may_take_the_place(factory: WrappingFactory, above: Recording, transport: Any) -> None:
    wrapper = connect(factory, transport)
    other = Everything()
    other.factory = above
    wrapper.wrappedProtocol.transport.protocol = other
    del above.told[:]
    wrapper.dataReceived(b"for the other")
    wrapper.readConnectionLost()
    assert above.told == [("data", b"for the other"), ("read lost",)]
    assert provides(wrapper, IHalfCloseableProtocol)
    wrapper.protocol = Protocol()
    assert not provides(wrapper, IHalfCloseableProtocol)


def test_a_wrapper_may_be_told_of_another_protocol_before_it_is_connected(
    factory: WrappingFactory, above: Recording, transport: Any
) -> None:
    wrapper = factory.buildProtocol(transport.getPeer())
    wrapper.protocol = other = Everything()
    other.factory = above
    wrapper.makeConnection(transport)
    assert provides(wrapper, IHalfCloseableProtocol)


def test_who_did_not_hear_of_the_connection_does_not_hear_of_its_end(
    factory: WrappingFactory, above: Recording, transport: Any
) -> None:
    class Breaks(ProtocolWrapper):
        def connectionMade(self) -> None:
            raise ZeroDivisionError

    factory.protocol = Breaks
    wrapper = factory.buildProtocol(transport.getPeer())
    with pytest.raises(ZeroDivisionError):
        wrapper.makeConnection(transport)
    wrapper.connectionLost(Failure(ZeroDivisionError()))
    assert above.told == []
    assert factory.protocols == {}


def test_what_the_factory_raises_does_not_keep_the_end_from_the_protocol(
    factory: WrappingFactory, above: Recording, transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = connect(factory, transport)
    monkeypatch.setattr(factory, "unregisterProtocol", lambda p: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        wrapper.connectionLost(DONE)
    assert above.told[-1] == ("lost", ConnectionDone, 1)


def test_starting_and_stopping_reach_the_factory_above(factory: WrappingFactory, above: Recording) -> None:
    factory.doStart()
    factory.doStart()
    factory.doStop()
    assert above.told == ["started"]
    factory.doStop()
    assert above.told == ["started", "stopped"]
    assert factory.numPorts == above.numPorts == 0


def test_what_a_connector_tells_reaches_the_factory_above(factory: WrappingFactory, above: Recording) -> None:
    connector: Any = object()
    factory.startedConnecting(connector)
    factory.clientConnectionFailed(connector, DONE)
    factory.clientConnectionLost(connector, DONE)
    assert above.told == [("connecting", connector), ("failed", connector, DONE), ("client lost", connector, DONE)]


def test_a_factory_that_refuses_refuses(transport: Any) -> None:
    class Refusing(Factory[Any]):
        def buildProtocol(self, addr: Any) -> None:
            return None

    assert WrappingFactory(Refusing()).buildProtocol(transport.getPeer()) is None


def test_names_for_log_lines(factory: WrappingFactory, transport: Any) -> None:
    assert factory.logPrefix() == "Recording (WrappingFactory)"
    wrapper = connect(factory, transport)
    assert wrapper.logPrefix() == "Recorder (ProtocolWrapper)"
    assert repr(wrapper).startswith("<ProtocolWrapper of <")


def test_what_a_receiver_of_lines_has_not_taken_can_be_asked_for(
    factory: WrappingFactory, above: Recording, transport: Any
) -> None:
    assert connect(factory, transport).clearLineBuffer() == b""
    above.protocol = LineReceiver  # type: ignore[assignment]
    wrapper = connect(WrappingFactory(factory), transport)
    wrapper.dataReceived(b"half a li")
    assert wrapper.clearLineBuffer() == b"half a li"
    assert wrapper.clearLineBuffer() == b""


def test_wrappers_can_be_put_around_each_other(factory: WrappingFactory, above: Recording, transport: Any) -> None:
    outer = WrappingFactory(factory)
    above.protocol = Everything
    wrapper = outer.buildProtocol(transport.getPeer())
    wrapper.makeConnection(transport)
    protocol = wrapper.wrappedProtocol.wrappedProtocol
    protocol.transport.setTcpNoDelay(True)
    assert transport.getTcpNoDelay()
    assert provides(protocol.transport, ITCPTransport)
    wrapper.readConnectionLost()
    assert above.told[-1] == ("read lost",)
    protocol.transport.abortConnection()
    assert protocol.transport.disconnecting is True
    assert wrapper.logPrefix() == "Everything (ProtocolWrapper) (ProtocolWrapper)"


def test_what_has_ended_is_let_go_of_without_the_garbage_collector(factory: WrappingFactory, above: Recording) -> None:
    gc.disable()
    try:
        wrapper = factory.buildProtocol(None)  # type: ignore[arg-type]
        pair = connectedPair(wrapper, Protocol())
        protocol = weakref.ref(wrapper.wrappedProtocol)
        del wrapper
        pair.client.transport.loseConnection()
        pair.flush()
        pair.serverTransport.protocol = pair.server = None  # type: ignore[assignment]  # as a real transport does
        assert protocol() is None
    finally:
        gc.enable()


def test_what_only_an_inner_wrapper_wants_to_hear_is_passed_on(factory: WrappingFactory, transport: Any) -> None:
    class Secret(ProtocolWrapper):
        _listens = (IHandshakeListener,)

    factory.protocol = Secret
    wrapper = connect(WrappingFactory(factory), transport)
    assert provides(wrapper, IHandshakeListener)
    wrapper.wrappedProtocol.protocol = Everything()
    assert provides(wrapper, IHalfCloseableProtocol), "so is what another protocol in its place provides"


def test_those_above_who_were_not_connected_are_counted_off(factory: WrappingFactory, transport: Any) -> None:
    class Breaks(ProtocolWrapper):
        def connectionMade(self) -> None:
            raise ZeroDivisionError

    throttling = ThrottlingFactory(factory, 1)
    by_peer = LimitConnectionsByPeer(WrappingFactory(throttling))
    breaking = WrappingFactory(by_peer)
    breaking.protocol = Breaks
    wrapper = breaking.buildProtocol(IPv4Address("TCP", "192.0.2.1", 50000))
    with pytest.raises(ZeroDivisionError):
        wrapper.makeConnection(transport)
    wrapper.connectionLost(Failure(ZeroDivisionError()))
    assert throttling.connectionCount == 0
    assert by_peer.peerConnections == {}
    assert by_peer._hosts == {}


@pytest.mark.parametrize("below", [False, True])
def test_so_they_are_where_tls_cannot_begin(factory: WrappingFactory, transport: Any, below: bool) -> None:
    class Breaks(ProtocolWrapper):
        def connectionMade(self) -> None:
            raise ValueError

    counting = ThrottlingFactory(factory, 1)
    outer: Any = TLSMemoryBIOFactory(ssl.create_default_context(), True, counting)  # without the server's name
    if below:
        outer = WrappingFactory(outer)
        outer.protocol = Breaks
    protocol = outer.buildProtocol(transport.getPeer())
    with pytest.raises(ValueError):
        protocol.makeConnection(transport)
    protocol.connectionLost(Failure(ValueError()))
    assert counting.connectionCount == 0


class TestScopes:
    """A scope may be tied to a protocol behind a wrapper, or to the wrapper, as to any transport."""

    def test_it_ends_with_the_connection_before_the_protocol_hears(
        self, factory: WrappingFactory, above: Recording, transport: Any
    ) -> None:
        wrapper = connect(factory, transport)
        waits: Deferred[None] = Deferred()
        waits.addErrback(lambda failure: above.told.append(failure.type))
        scope(wrapper.wrappedProtocol).start(waits)
        wrapper.connectionLost(Failure(ConnectionLost()))
        assert above.told[-2:] == [CancelledError, ("lost", ConnectionLost, 0)]

    def test_a_transport_that_takes_no_failures_is_aborted(
        self, factory: WrappingFactory, transport: Any, logged: Any
    ) -> None:
        class Foreign:
            aborted = disconnecting = False

            def abortConnection(self) -> None:
                self.aborted = True

        wrapper = connect(factory, transport)
        wrapper.transport = foreign = Foreign()
        fails: Deferred[None] = Deferred()
        scope(wrapper.wrappedProtocol).start(fails)
        fails.errback(ZeroDivisionError())
        assert foreign.aborted
        logged.take(ExceptionGroup)

    def test_one_that_cannot_abort_either_is_closed(
        self, factory: WrappingFactory, transport: Any, logged: Any
    ) -> None:
        """As standard input and output cannot."""

        class Pipes:
            closed = disconnecting = False

            def loseConnection(self) -> None:
                self.closed = True

        wrapper = connect(factory, transport)
        wrapper.transport = pipes = Pipes()
        fails: Deferred[None] = Deferred()
        scope(wrapper.wrappedProtocol).start(fails)
        fails.errback(ZeroDivisionError())
        assert pipes.closed
        logged.take(ExceptionGroup)

    def test_what_fails_in_it_ends_the_connection(self, factory: WrappingFactory, transport: Any, logged: Any) -> None:
        wrapper = connect(factory, transport)
        fails: Deferred[None] = Deferred()
        scope(wrapper.wrappedProtocol).start(fails)
        fails.errback(ZeroDivisionError())
        assert transport.failure.check(ExceptionGroup)
        assert wrapper.disconnecting is True
        logged.take(ExceptionGroup)
