"""What a stream transport makes of each answer of send(2), over a socket that says them."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, cast

import pytest

from netcore.error import ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.protocol import Protocol
from netcore.reactors import Reactor
from netcore.transports._stream import StreamTransport


class Socket:
    """*answers* are what send() does next: take so many bytes, or raise; after those it takes everything.

    Attributes: *sent*, what was given to each send, and *taken*, all that was taken.
    """

    def __init__(self) -> None:
        self.answers: deque[int | OSError] = deque()
        self.sent: list[bytes] = []
        self.taken = b""
        self.closed = False

    def fileno(self) -> int:
        return 7

    def send(self, data: bytes) -> int:
        self.sent.append(bytes(data))
        answer = self.answers.popleft() if self.answers else len(data)
        if isinstance(answer, OSError):
            raise answer
        self.taken += bytes(data[:answer])
        return answer

    def recv(self, size: int) -> bytes:
        raise BlockingIOError

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        pass

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class FakeReactor:
    """The reactor, its loop and its watcher, of which the test takes the turns."""

    def __init__(self) -> None:
        self.loop = self._watcher = self
        self.soon: deque[Callable[[], object]] = deque()
        self.writer: Callable[[], object] | None = None
        self.lingering = 0

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        while self.soon:
            self.soon.popleft()()

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        pass

    def remove_reader(self, fd: int) -> None:
        pass

    def add_writer(self, fd: int, callback: Callable[[], object]) -> None:
        self.writer = callback

    def remove_writer(self, fd: int) -> None:
        self.writer = None

    def callLater(self, delay: float, callback: Callable[[], object]) -> Any:
        self.lingering += 1
        return self

    def cancel(self) -> None:
        self.lingering -= 1

    def _keep(self, thing: object) -> None:
        pass

    def _drop(self, thing: object) -> None:
        pass


class Recorder(Protocol):
    def __init__(self) -> None:
        self.reasons: list[BaseException] = []

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reasons.append(reason.value)


class Producer:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def resumeProducing(self) -> None:
        self.heard.append("resume")

    def pauseProducing(self) -> None:
        self.heard.append("pause")

    def stopProducing(self) -> None:
        self.heard.append("stop")


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
    transport = StreamTransport(cast("Reactor", reactor), cast("Any", sock), protocol, Context())
    transport.start()
    return transport


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
