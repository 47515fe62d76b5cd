"""Two protocols connected in memory: what moves when, and how either side ends."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol, implementer
from netcore.protocol import Protocol, connectionDone
from netcore.testing import IOPump, connectedPair


class Recorder(Protocol):
    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.reasons: list[type[BaseException]] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reasons.append(reason.type)


class Echo(Recorder):
    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


class Producer:
    """Writes *left* pieces, and notes what it is asked."""

    def __init__(self, transport: Any, left: int = 0, piece: bytes = b"x") -> None:
        self.transport, self.left, self.piece = transport, left, piece
        self.asked: list[str] = []

    def resumeProducing(self) -> None:
        self.asked.append("resume")
        if self.left:
            self.left -= 1
            self.transport.write(self.piece)
        else:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def stopProducing(self) -> None:
        self.asked.append("stop")


@pytest.fixture
def pair() -> IOPump:
    return connectedPair(Recorder(), Recorder())


def test_both_sides_are_connected_and_see_each_other(pair: IOPump) -> None:
    assert pair.server.connected
    assert pair.client.connected
    assert pair.serverTransport.getHost() == pair.clientTransport.getPeer()
    assert pair.serverTransport.getPeer() == pair.clientTransport.getHost()


def test_nothing_moves_until_pumped(pair: IOPump) -> None:
    pair.client.transport.write(b"one")
    pair.client.transport.writeSequence([b"t", b"wo"])
    assert pair.server.heard == []
    assert pair.pump()
    assert pair.server.heard == [b"onetwo"]
    assert not pair.pump()


def test_an_answer_travels_with_the_next_pump() -> None:
    pair = connectedPair(Echo(), Recorder())
    pair.client.transport.write(b"one")
    pair.pump()
    assert pair.client.heard == []
    pair.pump()
    assert pair.client.heard == [b"one"]


def test_flush_pumps_until_all_is_quiet_and_no_longer() -> None:
    pair = connectedPair(Echo(), Recorder())
    pair.client.transport.write(b"one")
    pair.flush()
    assert pair.client.heard == [b"one"]
    endless = connectedPair(Echo(), Echo())
    endless.client.transport.write(b"ball")
    with pytest.raises(RuntimeError, match="still talk after 10 rounds"):
        endless.flush(rounds=10)


def test_only_bytes_can_be_written(pair: IOPump) -> None:
    with pytest.raises(TypeError, match="not str"):
        pair.client.transport.write("text")


def test_a_close_sends_what_was_written_and_drops_what_comes_after(pair: IOPump) -> None:
    pair.client.transport.write(b"last")
    pair.client.transport.loseConnection()
    pair.client.transport.write(b"dropped")
    assert pair.client.transport.disconnecting
    assert pair.client.reasons == [], "never from within the call"
    pair.flush()
    assert pair.server.heard == [b"last"]
    assert pair.client.reasons == pair.server.reasons == [ConnectionDone]
    assert not pair.clientTransport.connected


def test_what_the_peer_sends_to_one_that_closes_is_lost(pair: IOPump) -> None:
    pair.client.transport.loseConnection()
    pair.server.transport.write(b"too late")
    pair.flush()
    assert pair.client.heard == []
    assert pair.client.reasons == pair.server.reasons == [ConnectionDone]


def test_both_may_close_at_once(pair: IOPump) -> None:
    pair.client.transport.loseConnection()
    pair.server.transport.loseConnection()
    pair.flush()
    assert pair.client.reasons == pair.server.reasons == [ConnectionDone]


def test_an_abort_drops_what_was_written_and_is_not_clean(pair: IOPump) -> None:
    pair.client.transport.write(b"dropped")
    pair.client.transport.abortConnection()
    assert pair.client.reasons == []
    pair.flush()
    assert pair.server.heard == []
    assert pair.client.reasons == [ConnectionAborted]
    assert pair.server.reasons == [ConnectionLost]


def test_a_closed_connection_takes_every_call_in_silence(pair: IOPump) -> None:
    pair.client.transport.loseConnection()
    pair.flush()
    pair.client.transport.write(b"x")
    pair.client.transport.loseConnection()
    pair.client.transport.abortConnection()
    pair.flush()
    assert pair.client.reasons == [ConnectionDone]


def test_a_paused_side_receives_neither_bytes_nor_the_end(pair: IOPump) -> None:
    pair.server.transport.pauseProducing()
    pair.client.transport.write(b"one")
    pair.client.transport.loseConnection()
    pair.flush()
    assert pair.server.heard == []
    assert pair.server.reasons == []
    pair.server.transport.resumeProducing()
    pair.flush()
    assert pair.server.heard == [b"one"]
    assert pair.server.reasons == [ConnectionDone]


def test_a_reset_reaches_a_paused_side(pair: IOPump) -> None:
    pair.server.transport.pauseProducing()
    pair.client.transport.abortConnection()
    pair.flush()
    assert pair.server.reasons == [ConnectionLost]


def test_stop_producing_closes(pair: IOPump) -> None:
    pair.server.transport.stopProducing()
    pair.flush()
    assert pair.client.reasons == pair.server.reasons == [ConnectionDone]


def test_a_streaming_producer_is_paused_when_much_waits_and_resumed_when_it_has_gone(pair: IOPump) -> None:
    transport = pair.client.transport
    producer = Producer(transport, left=1)
    transport.registerProducer(producer, True)
    transport.write(bytes(65536))
    assert producer.asked == []
    transport.write(b"!")
    transport.write(b"!")
    assert producer.asked == ["pause"]
    pair.pump()
    assert producer.asked == ["pause", "resume"]


def test_a_pull_producer_is_asked_whenever_all_is_sent_and_delays_the_close(pair: IOPump) -> None:
    transport = pair.client.transport
    producer = Producer(transport, left=3)
    transport.registerProducer(producer, False)
    transport.loseConnection()
    pair.flush()
    assert pair.server.heard == [b"x", b"x", b"x"]
    assert pair.client.reasons == [ConnectionDone]


def test_one_producer_at_a_time_and_told_to_stop_at_the_end(pair: IOPump) -> None:
    transport = pair.client.transport
    producer = Producer(transport)
    transport.registerProducer(producer, True)
    with pytest.raises(RuntimeError, match="unregister it first"):
        transport.registerProducer(Producer(transport), True)
    pair.server.transport.abortConnection()
    pair.flush()
    assert producer.asked == ["stop"]


@pytest.mark.parametrize("ending", ["loseConnection", "abortConnection"])
def test_a_producer_registered_when_the_connection_is_going_is_told_to_stop(pair: IOPump, ending: str) -> None:
    getattr(pair.client.transport, ending)()
    for _ in range(2):
        late = Producer(pair.client.transport)
        pair.client.transport.registerProducer(late, True)
        assert late.asked == ["stop"]
        pair.flush()


def test_what_a_protocol_raises_ends_its_side_and_comes_out_of_pump() -> None:
    class Failing(Recorder):
        def dataReceived(self, data: bytes) -> None:
            raise KeyError(data)

    pair = connectedPair(Failing(), Recorder())
    pair.client.transport.write(b"x")
    pair.server.transport.write(b"y")
    with pytest.raises(KeyError):
        pair.pump()
    assert pair.client.heard == [b"y"], "the other way is not held up"
    assert pair.server.reasons == [KeyError]
    pair.flush()
    assert pair.client.reasons == [ConnectionDone]


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    """*order* is what it heard, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.order.append(data.decode())

    def readConnectionLost(self) -> None:
        self.order.append("read lost")

    def writeConnectionLost(self) -> None:
        self.order.append("write lost")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.order.append("lost")


class TestHalfClose:
    @pytest.fixture
    def pair(self) -> IOPump:
        return connectedPair(HalfCloseable(), HalfCloseable())

    def test_what_was_written_arrives_and_then_the_end(self, pair: IOPump) -> None:
        pair.client.transport.write(b"last")
        pair.client.transport.loseWriteConnection()
        pair.client.transport.loseWriteConnection()
        pair.client.transport.write(b"dropped")
        assert pair.client.order == []  # never from within the call
        pair.flush()
        assert pair.client.order == ["write lost"]
        assert pair.server.order == ["last", "read lost"]
        assert not pair.client.transport.disconnecting

    def test_the_other_direction_goes_on_until_it_ends_too(self, pair: IOPump) -> None:
        pair.client.transport.loseWriteConnection()
        pair.flush()
        pair.server.transport.write(b"answer")
        pair.flush()
        assert pair.client.heard == [b"answer"]
        pair.server.transport.loseWriteConnection()
        pair.flush()
        assert pair.client.order == ["write lost", "answer", "read lost", "lost"]
        assert pair.server.order == ["read lost", "write lost", "lost"]
        assert pair.client.reasons == pair.server.reasons == [ConnectionDone]

    def test_both_may_end_at_once(self, pair: IOPump) -> None:
        for side in (pair.client, pair.server):
            side.transport.write(b"all")
            side.transport.loseWriteConnection()
        pair.flush()
        for side in (pair.client, pair.server):
            assert sorted(side.order) == ["all", "lost", "read lost", "write lost"]
            assert side.order[-1] == "lost"
            assert side.reasons == [ConnectionDone]

    def test_an_ordinary_protocol_may_end_its_half_and_is_closed_by_the_peers(self) -> None:
        pair = connectedPair(Recorder(), HalfCloseable())
        pair.server.transport.loseWriteConnection()
        pair.client.transport.write(b"still read")
        pair.flush()
        assert pair.server.heard == [b"still read"]
        assert pair.server.reasons == []
        pair.client.transport.loseWriteConnection()
        pair.flush()
        assert pair.client.reasons == pair.server.reasons == [ConnectionDone]
        assert pair.client.order == ["read lost", "write lost", "lost"]

    def test_a_full_close_leaves_a_half_closeable_peer_until_it_writes(self, pair: IOPump) -> None:
        pair.client.transport.loseConnection()
        pair.flush()
        assert pair.client.order == ["lost"]
        assert pair.server.order == ["read lost"]
        pair.server.transport.write(b"to nobody")
        pair.flush()
        assert pair.server.reasons == [ConnectionLost]

    def test_or_until_it_closes_too(self, pair: IOPump) -> None:
        pair.client.transport.loseConnection()
        pair.flush()
        pair.server.transport.loseConnection()
        pair.flush()
        assert pair.server.reasons == [ConnectionDone]

    def test_lose_connection_after_half_is_a_full_close(self, pair: IOPump) -> None:
        pair.client.transport.loseWriteConnection()
        pair.flush()
        pair.client.transport.loseConnection()
        pair.client.transport.loseWriteConnection()
        pair.flush()
        assert pair.client.order == ["write lost", "lost"]
        assert pair.client.reasons == [ConnectionDone]

    def test_an_abort_ends_both_sides(self, pair: IOPump) -> None:
        pair.client.transport.loseWriteConnection()
        pair.flush()
        pair.server.transport.abortConnection()
        pair.flush()
        assert pair.client.reasons == [ConnectionLost]
        assert pair.server.reasons == [ConnectionAborted]

    def test_a_paused_side_does_not_hear_of_it(self, pair: IOPump) -> None:
        pair.server.transport.pauseProducing()
        pair.client.transport.write(b"last")
        pair.client.transport.loseWriteConnection()
        pair.flush()
        assert (pair.client.order, pair.server.order) == ([], [])
        pair.server.transport.resumeProducing()
        pair.flush()
        assert pair.server.order == ["last", "read lost"]

    def test_a_registered_producer_is_waited_for(self, pair: IOPump) -> None:
        transport = pair.client.transport
        transport.registerProducer(Producer(transport, left=3), False)
        transport.loseWriteConnection()
        pair.flush()
        assert pair.server.order == ["x", "x", "x", "read lost"]

    def test_one_that_comes_too_late_is_told_to_stop(self, pair: IOPump) -> None:
        pair.client.transport.loseWriteConnection()
        for _ in range(2):
            late = Producer(pair.client.transport)
            pair.client.transport.registerProducer(late, True)
            assert late.asked == ["stop"]
            pair.flush()

    @pytest.mark.parametrize("half", ["readConnectionLost", "writeConnectionLost"])
    def test_what_a_callback_raises_ends_its_side(self, pair: IOPump, half: str) -> None:
        def raises() -> None:
            raise KeyError(half)

        side = pair.client if half == "writeConnectionLost" else pair.server
        setattr(side, half, raises)
        pair.client.transport.loseWriteConnection()
        with pytest.raises(KeyError):
            pair.pump()
        assert side.reasons == [KeyError]
        pair.flush()


class TestWriteLimits:
    def test_a_producer_is_paused_beyond_them(self, pair: IOPump) -> None:
        transport = pair.client.transport
        transport.setWriteLimits(10)
        producer = Producer(transport)
        transport.registerProducer(producer, True)
        transport.write(bytes(10))
        assert producer.asked == []
        transport.write(b"!")
        assert producer.asked == ["pause"]
        pair.pump()
        assert producer.asked[:2] == ["pause", "resume"]

    def test_too_much_aborts(self, pair: IOPump) -> None:
        pair.client.transport.setWriteLimits(10, maximum=20)
        pair.client.transport.write(bytes(20))
        pair.client.transport.write(b"!")
        assert pair.client.reasons == []
        pair.flush()
        assert pair.client.reasons == [ConnectionAborted]
        assert pair.server.reasons == [ConnectionLost]
        assert pair.server.heard == []

    def test_those_that_make_no_sense_are_refused(self, pair: IOPump) -> None:
        with pytest.raises(ValueError, match="0 <= low <= high < maximum"):
            pair.client.transport.setWriteLimits(1, 2)
