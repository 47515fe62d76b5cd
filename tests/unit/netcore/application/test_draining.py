"""Listening services whose connections end with them, in virtual time."""

from __future__ import annotations

import gc
from typing import Any, ClassVar
from weakref import ref

import pytest

from netcore.application import strports
from netcore.application.internet import SSLServer, StreamServerEndpointService, TCPServer, UNIXServer, _draining
from netcore.application.internet._draining import Connections
from netcore.defer import Deferred, fail, succeed
from netcore.error import CannotListenError
from netcore.failure import Failure
from netcore.interfaces import IDrainable, IHalfCloseableProtocol, IHandshakeListener, implementer, provides
from netcore.protocol import Factory, Protocol, connectionDone
from netcore.protocols.haproxy import HAProxyWrappingFactory
from netcore.protocols.limits import ListenerLimits
from netcore.protocols.policies import ThrottlingFactory, WrappingFactory
from netcore.task import Clock
from netcore.testing import StringTransport

REFUSED = None
SERVING, FINISHING, CLOSING, ABORTING, GONE = _draining._State
TABLE: dict[_draining._Event, tuple[_draining._State | None, ...]] = {
    #                      SERVING    FINISHING CLOSING   ABORTING GONE
    _draining._Event.STOP:  (FINISHING, REFUSED, REFUSED, REFUSED, REFUSED),
    _draining._Event.NEXT:  (REFUSED,   CLOSING, ABORTING, GONE,   REFUSED),
    _draining._Event.EMPTY: (REFUSED,   GONE,    GONE,    GONE,    REFUSED),
}  # fmt: skip
CASES = [
    pytest.param(state, event, expected, id=f"{state.name}-{event.name}")
    for event, row in TABLE.items()
    for state, expected in zip(_draining._State, row, strict=True)
]


class Transport(StringTransport):
    """Notes that it was aborted."""

    aborted = False

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.heard_by = protocol
        self.at_once = False

    def loseConnection(self) -> None:
        super().loseConnection()
        if self.at_once:
            self.end()

    def abortConnection(self) -> None:
        self.aborted = True

    def end(self) -> None:
        heard_by, self.heard_by = self.heard_by, None
        if heard_by is not None:
            heard_by.connectionLost(connectionDone)


class Talk(Protocol):
    """Notes its end."""

    lost = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


@implementer(IDrainable)
class Polite(Talk):
    """Closes when it hears that it should, if it is idle."""

    told: float | None = None
    idle = True

    def drain(self, seconds: float) -> None:
        self.told = seconds
        if self.idle:
            self.transport.loseConnection()


class Port:
    """What listens, when a `Network` was asked to."""

    def __init__(self) -> None:
        self.closing: Deferred[None] = Deferred()
        self.stopped = False

    def stopListening(self) -> Deferred[None]:
        self.stopped = True
        return self.closing


class Network:
    """An endpoint, and a reactor, that listens at once."""

    def __init__(self) -> None:
        self.ports: list[Port] = []
        self.factory: Any = None
        self.arguments: tuple[Any, ...] = ()

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        self.factory = protocolFactory
        self.ports.append(Port())
        return succeed(self.ports[-1])

    def connect(self) -> Transport:
        protocol = self.factory.buildProtocol(None)
        transport = Transport(protocol)
        protocol.makeConnection(transport)
        return transport


class World:
    """A draining service with its network and clock."""

    def __init__(self, protocol: type[Talk] = Talk, factory: Any = None, **options: Any) -> None:
        self.network = Network()
        self.clock = Clock()
        self.built: list[Any] = []
        if factory is None:
            factory = Factory.forProtocol(self.making(protocol))
        options = {"drain": 10.0, "grace": 5.0, **options}
        self.service = StreamServerEndpointService(self.network, factory, clock=self.clock, **options)
        self.service.startService()

    def making(self, protocol: type[Talk]) -> Any:
        def make() -> Talk:
            self.built.append(protocol())
            return self.built[-1]  # type: ignore[no-any-return]

        return make

    def stop(self) -> list[Any]:
        stopped = outcome(self.service.stopService())
        self.network.ports[-1].closing.callback(None)
        return stopped

    @property
    def waits(self) -> int:
        return len(self.clock.getDelayedCalls())


def outcome(deferred: Deferred[Any] | None) -> list[Any]:
    assert deferred is not None
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


@pytest.mark.parametrize(("state", "event", "expected"), CASES)
def test_every_event_in_every_state(state: Any, event: Any, expected: Any) -> None:
    connections = Connections(None, Factory[Any](), 1, 1, Clock())
    connections._state = state
    if expected is REFUSED:
        with pytest.raises(RuntimeError, match="not possible"):
            connections._move(event)
        assert connections._state is state
    else:
        connections._move(event)
        assert connections._state is expected


def test_the_table_holds_nothing_else() -> None:
    assert len(_draining._TRANSITIONS) == sum(expected is not REFUSED for row in TABLE.values() for expected in row)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Talk):
    def readConnectionLost(self) -> None:
        self.transport.write(b"your last")

    def writeConnectionLost(self) -> None:
        pass


def limited(factory: Any) -> Any:
    return ListenerLimits().wrapFactory(factory, Clock())


def proxied(factory: Any) -> Any:
    return HAProxyWrappingFactory(factory, clock=Clock())


@pytest.mark.parametrize("wrap", [WrappingFactory, limited, proxied])
def test_a_transport_finds_what_wrappers_pass_on(wrap: Any) -> None:
    """They know what that is when they are connected, or even later."""
    world = World(factory=wrap(Factory.forProtocol(HalfCloseable)))
    transport = world.network.connect()
    if wrap is proxied:
        transport.heard_by.dataReceived(b"PROXY UNKNOWN\r\n")
    below: Any = IHalfCloseableProtocol(transport.heard_by, None)  # type: ignore[call-arg,misc]
    below.readConnectionLost()
    assert transport.value() == b"your last"
    assert provides(transport.heard_by, IHandshakeListener) is (wrap is not WrappingFactory)
    transport.end()


def test_who_was_refused_by_a_wrapper_is_not_told() -> None:
    limits = ListenerLimits(connectionsPerPeer=1, overflow=b"busy")  # whose peer it is only the transport tells
    world = World(factory=limits.wrapFactory(Factory.forProtocol(Polite), Clock()))
    served, refused = world.network.connect(), world.network.connect()
    world.stop()
    assert served.disconnecting
    assert refused.value() == b"busy"
    served.end()
    refused.end()


def test_who_comes_too_late_is_counted_off() -> None:
    throttling = ThrottlingFactory(Factory.forProtocol(Talk))
    world = World(factory=throttling)
    late = world.network.factory.buildProtocol(None)
    stopped = world.stop()
    transport = Transport(late)
    late.makeConnection(transport)
    assert transport.disconnecting
    transport.end()
    assert throttling.connectionCount == 0
    assert stopped == [None]


def test_by_default_connections_stay_and_the_factory_is_the_users_own() -> None:
    network, factory = Network(), Factory.forProtocol(Talk)
    service = StreamServerEndpointService(network, factory)
    service.startService()
    assert network.factory is factory
    assert service.connections is None
    transport = network.connect()
    stopped: list[Any] = []
    service.stopService().addBoth(stopped.append)  # type: ignore[union-attr]
    network.ports[0].closing.callback(None)
    service.hurry()
    assert stopped == [None]
    assert not transport.disconnecting


def test_connections_may_finish() -> None:
    world = World()
    one, two = world.network.connect(), world.network.connect()
    assert world.service.connections == 2
    one.end()
    assert world.service.connections == 1
    stopped = world.stop()
    world.clock.advance(9.9)
    assert not two.disconnecting
    assert stopped == []
    two.end()
    assert stopped == [None]
    assert world.built[1].lost
    assert world.service.connections == 0
    assert world.waits == 0


def test_those_that_do_not_are_closed_and_then_aborted() -> None:
    world = World()
    quick, slow = world.network.connect(), world.network.connect()
    stopped = world.stop()
    world.clock.advance(10)
    assert quick.disconnecting
    assert slow.disconnecting
    quick.end()
    world.clock.advance(4.9)
    assert not slow.aborted
    world.clock.advance(0.1)
    assert slow.aborted
    assert not quick.aborted
    assert stopped == []
    slow.end()
    assert stopped == [None]
    assert world.waits == 0


def test_one_that_never_tells_of_its_end_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.network.connect()
    stopped = world.stop()
    world.clock.pump([10, 5, 4.9])
    assert stopped == []
    world.clock.advance(0.2)
    assert stopped == [None]
    assert "do not say" in caplog.text


def test_the_port_is_closed_first_and_waited_for() -> None:
    world = World()
    transport = world.network.connect()
    stopped: list[Any] = []
    world.service.stopService().addBoth(stopped.append)  # type: ignore[union-attr]
    assert world.network.ports[0].stopped
    transport.end()
    assert stopped == []
    world.network.ports[0].closing.callback(None)
    assert stopped == [None]


class Used(Factory[Any]):
    """Notes whether it is in use."""

    noisy = False
    protocol = Talk
    used = False

    def startFactory(self) -> None:
        self.used = True

    def stopFactory(self) -> None:
        self.used = False


def test_the_factory_is_in_use_until_its_last_connection_has_gone() -> None:
    factory = Used()
    world = World(factory=factory)
    world.network.factory.doStart()
    transport = world.network.connect()
    stopped: list[Any] = []
    world.network.ports[0].stopListening = world.network.factory.doStop  # type: ignore[method-assign]
    world.service.stopService().addBoth(stopped.append)  # type: ignore[union-attr]
    assert factory.used
    transport.end()
    assert not factory.used
    assert stopped == [None]


def test_a_factory_whose_port_closes_for_another_reason_is_stopped_with_it() -> None:
    factory = Used()
    world = World(factory=factory)
    world.network.factory.doStart()
    world.network.factory.doStop()
    assert not factory.used
    world.network.factory.doStart()
    world.stop()
    world.network.factory.doStop()
    assert not factory.used


def test_a_service_without_connections_stops_at_once() -> None:
    assert World().stop() == [None]


def test_no_seconds_at_all_close_at_once_and_still_tell() -> None:
    world = World(Polite, drain=0)
    transport = world.network.connect()
    world.built[0].idle = False
    world.stop()
    assert world.built[0].told == 0
    world.clock.advance(0)
    assert transport.disconnecting
    transport.end()


@pytest.mark.parametrize("options", [{"drain": -1}, {"grace": -1}, {"drain": float("nan")}, {"grace": float("inf")}])
def test_seconds_that_cannot_be_waited_for_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} is 0 or more"):
        World(**options)
    with pytest.raises(ValueError, match=f"{next(iter(options))} is 0 or more"):
        TCPServer(79, None, **options)


# ------------------------------------------------------------------------------------------------------ who is told


def test_protocols_that_want_to_know_are_told_once() -> None:
    world = World(Polite)
    idle, busy = world.network.connect(), world.network.connect()
    world.built[1].idle = False
    stopped = world.stop()
    assert [protocol.told for protocol in world.built] == [10, 10]
    assert idle.disconnecting
    assert not busy.disconnecting
    idle.end()
    busy.end()
    assert stopped == [None]


def test_the_factory_is_told_before_its_protocols_and_through_those_that_wrap() -> None:
    told: list[Any] = []

    @implementer(IDrainable)
    class Noting(Factory[Any]):
        def drain(self, seconds: float) -> None:
            told.append(self)

    class Early(Polite):
        def drain(self, seconds: float) -> None:
            told.append(self)

    factory = Noting.forProtocol(Early)
    world = World(factory=WrappingFactory(factory))
    transport = world.network.connect()
    world.stop()
    assert [type(each) for each in told] == [Noting, Early]
    transport.end()


def test_one_that_raises_when_it_is_told_keeps_nobody_from_it(logged: Any) -> None:
    class Broken(Polite):
        def drain(self, seconds: float) -> None:
            super().drain(seconds)
            raise ZeroDivisionError

    world = World(Broken)
    transports = [world.network.connect() for _ in range(3)]
    world.stop()
    for _ in range(3):
        logged.take(ZeroDivisionError)
    assert all(transport.disconnecting for transport in transports)
    for transport in transports:
        transport.end()


def test_connections_that_end_within_what_they_are_told_are_gone() -> None:
    world = World(Polite)
    for _ in range(3):
        world.network.connect().at_once = True
    assert world.stop() == [None]
    assert world.waits == 0


def test_connections_that_end_within_the_close_are_gone() -> None:
    world = World()
    for _ in range(3):
        world.network.connect().at_once = True
    stopped = world.stop()
    world.clock.advance(10)
    assert stopped == [None]
    assert world.waits == 0


def test_a_transport_that_raises_keeps_nobody_from_the_end(logged: Any) -> None:
    world = World()
    transports = [world.network.connect() for _ in range(3)]
    transports[0].loseConnection = lambda: 1 // 0  # type: ignore[method-assign,assignment,return-value]
    stopped = world.stop()
    world.clock.advance(10)
    logged.take(ZeroDivisionError)
    assert [transport.disconnecting for transport in transports] == [False, True, True]
    world.clock.advance(5)
    for transport in transports:
        assert transport.aborted
        transport.end()
    assert stopped == [None]


# --------------------------------------------------------------------------------------------------------- in a hurry


def test_a_hurry_takes_the_next_step_at_once() -> None:
    world = World()
    transport = world.network.connect()
    world.service.hurry()
    assert not transport.disconnecting  # it serves
    stopped = world.stop()
    world.service.hurry()
    assert transport.disconnecting
    assert not transport.aborted
    world.service.hurry()
    assert transport.aborted
    assert world.waits == 1
    transport.end()
    assert stopped == [None]
    world.service.hurry()
    assert world.waits == 0


def test_who_is_told_may_be_in_a_hurry() -> None:
    world: World

    class Hasty(Polite):
        def drain(self, seconds: float) -> None:
            world.service.hurry()

    world = World(Hasty)
    transport = world.network.connect()
    stopped = world.stop()
    assert transport.disconnecting
    assert world.waits == 1
    transport.end()
    assert stopped == [None]


def test_who_is_told_may_start_the_service_again() -> None:
    world: World

    class Restarting(Polite):
        def drain(self, seconds: float) -> None:
            world.service.startService()

    world = World(Restarting)
    transport = world.network.connect()
    first = world.network.ports[0]
    stopped: list[Any] = []
    world.service.stopService().addBoth(stopped.append)  # type: ignore[union-attr]
    first.closing.callback(None)
    transport.end()
    assert stopped == [None]
    assert world.service.running
    assert world.service.connections == 0
    assert world.stop() == [None]


def test_a_hurry_while_a_protocol_hears_of_its_end() -> None:
    world: World

    class Hasty(Talk):
        def connectionLost(self, reason: Failure = connectionDone) -> None:
            world.service.hurry()

    world = World(Hasty)
    ends, stands = world.network.connect(), world.network.connect()
    stopped = world.stop()
    ends.end()
    assert stands.disconnecting
    assert stopped == []
    stands.end()
    assert stopped == [None]
    assert world.waits == 0


def test_it_may_be_stopped_again_while_its_port_is_closed() -> None:
    world = World()
    transport = world.network.connect()
    inner: list[Any] = []
    outer: list[Any] = []
    port: Any = world.network.ports[0]
    port.stopListening = lambda: world.service.stopService().addBoth(inner.append)  # type: ignore[union-attr]
    world.service.stopService().addBoth(outer.append)  # type: ignore[union-attr]
    transport.end()
    assert inner == outer == [None]


def test_it_may_be_stopped_and_started_again_while_its_port_is_closed() -> None:
    world = World()
    old = world.network.connect()
    port = world.network.ports[0]
    again: list[Any] = []

    def close() -> Deferred[None]:
        again.append(outcome(world.service.stopService()))
        world.service.startService()
        return succeed(None)

    port.stopListening = close  # type: ignore[method-assign]
    stopped = outcome(world.service.stopService())
    new = world.network.connect()
    assert world.service.connections == 2
    world.clock.advance(10)
    assert old.disconnecting
    assert not new.disconnecting
    old.end()
    assert stopped == [None]
    assert again == [[None]]
    new.end()
    assert world.stop() == [None]


def test_a_second_stop_waits_for_the_same_end() -> None:
    world = World()
    transport = world.network.connect()
    first = world.stop()
    second: list[Any] = []
    world.service.stopService().addBoth(second.append)  # type: ignore[union-attr]
    world.clock.advance(9)
    assert not transport.disconnecting
    transport.end()
    assert first == second == [None]
    assert world.service.stopService() is None


# ----------------------------------------------------------------------------------------------------- what comes late


def test_a_connection_that_comes_too_late_is_closed_unheard() -> None:
    world = World()
    old = world.network.connect()
    late = world.network.factory.buildProtocol(None)
    world.stop()
    assert world.network.factory.buildProtocol(None) is None
    transport = Transport(late)
    late.makeConnection(transport)
    assert transport.disconnecting
    assert not world.built[1].connected
    transport.end()
    old.end()


def test_started_again_while_it_drains_there_are_new_connections_and_the_old_ones_end() -> None:
    world = World()
    old = world.network.connect()
    first = world.stop()
    world.service.startService()
    new = world.network.connect()
    assert world.service.connections == 2
    world.clock.advance(10)
    assert old.disconnecting
    assert not new.disconnecting
    world.service.hurry()
    assert old.aborted
    assert not new.disconnecting
    second = world.stop()
    new.end()
    assert second == []  # which waits for the old one, too
    old.end()
    assert first == second == [None]


def test_a_connection_whose_protocol_gave_its_place_to_another_is_out_of_sight() -> None:
    """And nothing remembers it: no leak."""
    world = World()
    transport = world.network.connect()
    transport.heard_by = Talk()
    assert world.service.connections == 0
    assert world.stop() == [None]


def test_a_port_that_could_not_be_opened_leaves_nothing() -> None:
    class Broken(Network):
        def listen(self, protocolFactory: Any) -> Deferred[Any]:
            return fail(CannotListenError("", 79, OSError()))

    service = StreamServerEndpointService(Broken(), Factory[Any](), drain=1, clock=Clock())
    service._raiseSynchronously = True
    for _ in range(3):
        with pytest.raises(CannotListenError):
            service.startService()
    assert service._runs == []
    assert service.stopService() is None


def test_a_service_that_could_not_listen_waits_for_no_garbage_collector() -> None:
    class Broken(Network):
        def listen(self, protocolFactory: Any) -> Deferred[Any]:
            return fail(CannotListenError("", 79, OSError()))

    gc.collect()
    gc.disable()
    try:
        service = StreamServerEndpointService(Broken(), Factory[Any]())
        service._raiseSynchronously = True
        try:
            service.startService()
        except CannotListenError:
            pass
        left = ref(service)
        del service
        assert left() is None
    finally:
        gc.enable()


def test_an_endpoint_that_raises_leaves_nothing_either() -> None:
    """A stop would wait for ever for what was left; and a factory that nothing came of is not told that it ends."""

    class Broken(Network):
        def listen(self, protocolFactory: Any) -> Deferred[Any]:
            raise ZeroDivisionError

    @implementer(IDrainable)
    class Told(Factory[Any]):
        told: ClassVar[list[float]] = []

        def drain(self, seconds: float) -> None:
            self.told.append(seconds)

    service = StreamServerEndpointService(Broken(), Told(), drain=1, clock=Clock())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            service.startService()
    service.endpoint = network = Network()
    service.startService()
    assert Told.told == []
    network.ports[0].closing.callback(None)
    assert outcome(service.stopService()) == [None]
    assert Told.told == [1]


def test_a_service_that_drains_listens_once() -> None:
    world = World()
    with pytest.raises(RuntimeError, match="listens already"):
        world.service.privilegedStartService()
    assert len(world.network.ports) == 1
    assert world.stop() == [None]


# -------------------------------------------------------------------------------------------------- the other services


class Reactor(Clock):
    """Listens in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    def _listen(self, where: Any, factory: Any, *args: Any, **kwargs: Any) -> Any:
        self.network.listen(factory)
        self.network.arguments = (where, *args, *kwargs.items())
        return self.network.ports[-1]

    listenTCP = listenSSL = listenUNIX = _listen


@pytest.mark.parametrize("service", [TCPServer, SSLServer, UNIXServer])
@pytest.mark.parametrize("by_name", [False, True])
def test_services_by_the_reactors_methods_drain_as_well(service: Any, by_name: bool) -> None:
    reactor, factory = Reactor(), Factory.forProtocol(Talk)
    given: Any = {"factory": factory, "reactor": reactor, "drain": 3, "grace": 1, "backlog": 7}
    made = service("x", **given) if by_name else service("x", given.pop("factory"), 5, **given)
    for _ in range(2):
        made.startService()
        assert reactor.network.arguments[-1] == ("backlog", 7)
        transport = reactor.network.connect()
        assert made.connections == 1
        stopped: list[Any] = []
        made.stopService().addBoth(stopped.append)
        reactor.network.ports[-1].closing.callback(None)
        reactor.advance(3)
        assert transport.disconnecting
        transport.end()
        assert stopped == [None]


def test_strports_drains_with_the_reactors_clock() -> None:
    reactor: Any = Reactor()
    service = strports.service("tcp:79", Factory.forProtocol(Talk), reactor, drain=2, grace=1)
    service.startService()
    transport = reactor.network.connect()
    waits = service.stopService()
    assert waits is not None
    reactor.advance(2)
    assert transport.disconnecting
    transport.end()


def test_draining_a_thousand_looks_at_each_once_a_step() -> None:
    """By count."""
    world = World(Polite)
    closed = 0

    class Counting(Transport):
        def loseConnection(self) -> None:
            nonlocal closed
            closed += 1
            super().loseConnection()

    for _ in range(1000):
        protocol = world.network.factory.buildProtocol(None)
        protocol.makeConnection(Counting(protocol))
        world.built[-1].idle = False
    stopped = world.stop()
    world.clock.advance(10)
    assert closed == 1000
    for protocol in world.built:
        protocol.transport.end()
    assert stopped == [None]
