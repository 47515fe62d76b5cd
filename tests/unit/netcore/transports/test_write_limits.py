"""How much may wait to be sent: when producers are paused and resumed, and when it is too much."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.error import ConnectionAborted
from netcore.transports._limits import HIGH_WATER
from netcore.transports._stream import StreamTransport
from tests.support.guard import Logged
from tests.unit.netcore.transports.fakes import FakeReactor, Producer, Recorder, Socket, connected


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


@pytest.fixture
def sock() -> Socket:
    return Socket()


@pytest.fixture
def protocol() -> Recorder:
    return Recorder()


@pytest.fixture
def transport(reactor: FakeReactor, sock: Socket, protocol: Recorder) -> StreamTransport:
    return connected(reactor, sock, protocol)


@pytest.fixture
def producer(transport: StreamTransport) -> Producer:
    producer = Producer()
    transport.registerProducer(producer, True)
    return producer


def test_at_first_a_producer_is_paused_beyond_64_kib_and_resumed_when_all_is_sent(
    transport: StreamTransport, producer: Producer, reactor: FakeReactor, sock: Socket
) -> None:
    transport.write(bytes(HIGH_WATER))
    assert producer.heard == []
    transport.write(b"!")
    assert producer.heard == ["pause"]
    sock.answers.append(HIGH_WATER)
    reactor.turn()
    assert producer.heard == ["pause"]
    reactor.writable()
    assert producer.heard == ["pause", "resume"]


def test_it_is_paused_beyond_high_and_resumed_at_low(
    transport: StreamTransport, producer: Producer, reactor: FakeReactor, sock: Socket
) -> None:
    transport.setWriteLimits(100, 40)
    transport.write(bytes(100))
    assert producer.heard == []
    transport.write(bytes(10))
    transport.write(bytes(10))
    assert producer.heard == ["pause"]
    sock.answers.extend([79, 1, 20])
    reactor.turn()
    assert (transport._size, producer.heard) == (41, ["pause"])
    reactor.writable()
    assert (transport._size, producer.heard) == (40, ["pause", "resume"])
    assert reactor.writer is not None
    reactor.writable()
    assert (transport._size, producer.heard) == (20, ["pause", "resume"])
    reactor.writable()
    assert (transport._size, producer.heard) == (0, ["pause", "resume"])
    assert reactor.writer is None


def test_a_producer_that_fills_up_again_when_resumed_is_paused_again(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket
) -> None:
    class Refills(Producer):
        def resumeProducing(self) -> None:
            super().resumeProducing()
            if len(self.heard) < 4:
                transport.write(bytes(100))

    producer = Refills()
    transport.registerProducer(producer, True)
    transport.setWriteLimits(100, 50)
    transport.write(bytes(101))
    sock.answers.extend([60, 100])
    reactor.turn()
    assert (transport._size, producer.heard) == (141, ["pause", "resume", "pause"])
    reactor.writable()
    assert (transport._size, producer.heard) == (41, ["pause", "resume", "pause", "resume"])
    reactor.writable()
    assert transport._size == 0


def test_a_pull_producer_is_asked_when_all_is_sent_whatever_the_limits(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket
) -> None:
    producer = Producer()
    transport.registerProducer(producer, False)
    transport.setWriteLimits(10, 5)
    transport.write(bytes(20))
    sock.answers.append(16)
    reactor.turn()
    assert producer.heard == ["resume"]
    reactor.writable()
    assert producer.heard == ["resume", "resume"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, (HIGH_WATER, 0, None)),
        ({"high": 10}, (10, 0, None)),
        ({"low": 10}, (HIGH_WATER, 10, None)),
        ({"low": 2 * HIGH_WATER}, (2 * HIGH_WATER, 2 * HIGH_WATER, None)),
        ({"high": 0}, (0, 0, None)),
        ({"maximum": HIGH_WATER + 1}, (HIGH_WATER, 0, HIGH_WATER + 1)),
    ],
)
def test_what_is_left_out_is_as_at_first(transport: StreamTransport, limits: Any, expected: tuple[Any, ...]) -> None:
    transport.setWriteLimits(1, 1, maximum=2)
    transport.setWriteLimits(**limits)
    assert (transport._high, transport._low, transport._maximum) == expected


@pytest.mark.parametrize(
    "limits",
    [{"high": -1}, {"low": -1}, {"high": 1, "low": 2}, {"high": 5, "maximum": 5}, {"maximum": HIGH_WATER}],
)
def test_limits_that_make_no_sense_are_refused_and_change_nothing(transport: StreamTransport, limits: Any) -> None:
    with pytest.raises(ValueError, match="0 <= low <= high < maximum"):
        transport.setWriteLimits(**limits)
    assert (transport._high, transport._low, transport._maximum) == (HIGH_WATER, 0, None)


def test_too_much_aborts_the_connection_and_says_so(
    transport: StreamTransport, producer: Producer, reactor: FakeReactor, sock: Socket, protocol: Recorder
) -> None:
    transport.setWriteLimits(100, maximum=200)
    transport.write(bytes(200))
    assert producer.heard == ["pause"]
    transport.write(b"!")
    assert protocol.heard == []  # not from within the call
    assert transport.disconnecting
    transport.write(b"more")
    reactor.turn()
    (reason,) = protocol.reasons
    assert type(reason) is ConnectionAborted
    assert "201 bytes would wait to be sent, and at most 200 may" in str(reason)
    assert sock.reset
    assert sock.sent == []  # nothing is left out in the middle
    assert producer.heard == ["pause", "stop"]


def test_what_the_kernel_took_does_not_count(transport: StreamTransport, reactor: FakeReactor, sock: Socket) -> None:
    transport.setWriteLimits(100, maximum=200)
    for _ in range(10):
        transport.write(bytes(150))
        reactor.turn()
    assert len(sock.taken) == 1500


@pytest.mark.parametrize("ending", ["loseConnection", "loseWriteConnection"])
def test_a_producer_that_is_waited_for_is_bounded_too(
    transport: StreamTransport, producer: Producer, reactor: FakeReactor, protocol: Recorder, ending: str
) -> None:
    transport.setWriteLimits(100, maximum=200)
    getattr(transport, ending)()
    transport.write(bytes(201))
    reactor.turn()
    assert [type(reason) for reason in protocol.reasons] == [ConnectionAborted]


class Broken(Producer):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def pauseProducing(self) -> None:
        raise self.error


def test_a_producer_that_raises_when_paused_loses_the_connection_and_not_its_writer(
    transport: StreamTransport, reactor: FakeReactor, protocol: Recorder, logged: Logged
) -> None:
    transport.registerProducer(Broken(LookupError("in the producer")), True)
    transport.write(bytes(HIGH_WATER + 1))
    transport.write(b"more")
    assert protocol.heard == []
    reactor.turn()
    assert [type(reason) for reason in protocol.reasons] == [LookupError]
    (record,) = logged.take(LookupError)
    assert "pauseProducing of" in record.getMessage()


def test_unless_that_ends_the_program(transport: StreamTransport, reactor: FakeReactor, protocol: Recorder) -> None:
    transport.registerProducer(Broken(KeyboardInterrupt()), True)
    with pytest.raises(KeyboardInterrupt):
        transport.write(bytes(HIGH_WATER + 1))
    reactor.turn()
    assert protocol.reasons == []
