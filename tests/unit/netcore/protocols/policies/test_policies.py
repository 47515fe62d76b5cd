"""The wrappers that come with netcore."""

from __future__ import annotations

import gc
import io
import logging
from pathlib import Path
from typing import Any

import pytest

from netcore.address import IPv4Address, UNIXAddress
from netcore.error import ConnectionDone
from netcore.failure import Failure
from netcore.protocol import Factory, Protocol
from netcore.protocols.limits import ListenerLimits
from netcore.protocols.policies import (
    LimitConnectionsByPeer,
    LimitTotalConnectionsFactory,
    SpewingFactory,
    ThrottlingFactory,
    TimeoutFactory,
    TimeoutMixin,
    TrafficLoggingFactory,
)
from netcore.task import Clock
from netcore.testing import StringTransport, connectedPair

DONE = Failure(ConnectionDone())
ADDRESS = IPv4Address("TCP", "192.0.2.1", 50000)


class Refusing(Factory[Any]):
    def buildProtocol(self, addr: Any) -> None:
        return None


def above(protocol: Any = Protocol) -> Any:
    return Factory.forProtocol(protocol)


def connect(factory: Any, address: Any = ADDRESS) -> Any:
    wrapper = factory.buildProtocol(address)
    if wrapper is not None:
        wrapper.makeConnection(StringTransport(peerAddress=address))
    return wrapper


class TestTimeoutMixin:
    class Patient(Protocol, TimeoutMixin):
        def __init__(self, clock: Clock) -> None:
            self.callLater = clock.callLater  # type: ignore[method-assign,assignment]

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def protocol(self, clock: Clock) -> Any:
        protocol = self.Patient(clock)
        protocol.makeConnection(StringTransport())
        return protocol

    def test_the_connection_is_closed_when_nothing_has_happened(self, protocol: Any, clock: Clock) -> None:
        assert protocol.setTimeout(5) is None
        clock.advance(4)
        protocol.resetTimeout()
        clock.advance(4)
        assert not protocol.transport.disconnecting
        clock.advance(1)
        assert protocol.transport.disconnecting
        assert protocol.timeOut == 5
        protocol.resetTimeout()
        assert clock.getDelayedCalls() == []

    def test_it_says_what_held_before(self, protocol: Any, clock: Clock) -> None:
        protocol.setTimeout(5)
        clock.advance(4)
        assert protocol.setTimeout(3) == 5
        assert [call.getTime() for call in clock.getDelayedCalls()] == [7]
        assert protocol.setTimeout(None) == 3
        assert clock.getDelayedCalls() == []
        assert protocol.setTimeout(None) is None
        protocol.resetTimeout()
        assert clock.getDelayedCalls() == []

    def test_no_time_at_all_is_a_time(self, protocol: Any, clock: Clock) -> None:
        protocol.setTimeout(0)
        clock.advance(0)
        assert protocol.transport.disconnecting

    def test_a_time_that_is_none_changes_nothing(self, protocol: Any, clock: Clock) -> None:
        protocol.setTimeout(10)
        with pytest.raises(ValueError, match="-1"):
            protocol.setTimeout(-1)
        clock.advance(6)
        protocol.resetTimeout()
        clock.advance(9)
        assert not protocol.transport.disconnecting
        clock.advance(1)
        assert protocol.transport.disconnecting

    def test_what_to_do_is_the_protocols(self, protocol: Any, clock: Clock) -> None:
        told: list[float | None] = []
        protocol.timeoutConnection = lambda: told.append(protocol.setTimeout(2))
        protocol.setTimeout(1)
        clock.advance(1)
        assert told == [1]
        assert [call.getTime() for call in clock.getDelayedCalls()] == [3]

    def test_the_reactor_is_the_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Patient(Protocol, TimeoutMixin):
            pass

        clock = Clock()
        monkeypatch.setattr("netcore.protocols.policies._timeouts.current_reactor", lambda: clock)
        Patient().setTimeout(1)
        assert len(clock.getDelayedCalls()) == 1


class TestTimeoutFactory:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.mark.parametrize(
        "happens",
        [
            lambda wrapper: wrapper.dataReceived(b"x"),
            lambda wrapper: wrapper.wrappedProtocol.transport.write(b"x"),
            lambda wrapper: wrapper.wrappedProtocol.transport.writeSequence([b"x"]),
            lambda wrapper: wrapper.resetTimeout(),
        ],
    )
    def test_a_silent_connection_is_closed(self, clock: Clock, happens: Any) -> None:
        wrapper = connect(TimeoutFactory(above(), 5, clock))
        clock.advance(4)
        happens(wrapper)
        clock.advance(4)
        assert not wrapper.disconnecting
        clock.advance(1)
        assert wrapper.disconnecting
        wrapper.connectionLost(DONE)
        assert clock.getDelayedCalls() == []

    def test_time_begins_with_the_connection_and_ends_with_it(self, clock: Clock) -> None:
        wrapper = TimeoutFactory(above(), 5, clock).buildProtocol(ADDRESS)
        assert clock.getDelayedCalls() == []
        wrapper.makeConnection(StringTransport())
        assert len(clock.getDelayedCalls()) == 1
        wrapper.connectionLost(DONE)
        assert clock.getDelayedCalls() == []

    def test_the_time_of_one_connection_can_be_changed(self, clock: Clock) -> None:
        wrapper = connect(TimeoutFactory(above(), 5, clock))
        wrapper.setTimeout(2)
        assert wrapper.timeoutPeriod == 2
        assert [call.getTime() for call in clock.getDelayedCalls()] == [2]
        wrapper.setTimeout()
        assert wrapper.timeoutPeriod is None
        wrapper.resetTimeout()
        wrapper.cancelTimeout()
        assert clock.getDelayedCalls() == []

    def test_half_an_hour_by_the_reactor_is_the_default(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        monkeypatch.setattr("netcore.protocols.policies._timeouts.current_reactor", lambda: clock)
        connect(TimeoutFactory(above()))
        assert [call.getTime() for call in clock.getDelayedCalls()] == [1800]

    def test_who_builds_nothing_wraps_nothing(self, clock: Clock) -> None:
        assert TimeoutFactory(Refusing(), 5, clock).buildProtocol(ADDRESS) is None


class TestLimitConnectionsByPeer:
    def test_a_host_has_so_many(self) -> None:
        factory = LimitConnectionsByPeer(above())
        factory.maxConnectionsPerPeer = 2
        wrappers = [connect(factory) for _ in range(3)]
        assert wrappers[2] is None
        assert connect(factory, IPv4Address("TCP", "192.0.2.2", 1)) is not None
        wrappers[0].connectionLost(DONE)
        assert connect(factory) is not None
        assert connect(factory) is None

    def test_who_has_gone_is_forgotten(self) -> None:
        factory = LimitConnectionsByPeer(above())
        for wrapper in [connect(factory) for _ in range(5)]:
            wrapper.connectionLost(DONE)
        assert factory.peerConnections == {}
        assert factory._hosts == {}

    def test_what_has_no_host_is_not_limited(self) -> None:
        factory = LimitConnectionsByPeer(above())
        factory.maxConnectionsPerPeer = 1
        for wrapper in [connect(factory, UNIXAddress(None)) for _ in range(3)]:
            wrapper.connectionLost(DONE)

    def test_who_builds_nothing_wraps_nothing(self) -> None:
        factory = LimitConnectionsByPeer(Refusing())
        assert factory.buildProtocol(ADDRESS) is None
        assert factory.peerConnections[ADDRESS.host] == 0


class TestLimitTotalConnections:
    @pytest.fixture
    def factory(self) -> LimitTotalConnectionsFactory:
        factory: LimitTotalConnectionsFactory = LimitTotalConnectionsFactory()
        factory.protocol = Protocol
        factory.connectionLimit = 1
        return factory

    def test_so_many_and_no_more(self, factory: LimitTotalConnectionsFactory) -> None:
        wrapper = connect(factory)
        assert wrapper.wrappedProtocol.factory is factory
        assert connect(factory) is None
        assert factory.connectionCount == 1
        wrapper.connectionLost(DONE)
        assert factory.connectionCount == 0
        assert connect(factory) is not None

    def test_another_protocol_for_those_beyond(self, factory: LimitTotalConnectionsFactory) -> None:
        class Busy(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"busy")
                self.transport.loseConnection()

        factory.overflowProtocol = Busy
        first, beyond = connect(factory), connect(factory)
        assert beyond.wrappedProtocol.factory is factory
        assert beyond.transport.value() == b"busy"
        assert factory.connectionCount == 2
        beyond.connectionLost(DONE)
        first.connectionLost(DONE)
        assert factory.connectionCount == 0

    def test_any_number_and_none_at_all(self, factory: LimitTotalConnectionsFactory) -> None:
        factory.connectionLimit = None
        assert None not in [connect(factory) for _ in range(10)]
        factory.connectionLimit = 0
        assert connect(factory) is None


class Producer:
    def __init__(self, consumer: Any = None, size: int = 0) -> None:
        self.told: list[str] = []
        self.consumer, self.size = consumer, size

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")
        if self.size:
            self.consumer.write(b"x" * self.size)

    def stopProducing(self) -> None:
        self.told.append("stop")


class TestThrottling:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    def states(self, *wrappers: Any) -> list[str]:
        return [wrapper.transport.producerState for wrapper in wrappers]

    def test_all_connections_are_held_until_the_average_is_the_limit(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), readLimit=10, clock=clock)
        first, second = connect(factory), connect(factory)
        first.dataReceived(b"x" * 5)
        assert clock.getDelayedCalls() == [], "nothing is to be waited for"
        clock.advance(0.5)
        second.dataReceived(b"x" * 20)
        assert self.states(first, second) == ["paused", "paused"]
        third = connect(factory)
        assert self.states(third) == ["paused"]
        clock.advance(1.9)
        assert self.states(first) == ["paused"]
        clock.advance(0.1)
        assert self.states(first, second, third) == ["producing"] * 3
        assert factory.readThisSecond == 0
        assert clock.getDelayedCalls() == []

    def test_less_than_the_limit_in_each_second_is_let_through(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), readLimit=10, writeLimit=10, clock=clock)
        wrapper = connect(factory)
        for _ in range(20):
            wrapper.dataReceived(b"x" * 10)
            wrapper.writeSequence([b"x" * 10])
            clock.advance(1)
        assert self.states(wrapper) == ["producing"]
        assert len(wrapper.transport.value()) == 200

    def test_what_comes_while_it_is_held_is_waited_for_too(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), readLimit=10, clock=clock)
        wrapper = connect(factory)
        wrapper.dataReceived(b"x" * 20)
        wrapper.dataReceived(b"x" * 20)  # as TLS may have some more
        clock.advance(2)
        clock.advance(1.9)
        assert self.states(wrapper) == ["paused"]
        clock.advance(0.1)
        assert self.states(wrapper) == ["producing"]

    def test_who_has_paused_by_itself_stays_so(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), readLimit=10, clock=clock)
        wrapper = connect(factory)
        transport = wrapper.wrappedProtocol.transport
        wrapper.dataReceived(b"x" * 20)
        transport.pauseProducing()
        clock.advance(2)
        assert self.states(wrapper) == ["paused"]
        transport.resumeProducing()
        assert self.states(wrapper) == ["producing"]
        wrapper.dataReceived(b"x" * 20)
        transport.pauseProducing()
        transport.resumeProducing()
        assert self.states(wrapper) == ["paused"], "it is held"
        transport.loseConnection()
        clock.advance(2)
        assert self.states(wrapper) == ["paused"], "and has nothing to hear any more"

    def test_a_connection_that_closes_is_not_paused(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), readLimit=10, clock=clock)
        wrapper = connect(factory)
        wrapper.loseConnection()
        wrapper.dataReceived(b"x" * 20)
        assert self.states(wrapper) == ["producing"]

    def test_streaming_producers_are_held(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), writeLimit=10, clock=clock)
        wrapper, quiet = connect(factory), connect(factory)
        wrapper.registerProducer(producer := Producer(), True)
        wrapper.write(b"x" * 20)
        assert producer.told == ["pause"]
        assert wrapper.transport.value() == b"x" * 20
        wrapper.transport.producer.pauseProducing()
        clock.advance(2)
        assert producer.told == ["pause"], "the transport has paused it, too"
        wrapper.transport.producer.resumeProducing()
        assert producer.told == ["pause", "resume"]
        wrapper.unregisterProducer()
        wrapper.write(b"x" * 20)
        quiet.registerProducer(late := Producer(), True)
        assert late.told == ["pause"]
        quiet.transport.producer.stopProducing()
        assert late.told == ["pause", "stop"]

    def test_pull_producers_are_asked_later(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), writeLimit=10, clock=clock)
        wrapper = connect(factory)
        wrapper.registerProducer(producer := Producer(wrapper, 20), False)
        asks = wrapper.transport.producer
        asks.resumeProducing()
        asks.resumeProducing()
        assert producer.told == ["resume"]
        clock.advance(2)
        assert producer.told == ["resume"] * 2
        clock.advance(2)
        assert producer.told == ["resume"] * 2, "it was not asked again"
        asks.resumeProducing()
        assert producer.told == ["resume"] * 3
        asks.stopProducing()
        assert producer.told[-1] == "stop"

    def test_each_has_its_turn_when_all_want_to_write_at_once(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), writeLimit=10, clock=clock)
        wrappers = [connect(factory) for _ in range(3)]
        producers = [Producer(wrapper, 20) for wrapper in wrappers]
        for wrapper, producer in zip(wrappers, producers, strict=True):
            wrapper.registerProducer(producer, True)
        wrappers[0].write(b"x" * 20)
        for _ in range(120):
            clock.advance(0.5)
        written = [len(wrapper.transport.value()) for wrapper in wrappers]
        assert max(written) - min(written) <= 20
        assert 540 <= sum(written) <= 660, "in a minute"

    @pytest.mark.parametrize("when", ["pauseProducing", "resumeProducing"])
    def test_a_producer_that_raises_ends_its_connection_and_holds_up_no_other(
        self, clock: Clock, when: str, logged: Any
    ) -> None:
        factory = ThrottlingFactory(above(), writeLimit=10, clock=clock)
        wrappers = [connect(factory) for _ in range(3)]
        producers = [Producer() for _ in wrappers]
        setattr(producers[0], when, lambda: 1 / 0)
        for wrapper, producer in zip(wrappers, producers, strict=True):
            wrapper.registerProducer(producer, True)
        wrappers[2].write(b"x" * 20)
        clock.advance(2)
        assert [producer.told for producer in producers[1:]] == [["pause", "resume"]] * 2
        assert [wrapper.transport.disconnected for wrapper in wrappers] == [True, False, False]
        assert len(logged.take(ZeroDivisionError)) == 1

    @pytest.mark.parametrize("streaming", [True, False])
    def test_a_producer_that_comes_too_late_is_stopped_and_hears_no_more(self, clock: Clock, streaming: bool) -> None:
        factory = ThrottlingFactory(above(), writeLimit=10, clock=clock)
        closing, other = factory.buildProtocol(ADDRESS), connect(factory)
        pair = connectedPair(closing, Protocol())
        closing.loseConnection()
        closing.registerProducer(producer := Producer(), streaming)
        other.write(b"x" * 20)
        clock.advance(2)
        assert producer.told == ["stop"]
        pair.flush()

    def test_a_second_producer_is_refused_and_the_first_stays(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), writeLimit=10, clock=clock)
        wrapper = connect(factory)
        wrapper.registerProducer(producer := Producer(), True)
        with pytest.raises(RuntimeError):
            wrapper.registerProducer(Producer(), True)
        wrapper.write(b"x" * 20)
        assert producer.told == ["pause"]

    def test_so_many_connections(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="netcore.protocols")
        factory = ThrottlingFactory(above(), 1, clock=clock)
        wrapper = connect(factory)
        assert connect(factory) is None
        assert "1 is the most" in caplog.text
        wrapper.connectionLost(DONE)
        assert connect(factory) is not None
        assert ThrottlingFactory(Refusing(), 1).buildProtocol(ADDRESS) is None

    def test_with_the_last_connection_nothing_is_left_behind(self, clock: Clock) -> None:
        factory = ThrottlingFactory(above(), readLimit=1, writeLimit=1, clock=clock)
        wrapper = connect(factory)
        wrapper.dataReceived(b"xx")
        wrapper.write(b"xx")
        assert len(clock.getDelayedCalls()) == 2
        wrapper.connectionLost(DONE)
        assert clock.getDelayedCalls() == []
        assert self.states(connect(factory)) == ["producing"]

    def test_it_goes_by_the_reactors_clock(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        monkeypatch.setattr("netcore.protocols.policies._throttling.current_reactor", lambda: clock)
        connect(ThrottlingFactory(above(), readLimit=1)).dataReceived(b"xx")
        assert len(clock.getDelayedCalls()) == 1

    @pytest.mark.parametrize("limit", ["readLimit", "writeLimit"])
    def test_no_limit_of_nothing(self, limit: str) -> None:
        with pytest.raises(ValueError, match=f"{limit} must be bytes per second above 0"):
            ThrottlingFactory(above(), **{limit: 0})  # type: ignore[arg-type]


def test_spewing_logs_what_is_received_and_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="netcore.protocols")
    wrapper = connect(SpewingFactory(above()))
    wrapper.dataReceived(b"hello")
    wrapper.wrappedProtocol.transport.write(b"good bye")
    wrapper.wrappedProtocol.transport.writeSequence([b"b", b"ye"])
    assert [record.getMessage() for record in caplog.records] == [
        "Received: b'hello'",
        "Sending: b'good bye'",
        "Sending: b'bye'",
    ]
    assert wrapper.transport.value() == b"good byebye"


class TestTrafficLogging:
    @pytest.fixture
    def factory(self, tmp_path: Path) -> TrafficLoggingFactory:
        return TrafficLoggingFactory(above(), str(tmp_path / "log"))

    def test_a_connections_traffic_is_in_its_file(self, factory: TrafficLoggingFactory, tmp_path: Path) -> None:
        wrapper = connect(factory)
        other = connect(factory)
        wrapper.dataReceived(b"hello\r\n")
        wrapper.write(b"abc")
        wrapper.writeSequence(iter([b"d", b"ef"]))
        wrapper.loseConnection()
        assert wrapper.transport.value() == b"abcdef"
        assert (tmp_path / "log-1").read_text().splitlines() == [
            "*",
            "C 1: b'hello\\r\\n'",
            "S 1: b'abc'",
            "SV 1: [b'd', b'ef']",
            "S 1: *",
        ]
        wrapper.connectionLost(DONE)
        wrapper.write(b"late")
        assert (tmp_path / "log-1").read_text().splitlines()[5:] == [f"C 1: {DONE!r}"]
        other.connectionLost(DONE)
        assert (tmp_path / "log-2").read_text() == f"*\nC 2: {DONE!r}\n"
        gc.collect()  # a file left open would be a warning

    def test_long_pieces_are_cut(self, factory: TrafficLoggingFactory, tmp_path: Path) -> None:
        for number, (limit, shown) in enumerate([(20, "b'xxxxxxxx'<... elided>"), (5, "b''<... elided>")], 1):
            factory.lengthLimit = limit
            wrapper = connect(factory)
            wrapper.dataReceived(b"x" * limit)
            wrapper.dataReceived(b"x" * (limit + 1))
            wrapper.connectionLost(DONE)
            lines = (tmp_path / f"log-{number}").read_text().splitlines()
            assert lines[1:3] == [f"C {number}: {b'x' * limit!r}", f"C {number}: {shown}"]

    def test_a_disk_that_is_full_keeps_the_end_from_nobody(self, factory: TrafficLoggingFactory) -> None:
        wrapper = connect(factory)
        heard: list[Any] = []
        wrapper.wrappedProtocol.connectionLost = heard.append
        with open("/dev/full", "w") as full:
            wrapper.logfile.close()
            wrapper.logfile = full
            with pytest.raises(OSError, match="No space"):
                wrapper.connectionLost(DONE)
        assert heard == [DONE]
        assert factory.protocols == {}

    def test_the_file_of_one_that_is_never_connected_is_closed(self, factory: TrafficLoggingFactory) -> None:
        limits = ListenerLimits(connections=1)
        outer: Any = limits.wrapFactory(factory, Clock())
        first, second = outer.buildProtocol(ADDRESS), outer.buildProtocol(ADDRESS)
        logfile = second.wrappedProtocol.logfile
        for wrapper in (first, second):
            wrapper.makeConnection(StringTransport(peerAddress=ADDRESS))
        second.connectionLost(DONE)
        assert logfile.closed
        first.connectionLost(DONE)

    def test_counting_anew(self, factory: TrafficLoggingFactory, tmp_path: Path) -> None:
        for _ in range(2):
            connect(factory).connectionLost(DONE)
        factory.resetCounter()
        connect(factory).connectionLost(DONE)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["log-1", "log-2"]

    def test_files_of_another_kind(self, factory: TrafficLoggingFactory) -> None:
        names: list[str] = []
        factory.open = lambda name: (names.append(name), io.StringIO())[1]  # type: ignore[method-assign,assignment]
        connect(factory).connectionLost(DONE)
        assert len(names) == 1

    def test_who_builds_nothing_wraps_nothing(self, tmp_path: Path) -> None:
        assert TrafficLoggingFactory(Refusing(), str(tmp_path / "log")).buildProtocol(ADDRESS) is None
        assert list(tmp_path.iterdir()) == []
