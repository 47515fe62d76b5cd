"""Two protocols connected in memory: what moves when, and how either side ends."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
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
