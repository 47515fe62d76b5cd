"""What a stream transport stands on and talks to, played by the test: socket, loop, protocol, producer."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, cast

from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol, implementer
from netcore.protocol import Protocol
from netcore.reactors import Reactor
from netcore.transports._stream import StreamTransport


class Socket:
    """*answers* are what send() does next: take so many bytes, or raise; after those it takes everything.

    *received* is what recv() gives or raises; after that there is nothing to read.

    Attributes: *sent*, what was given to each send, and *taken*, all that was taken; *shut*, the arguments of each
        shutdown; *reset*, whether closing resets.
    """

    def __init__(self) -> None:
        self.answers: deque[int | OSError] = deque()
        self.received: deque[bytes | OSError] = deque()
        self.sent: list[bytes] = []
        self.taken = b""
        self.shut: list[int] = []
        self.reset = False
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

    def sendmsg(self, pieces: list[bytes]) -> int:
        return self.send(b"".join(pieces))

    def recv(self, size: int) -> bytes:
        if not self.received:
            raise BlockingIOError
        answer = self.received[0]
        if answer:  # an end stays
            self.received.popleft()
        if isinstance(answer, OSError):
            raise answer
        return answer

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER)
        self.reset = True

    def shutdown(self, how: int) -> None:
        self.shut.append(how)

    def close(self) -> None:
        self.closed = True


class FakeReactor:
    """The reactor, its loop and its watcher, of which the test takes the turns."""

    def __init__(self) -> None:
        self.loop = self._watcher = self
        self.soon: deque[Callable[[], object]] = deque()
        self.reader: Callable[[], object] | None = None
        self.writer: Callable[[], object] | None = None
        self.lingering = 0

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self.soon.append(lambda: callback(*args))

    def turn(self) -> None:
        while self.soon:
            self.soon.popleft()()

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        self.reader = callback

    def remove_reader(self, fd: int) -> None:
        self.reader = None

    def readable(self) -> None:
        """The socket has something to read."""
        assert self.reader is not None
        self.reader()

    def writable(self) -> None:
        """The socket takes more."""
        assert self.writer is not None
        self.writer()

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
    """Attributes: *heard*, what was called; *reasons*; *on*, what to do about it, by name."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.reasons: list[BaseException] = []
        self.on: dict[str, Callable[[], object]] = {}

    def hear(self, what: str) -> None:
        self.heard.append(what)
        self.on.get(what, lambda: None)()

    def dataReceived(self, data: bytes) -> None:
        self.hear(data.decode())

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reasons.append(reason.value)
        self.hear("lost")


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    def readConnectionLost(self) -> None:
        self.hear("read lost")

    def writeConnectionLost(self) -> None:
        self.hear("write lost")


class Producer:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def resumeProducing(self) -> None:
        self.heard.append("resume")

    def pauseProducing(self) -> None:
        self.heard.append("pause")

    def stopProducing(self) -> None:
        self.heard.append("stop")


def connected(reactor: FakeReactor, sock: Socket, protocol: Protocol) -> StreamTransport:
    """A transport that has begun."""
    transport = StreamTransport(cast("Reactor", reactor), cast("Any", sock), protocol, Context())
    transport.start()
    return transport
