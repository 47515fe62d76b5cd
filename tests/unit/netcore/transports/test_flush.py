"""What a stream transport makes of each answer of send(2), over a socket that says them."""

from __future__ import annotations

import errno

import pytest

from netcore.error import ConnectionDone, ConnectionLost
from netcore.transports import _stream
from netcore.transports._stream import StreamTransport
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


def test_one_piece_that_is_taken_whole_is_one_send(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket
) -> None:
    for piece in (b"first", b"second"):
        transport.write(piece)
        assert len(reactor.soon) == 1
        reactor.turn()
    assert sock.sent == [b"first", b"second"]
    assert reactor.writer is None
    assert transport._size == 0


def test_several_pieces_are_one_send(transport: StreamTransport, reactor: FakeReactor, sock: Socket) -> None:
    transport.write(b"first ")
    transport.write(b"second")
    reactor.turn()
    assert sock.sent == [b"first second"]
    assert reactor.writer is None


@pytest.mark.parametrize("pieces", [[b"abcdef"], [b"abc", b"def"]])
def test_what_is_not_taken_is_sent_when_there_is_room(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket, pieces: list[bytes]
) -> None:
    sock.answers.extend([2, 3])
    for piece in pieces:
        transport.write(piece)
    reactor.turn()
    assert sock.sent == [b"abcdef"]
    assert transport._size == 4
    assert reactor.writer is not None
    transport.write(b"ghi")
    assert not reactor.soon  # whoever watches for room will see to it
    reactor.writer()
    assert transport._size == 4
    assert reactor.writer is not None
    reactor.writer()
    assert sock.taken == b"abcdefghi"
    assert transport._size == 0
    assert reactor.writer is None
    transport.write(b"j")
    reactor.turn()
    assert sock.sent[-1] == b"j"


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.EINTR])
@pytest.mark.parametrize("pieces", [[b"abcdef"], [b"abc", b"def"]])
def test_a_kernel_without_room_is_asked_again_when_it_has_some(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket, pieces: list[bytes], number: int
) -> None:
    sock.answers.append(OSError(number, "no room"))
    for piece in pieces:
        transport.write(piece)
    reactor.turn()
    assert sock.sent == [b"abcdef"]  # not again at once
    assert reactor.writer is not None
    reactor.writer()
    assert sock.taken == b"abcdef"
    assert reactor.writer is None


@pytest.mark.parametrize("pieces", [[b"abcdef"], [b"abc", b"def"]])
def test_the_error_of_the_first_send_is_the_reason(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket, protocol: Recorder, pieces: list[bytes]
) -> None:
    """send(2) says ECONNRESET once, and EPIPE from then on."""
    sock.answers.extend([ConnectionResetError(errno.ECONNRESET, "reset"), BrokenPipeError(errno.EPIPE, "pipe")])
    for piece in pieces:
        transport.write(piece)
    reactor.turn()
    (reason,) = protocol.reasons
    assert isinstance(reason, ConnectionLost)
    assert "reset" in str(reason)
    assert len(sock.sent) == 1
    assert sock.closed


def test_a_streaming_producer_is_paused_until_all_is_sent(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket
) -> None:
    producer = Producer()
    transport.registerProducer(producer, True)
    sock.answers.append(1)
    transport.write(bytes(100_000))
    assert producer.heard == ["pause"]
    reactor.turn()
    assert producer.heard == ["pause"]
    assert reactor.writer is not None
    reactor.writer()
    assert producer.heard == ["pause", "resume"]


def test_a_pull_producer_is_asked_for_more_when_one_piece_is_sent(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket
) -> None:
    producer = Producer()
    transport.registerProducer(producer, False)
    transport.write(b"piece")
    reactor.turn()
    assert sock.sent == [b"piece"]
    assert producer.heard == ["resume", "resume"]


def test_a_closing_connection_closes_when_one_piece_is_sent(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket, protocol: Recorder
) -> None:
    sock.answers.append(2)
    transport.write(b"piece")
    transport.loseConnection()
    reactor.turn()
    assert (sock.closed, reactor.lingering) == (False, 1)
    assert reactor.writer is not None
    reactor.writer()
    assert sock.taken == b"piece"
    assert [type(reason) for reason in protocol.reasons] == [ConnectionDone]
    assert (sock.closed, reactor.lingering) == (True, 0)


def test_nothing_is_sent_once_the_connection_is_closed(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket
) -> None:
    transport.write(b"piece")
    transport.abortConnection()
    reactor.turn()
    assert sock.sent == []


@pytest.mark.parametrize("size", [_stream.SMALL - 1, _stream.SMALL])
def test_any_number_of_pieces_leaves_in_order(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket, size: int
) -> None:
    pieces = [number.to_bytes(2, "big") * (size // 2) for number in range(2 * _stream.PIECES + 1)]
    for piece in pieces:
        transport.write(piece)
    sock.answers.extend([3 * len(pieces[0]) + 1, 0, 1])
    reactor.turn()
    while reactor.writer is not None:
        reactor.writable()
    assert sock.taken == b"".join(pieces)
    assert transport._size == 0
    assert len(sock.sent) <= 7


def test_a_producer_is_asked_again_in_the_same_turn_but_not_for_ever(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket
) -> None:
    class Endless(Producer):
        def resumeProducing(self) -> None:
            transport.write(b"x" * 1000)

    transport.registerProducer(Endless(), False)
    reactor.turn()
    assert len(sock.taken) == _stream.ROUNDS * 1000
    assert reactor.writer is not None, "the rest has its turn later"
    reactor.writable()
    assert len(sock.taken) == 2 * _stream.ROUNDS * 1000
    transport.abortConnection()


def test_more_is_read_at_once_after_a_read_that_was_filled(
    transport: StreamTransport, reactor: FakeReactor, sock: Socket
) -> None:
    sizes: list[int] = []
    recv = sock.recv
    sock.recv = lambda size: sizes.append(size) or recv(size)  # type: ignore[func-returns-value,method-assign]
    sock.received.extend([b"x", bytes(_stream.READ_SIZE), b"x"])
    for _ in range(3):
        reactor.readable()
    assert sizes == [_stream.READ_SIZE, _stream.READ_SIZE, _stream.READ_MORE]
