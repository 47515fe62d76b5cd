"""Each limit closes who exceeds it, at its time, says so, and lets everybody else alone."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from netcore.error import ConnectionAborted, ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILimitListener,
    ISSLTransport,
    implementer,
)
from netcore.protocol import Factory, Protocol
from netcore.protocols.basic import LineReceiver
from netcore.protocols.limits import LimitExceeded, ListenerLimits, requestAnswered, requestReceived
from netcore.protocols.policies import WrappingFactory
from netcore.task import Clock
from netcore.testing import StringTransport, connectedPair

DONE = Failure(ConnectionDone())
LIMITS = {"handshake": 7, "firstByte": 5, "idle": 11, "request": 30, "minimumRate": 10, "rateWindow": 8}


def wait(clock: Clock, seconds: float) -> None:
    """Let time pass, as a reactor would: `Clock.advance` makes every call that is due at the end of it."""
    clock.pump([0.25] * int(seconds / 0.25) + [seconds % 0.25])


class Speaker(Protocol):
    """Does what the test tells it, with the bytes it has."""

    transport: Any

    def __init__(self) -> None:
        self.heard = b""
        self.reason: Any = None
        self.said: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = DONE) -> None:
        self.reason = reason.value


@implementer(ILimitListener)
class Polite(Speaker):
    last_word = b"too slow\r\n"

    def limitExceeded(self, error: LimitExceeded) -> None:
        self.said.append(error.limit)
        self.transport.write(self.last_word)


@implementer(ISSLTransport)
class SecureTransport(StringTransport):
    def getPeerCertificate(self) -> None:
        return None


class Visit:
    """A connection with limits."""

    def __init__(
        self, protocol: type[Speaker] = Speaker, transport: Any = None, clock: Clock | None = None, **limits: Any
    ) -> None:
        self.clock = clock or Clock()
        self.limits = ListenerLimits(**{**LIMITS, **limits})
        self.transport = transport or StringTransport()
        self.wrapper = self.limits.wrapFactory(Factory.forProtocol(protocol), self.clock).buildProtocol(
            self.transport.getPeer()
        )
        self.protocol: Any = self.wrapper.wrappedProtocol
        self.wrapper.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.wrapper.dataReceived(data)

    def stands_for(self, seconds: float) -> bool:
        """Whether it is closed after just that time, and not before."""
        wait(self.clock, seconds - 0.01)
        if self.transport.disconnecting:
            return False
        self.clock.advance(0.01)
        return bool(self.transport.disconnected)

    def stands(self, seconds: float) -> bool:
        """Whether it still stands after that time."""
        wait(self.clock, seconds)
        return not self.transport.disconnecting

    def ended_for(self) -> str:
        """The limit; the protocol is told of it."""
        self.wrapper.connectionLost(Failure(ConnectionAborted()))
        reason = self.protocol.reason
        assert isinstance(reason, LimitExceeded)
        assert reason.value == getattr(self.limits, reason.limit)
        assert dict(self.limits.counters().closed) == {reason.limit: 1}
        assert self.limits.counters().current == 0
        assert self.clock.getDelayedCalls() == []
        return reason.limit


def test_who_says_nothing() -> None:
    visit = Visit()
    assert visit.stands_for(5)
    assert visit.ended_for() == "firstByte"


def test_what_we_say_first_is_no_first_byte_of_the_peers() -> None:
    visit = Visit()
    wait(visit.clock, 3)
    visit.protocol.transport.write(b"220 welcome\r\n")
    assert visit.stands_for(2)
    assert visit.ended_for() == "firstByte"


def test_a_request_as_a_whole() -> None:
    visit = Visit()
    wait(visit.clock, 4)
    for _ in range(29):
        visit.send(b"x" * 20)
        wait(visit.clock, 1)
    visit.send(b"x" * 20)
    assert visit.stands_for(1)
    assert visit.ended_for() == "request"


def test_a_request_that_trickles() -> None:
    visit = Visit()
    for _ in range(7):
        visit.send(b"x")
        wait(visit.clock, 1)
    assert visit.stands_for(1)
    assert visit.ended_for() == "minimumRate"
    assert visit.protocol.heard == b"x" * 7


def test_a_request_that_begins_fast_and_then_trickles() -> None:
    visit = Visit()
    visit.send(b"x" * 500)
    assert visit.stands(8)
    visit.send(b"x" * 79)
    assert visit.stands_for(8)
    assert visit.ended_for() == "minimumRate"


def test_a_request_at_just_the_rate() -> None:
    visit = Visit(request=None)
    for _ in range(20):
        visit.send(b"x" * 80)
        assert visit.stands(8)


def test_an_answer_ends_a_request_and_begins_idle_time() -> None:
    visit = Visit()
    for _ in range(20):  # a byte is not enough for a rate, and is for a question
        visit.send(b"?")
        visit.protocol.transport.write(b"!")
        assert visit.stands(10)
    assert visit.stands_for(1)
    assert visit.ended_for() == "idle"


def test_what_is_written_is_no_idleness() -> None:
    visit = Visit()
    visit.send(b"?")
    for _ in range(20):
        visit.protocol.transport.writeSequence([b"!", b"!"])
        assert visit.stands(10)
    assert visit.stands_for(1)
    assert visit.ended_for() == "idle"


def test_the_next_request_has_its_own_time() -> None:
    visit = Visit()
    visit.send(b"?")
    visit.protocol.transport.write(b"!")
    wait(visit.clock, 10)
    visit.send(b"x" * 80)
    assert visit.stands_for(16)
    assert visit.ended_for() == "minimumRate"


@pytest.mark.parametrize("limit", ["firstByte", "request", "minimumRate", "idle"])
def test_a_limit_that_is_none_does_not_hold(limit: str) -> None:
    visit = Visit(**{limit: None})
    if limit != "firstByte":
        visit.send(b"?")
    if limit == "idle":
        visit.protocol.transport.write(b"!")
    if limit == "request":
        for _ in range(100):
            visit.send(b"x" * 80)
            assert visit.stands(8)
    elif limit == "minimumRate":
        assert visit.stands_for(30)
        assert visit.ended_for() == "request"
    else:
        assert visit.stands(1000)


def test_without_limits_there_are_no_timers() -> None:
    visit = Visit(firstByte=None, request=None, idle=None, minimumRate=None, buffer=None)
    visit.send(b"?")
    visit.protocol.transport.write(b"!")
    visit.protocol.transport.pauseProducing()
    visit.protocol.transport.resumeProducing()
    assert visit.clock.getDelayedCalls() == []


class TestSayingWhereRequestsEnd:
    def test_an_answer_takes_its_time(self) -> None:
        visit = Visit()
        visit.send(b"?")
        requestReceived(visit.protocol.transport)
        assert visit.stands(1000)
        visit.protocol.transport.write(b"!")
        assert visit.stands(1000), "the answer goes on"
        requestAnswered(visit.protocol.transport)
        assert visit.stands_for(11)
        assert visit.ended_for() == "idle"

    def test_what_is_written_meanwhile_ends_no_request(self) -> None:
        visit = Visit()
        visit.send(b"?")
        requestReceived(visit.protocol.transport)
        requestAnswered(visit.protocol.transport)
        visit.send(b"POST")
        visit.protocol.transport.write(b"100 Continue")
        assert visit.stands_for(8)
        assert visit.ended_for() == "minimumRate"

    def test_what_has_come_meanwhile_begins_the_next(self) -> None:
        visit = Visit()
        visit.send(b"?")
        requestReceived(visit.protocol.transport)
        visit.send(b"POS")
        assert visit.stands(1000)
        requestAnswered(visit.protocol.transport)
        assert visit.stands_for(8)
        assert visit.ended_for() == "minimumRate"

    def test_several_at_a_time(self) -> None:
        visit = Visit()
        visit.send(b"??")
        for _ in range(2):
            requestReceived(visit.protocol.transport)
        requestAnswered(visit.protocol.transport)
        assert visit.stands(1000)
        requestAnswered(visit.protocol.transport)
        assert visit.stands_for(11)
        assert visit.ended_for() == "idle"

    def test_through_other_wrappers_and_on_a_transport_without_limits(self) -> None:
        clock, transport = Clock(), StringTransport()
        limits = ListenerLimits(**LIMITS)  # type: ignore[arg-type]
        factory = WrappingFactory(limits.wrapFactory(WrappingFactory(Factory.forProtocol(Speaker)), clock))
        wrapper = factory.buildProtocol(transport.getPeer())
        wrapper.makeConnection(transport)
        protocol = wrapper.wrappedProtocol.wrappedProtocol.wrappedProtocol
        wrapper.dataReceived(b"?")
        requestReceived(protocol.transport)
        clock.advance(1000)
        assert not transport.disconnecting
        requestAnswered(protocol.transport)
        clock.advance(11)
        assert transport.disconnected
        requestReceived(StringTransport())
        requestAnswered(StringTransport())

    def test_all_the_limits_around_a_protocol_hear_of_it(self) -> None:
        clock, transport = Clock(), StringTransport()
        factory: Any = Factory.forProtocol(Speaker)
        for _ in range(2):
            factory = ListenerLimits(**LIMITS).wrapFactory(factory, clock)  # type: ignore[arg-type]
        wrapper = factory.buildProtocol(transport.getPeer())
        wrapper.makeConnection(transport)
        wrapper.dataReceived(b"?")
        requestReceived(wrapper.wrappedProtocol.wrappedProtocol.transport)
        wait(clock, 1000)
        assert not transport.disconnecting
        requestAnswered(wrapper.wrappedProtocol.wrappedProtocol.transport)
        wait(clock, 11)
        assert transport.disconnected

    def test_too_much_said_changes_nothing(self) -> None:
        visit = Visit()
        requestAnswered(visit.protocol.transport)
        assert visit.stands_for(5)
        requestReceived(visit.protocol.transport)
        requestAnswered(visit.protocol.transport)
        assert visit.ended_for() == "firstByte"


class TestPausing:
    def test_time_stands_still_while_the_protocol_has_paused(self) -> None:
        visit = Visit()
        visit.send(b"x" * 40)
        wait(visit.clock, 4)
        visit.protocol.transport.pauseProducing()
        visit.protocol.transport.pauseProducing()
        assert visit.stands(1000)
        visit.protocol.transport.resumeProducing()
        visit.protocol.transport.resumeProducing()
        assert visit.stands_for(4)
        assert visit.ended_for() == "minimumRate"

    def test_what_begins_during_a_pause_has_its_whole_time(self) -> None:
        visit = Visit()
        visit.send(b"?")
        visit.protocol.transport.pauseProducing()
        wait(visit.clock, 100)
        visit.protocol.transport.write(b"!")
        wait(visit.clock, 100)
        visit.protocol.transport.resumeProducing()
        assert visit.stands_for(11)
        assert visit.ended_for() == "idle"


class TestTheEnd:
    def test_who_closes_is_not_hurried(self) -> None:
        visit = Visit()
        visit.send(b"?")
        visit.protocol.transport.loseConnection()
        wait(visit.clock, 1000)
        assert not visit.transport.disconnected
        visit.wrapper.connectionLost(DONE)
        assert isinstance(visit.protocol.reason, ConnectionDone)
        assert visit.clock.getDelayedCalls() == []

    def test_a_peer_that_has_said_its_last_waits_for_its_answer(self) -> None:
        @implementer(IHalfCloseableProtocol)
        class HalfCloseable(Speaker):
            def readConnectionLost(self) -> None:
                self.said.append("read lost")

            def writeConnectionLost(self) -> None: ...

        visit = Visit(HalfCloseable)
        visit.send(b"?")
        visit.wrapper.readConnectionLost()
        assert visit.protocol.said == ["read lost"]
        assert visit.stands(1000)
        visit.protocol.transport.write(b"!")
        assert visit.stands_for(11)
        assert visit.ended_for() == "idle"

    def test_what_a_protocol_does_after_the_end_leaves_nothing_behind(self) -> None:
        visit = Visit()
        visit.send(b"?")
        visit.wrapper.connectionLost(DONE)
        transport = visit.protocol.transport
        transport.write(b"late")
        requestReceived(transport)
        requestAnswered(transport)
        transport.pauseProducing()
        transport.resumeProducing()
        visit.send(b"late")
        assert visit.clock.getDelayedCalls() == []

    def test_nothing_is_heard_of_who_was_closed(self) -> None:
        visit = Visit()
        wait(visit.clock, 5)
        visit.send(b"late")
        requestReceived(visit.protocol.transport)
        assert visit.protocol.heard == b""
        assert visit.ended_for() == "firstByte"

    def test_the_reason_says_what_and_how_much(self) -> None:
        visit = Visit()
        wait(visit.clock, 5)
        visit.ended_for()
        assert str(visit.protocol.reason) == ("the peer did not begin to speak in time (ListenerLimits.firstByte is 5)")
        assert isinstance(visit.protocol.reason, ConnectionAborted)
        assert str(pickle.loads(pickle.dumps(visit.protocol.reason))) == str(visit.protocol.reason)


class TestALastWord:
    @pytest.mark.parametrize("limit", ["firstByte", "idle", "request", "minimumRate"])
    def test_it_is_sent_and_the_connection_closed_after_it(self, limit: str) -> None:
        visit = Visit(Polite, **{"minimumRate": None} if limit == "request" else {})
        if limit != "firstByte":
            visit.send(b"?")
        if limit == "idle":
            visit.protocol.transport.write(b"!")
            visit.transport.clear()
        while not visit.transport.disconnecting:
            visit.clock.advance(0.5)
        assert visit.protocol.said == [limit]
        assert visit.transport.value() == b"too slow\r\n"
        assert visit.transport.disconnecting
        assert not visit.transport.disconnected
        assert visit.ended_for() == limit

    def test_who_does_not_take_it_within_a_second_is_aborted(self) -> None:
        visit = Visit(Polite)
        wait(visit.clock, 5.9)
        assert not visit.transport.disconnected
        wait(visit.clock, 0.1)
        assert visit.transport.disconnected
        assert visit.ended_for() == "firstByte"

    def test_who_ends_the_program_by_it_is_closed_all_the_same(self) -> None:
        class Ending(Polite):
            def limitExceeded(self, error: LimitExceeded) -> None:
                raise KeyboardInterrupt

        visit = Visit(Ending)
        with pytest.raises(KeyboardInterrupt):
            wait(visit.clock, 5)
        assert visit.transport.disconnected
        assert visit.ended_for() == "firstByte"

    def test_who_says_nothing_is_aborted_at_once(self) -> None:
        class Silent(Polite):
            last_word = b""

        visit = Visit(Silent)
        assert visit.stands_for(5)
        assert visit.protocol.said == ["firstByte"]
        assert visit.ended_for() == "firstByte"

    def test_one_that_raises_is_logged_and_the_connection_is_closed(self, logged: Any) -> None:
        class Broken(Polite):
            def limitExceeded(self, error: LimitExceeded) -> None:
                raise ZeroDivisionError

        visit = Visit(Broken)
        assert visit.stands_for(5)
        assert visit.ended_for() == "firstByte"
        logged.take(ZeroDivisionError)


class TestTLS:
    def test_a_handshake_that_takes_too_long(self) -> None:
        visit = Visit(Polite, SecureTransport())
        assert visit.stands_for(7)
        assert visit.protocol.said == [], "there is no way yet to tell"
        assert visit.ended_for() == "handshake"

    def test_pausing_does_not_hold_a_handshake(self) -> None:
        visit = Visit(transport=SecureTransport())
        visit.protocol.transport.pauseProducing()
        assert visit.stands_for(7)
        assert visit.ended_for() == "handshake"

    def test_nor_does_it_when_it_is_over(self) -> None:
        visit = Visit(transport=SecureTransport())
        visit.protocol.transport.pauseProducing()
        assert visit.stands(4)
        visit.protocol.transport.resumeProducing()
        assert visit.stands_for(3)
        assert visit.ended_for() == "handshake"

    def test_the_first_byte_is_waited_for_from_then_on(self) -> None:
        @implementer(IHandshakeListener)
        class Listener(Speaker):
            def handshakeCompleted(self) -> None:
                self.said.append("secure")

        visit = Visit(Listener, SecureTransport())
        wait(visit.clock, 6)
        visit.wrapper.handshakeCompleted()
        assert visit.protocol.said == ["secure"]
        assert visit.stands_for(5)
        assert visit.ended_for() == "firstByte"
        visit = Visit(Speaker, SecureTransport())
        visit.wrapper.handshakeCompleted()
        visit.wrapper.handshakeCompleted()
        assert visit.stands_for(5)
        assert visit.ended_for() == "firstByte"


class TestReaders:
    """Peers that do not take what they are sent."""

    def pair(self, clock: Clock, **limits: Any) -> tuple[Any, Any, ListenerLimits]:
        made = ListenerLimits(**{**LIMITS, "idle": 3, **limits})
        wrapper = made.wrapFactory(Factory.forProtocol(Speaker), clock).buildProtocol(None)  # type: ignore[arg-type]
        protocol = wrapper.wrappedProtocol
        pair = connectedPair(wrapper, LineReceiver())
        pair.serverTransport._deliver(b"?")
        return protocol, pair, made

    @staticmethod
    def take(pair: Any, size: int) -> None:
        """The peer takes so many bytes."""
        del pair.serverTransport._queue[:size]

    def test_who_takes_nothing(self) -> None:
        clock = Clock()
        protocol, pair, limits = self.pair(clock)
        protocol.transport.write(b"x" * 1000)
        wait(clock, 7.9)
        assert not pair.serverTransport.disconnecting, "it is not idle while it has something to read"
        wait(clock, 0.1)
        pair.flush()
        assert isinstance(protocol.reason, LimitExceeded)
        assert protocol.reason.limit == "minimumRate"
        assert limits.counters().closed == {"minimumRate": 1}
        assert clock.getDelayedCalls() == []

    def test_who_takes_little_in_spite_of_closing(self) -> None:
        clock = Clock()
        protocol, pair, _ = self.pair(clock)
        protocol.transport.write(b"x" * 1000)
        protocol.transport.loseConnection()
        wait(clock, 1)
        self.take(pair, 500)
        wait(clock, 7)
        self.take(pair, 79)
        wait(clock, 7.9)
        assert pair.serverTransport.connected
        wait(clock, 0.2)
        pair.flush()
        assert protocol.reason.limit == "minimumRate"

    def test_who_takes_enough_may_take_long(self) -> None:
        clock = Clock()
        protocol, pair, limits = self.pair(clock)
        protocol.transport.write(b"x" * 1000)
        for _ in range(12):
            self.take(pair, 80)
            wait(clock, 8)
        assert len(pair.serverTransport._queue) == 40
        self.take(pair, 40)
        wait(clock, 3)
        assert limits.counters().closed == {"idle": 1}, "from when it had all, as far as was noticed"
        pair.flush()
        assert protocol.reason.limit == "idle"

    def test_what_was_written_a_moment_ago_has_a_window_of_its_own(self) -> None:
        clock = Clock()
        protocol, pair, limits = self.pair(clock, idle=None)
        protocol.transport.write(b"x")
        wait(clock, 7)
        self.take(pair, 1)
        protocol.transport.write(b"x" * 100_000)
        wait(clock, 8)
        assert limits.counters().closed == {}
        wait(clock, 1)
        assert limits.counters().closed == {"minimumRate": 1}
        pair.flush()

    def test_without_a_rate_it_is_idle_when_it_takes_nothing_any_more(self) -> None:
        clock = Clock()
        protocol, pair, limits = self.pair(clock, minimumRate=None)
        protocol.transport.write(b"x" * 1000)
        for _ in range(5):
            wait(clock, 3)
            self.take(pair, 10)
        wait(clock, 3)
        assert limits.counters().closed == {}
        wait(clock, 3)
        assert limits.counters().closed == {"idle": 1}
        pair.flush()

    def test_more_than_the_buffer_holds(self) -> None:
        clock = Clock()
        protocol, pair, limits = self.pair(clock, buffer=1000)
        for _ in range(50):  # what is taken in time does not count
            protocol.transport.write(b"x" * 900)
            self.take(pair, 900)
        protocol.transport.write(b"x" * 1000)
        assert not pair.serverTransport.disconnecting
        protocol.transport.write(b"x")
        assert protocol.reason is None, "not from within its own call"
        protocol.transport.write(b"x" * 5000)
        pair.flush()
        assert protocol.reason.limit == "buffer"
        assert str(protocol.reason) == "1001 bytes would wait to be sent (ListenerLimits.buffer is 1000)"
        assert limits.counters().closed == {"buffer": 1}
        assert clock.getDelayedCalls() == []
