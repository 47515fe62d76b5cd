"""Two protocols connected in memory.

Nothing happens by itself: bytes, closes and resets travel when the test calls `IOPump.pump` or `IOPump.flush`, in the
same order every time, without a reactor or a clock. The rest is as on TCP:

- A write only queues, and ``loseConnection`` and ``abortConnection`` only ask: no protocol is called from within its
  own call of the transport.
- ``loseConnection`` sends what was written before, waits for a registered producer, and ends both sides with
  ConnectionDone. What the peer sends meanwhile is lost.
- ``loseWriteConnection`` sends what was written before, waits for a registered producer, and ends one direction: a
  protocol that provides IHalfCloseableProtocol hears of it on either side and goes on with the other direction, until
  that has ended too; any other peer is closed. A full close is no more to such a peer, until it writes: that ends it
  with ConnectionLost.
- ``setWriteLimits`` holds: a streaming producer is paused and resumed, and too much ends this side as
  ``abortConnection`` does.
- ``abortConnection`` drops what was written, and ends this side with ConnectionAborted, the other with ConnectionLost.
- A paused side receives nothing, not even the end; a reset comes through.
- What fails in a scope (`netcore.scope`) tied to a side ends that side with the next pump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, cast

from netcore._owner import ScopeOwner
from netcore.address import IPv4Address
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import IAddress, IHalfCloseableProtocol, IProtocol, ITCPTransport, implementer
from netcore.testing._transport import TCPOptions, check_bytes

__all__ = ["IOPump", "MemoryTransport", "connectedPair"]


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()  # loseConnection was called; what was written goes out first
    ABORTING = auto()  # abortConnection was called
    CLOSED = auto()  # connectionLost was called


@implementer(ITCPTransport)
class MemoryTransport(TCPOptions, ScopeOwner):
    """One side of a connection in memory; made by `connectedPair`."""

    protocol: IProtocol
    """The protocol on this side."""
    disconnecting: bool = False
    """Whether the connection was asked to close."""

    def __init__(self, protocol: IProtocol, host: IAddress, peer: IAddress) -> None:
        self.protocol = protocol
        self._host = host
        self._peer = peer
        self._state = _State.OPEN
        self._queue = bytearray()
        self._reading = True
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._failure: Failure | None = None
        self._aborted = ConnectionAborted()
        # One direction each: the peer has sent its last, we were asked to, we have.
        self._read_ended = False
        self._write_ending = False
        self._write_ended = False

    @property
    def connected(self) -> bool:
        """Whether ``connectionLost`` is still to come."""
        return self._state is not _State.CLOSED

    def getHost(self) -> IAddress:
        """This side's address."""
        return self._host

    def getPeer(self) -> IAddress:
        """The other side's address."""
        return self._peer

    def write(self, data: bytes) -> None:
        """Queue *data* for the next pump. Dropped once the connection is going, unless a producer is still registered.

        Raises: TypeError: it is not bytes-like.
        """
        check_bytes(data)
        if not self._writable():
            return
        self._queue += data
        high, _, maximum = self.writeLimits
        if maximum is not None and len(self._queue) > maximum:
            self._aborted = ConnectionAborted(f"{len(self._queue)} bytes would wait, and at most {maximum} may")
            self.abortConnection()
        elif len(self._queue) > high:
            self._pause_producer()

    def _pause_producer(self) -> None:
        if self._streaming and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _waiting_to_be_sent(self) -> int:
        """How many bytes were not pumped."""
        return len(self._queue)

    _not_taken = _waiting_to_be_sent

    def setWriteLimits(self, high: int | None = None, low: int | None = None, *, maximum: int | None = None) -> None:
        """Set `writeLimits`, which hold from now on.

        Raises: ValueError: they do not hold 0 <= low <= high < maximum.
        """
        super().setWriteLimits(high, low, maximum=maximum)
        if len(self._queue) > self.writeLimits.high:
            self._pause_producer()

    def _writable(self) -> bool:
        if self._state is _State.OPEN and not self._write_ending:
            return True
        return self._producer is not None and self._state in {_State.OPEN, _State.CLOSING}

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Queue all of *data*."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close once everything written has been pumped and no producer is registered."""
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self.disconnecting = True

    def loseWriteConnection(self) -> None:
        """Send no more, once everything written has been pumped and no producer is registered."""
        if self._state is _State.OPEN:
            self._write_ending = True

    def abortConnection(self) -> None:
        """Drop what was not pumped, and close with the next pump."""
        if self._state is not _State.CLOSED:
            self._state = _State.ABORTING
            self.disconnecting = True
            self._queue.clear()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Control *producer*: pause and resume it at the limits if *streaming*, else ask it when all is sent.

        It is told to stop if the connection, or our half of it, is going already, and when the connection is lost.

        Raises: RuntimeError: another one is registered.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered as producer: unregister it first")
        if self._state is not _State.OPEN or self._write_ending:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer has finished."""
        self._producer = None
        self._streaming = False

    def pauseProducing(self) -> None:
        """Deliver nothing until `resumeProducing`."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Deliver again, with the next pump."""
        self._reading = True

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def _deliver(self, data: bytes) -> None:
        """*data* arrives here."""
        if self._state is _State.OPEN:
            self._tell(self.protocol.dataReceived, data)

    def _tell(self, callback: Callable[..., object], *args: Any) -> None:
        """Raises: what *callback* raised, after the connection has ended with that."""
        try:
            callback(*args)
        except Exception:
            self._end(Failure())
            raise

    def _half_closeable(self) -> Any:
        """The protocol, or what adapts it, if it goes on with one direction; else None."""
        return cast("Any", IHalfCloseableProtocol)(self.protocol, None)

    def _ready_to_end_writing(self) -> bool:
        asked = self._state is _State.OPEN and self._write_ending and not self._write_ended
        return asked and not self._queue and self._producer is None

    def _end_writing(self) -> None:
        """All is sent, and `loseWriteConnection` was called."""
        self._write_ended = True
        half = self._half_closeable()
        if half is not None:
            self._tell(half.writeConnectionLost)
        self._end_if_both()

    def _end_reading(self) -> None:
        """The peer has sent its last."""
        half = self._half_closeable() if self._state is _State.OPEN else None
        if half is None:
            self._end(Failure(ConnectionDone()))
            return
        self._read_ended = True
        self._tell(half.readConnectionLost)
        self._end_if_both()

    def _end_if_both(self) -> None:
        if self._read_ended and self._write_ended and self._state is _State.OPEN:
            self._end(Failure(ConnectionDone()))

    def _end(self, reason: Failure) -> None:
        if self._state is not _State.CLOSED:
            self._state = _State.CLOSED
            self._queue.clear()
            self._end_scopes()
            producer, self._producer = self._producer, None
            if producer is not None:
                producer.stopProducing()
            self.protocol.connectionLost(reason)

    def _child_failed(self, failure: Failure) -> None:
        self._failure = failure
        self.disconnecting = True

    def _sent(self) -> None:
        """What was queued is on its way: the producer may write again."""
        producer = self._producer
        if producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            producer.resumeProducing()


class IOPump:
    """Moves bytes, closes and resets between the two sides of a connection in memory; made by `connectedPair`."""

    server: Any
    """The first protocol."""
    client: Any
    """The second protocol."""
    serverTransport: MemoryTransport
    """What the server writes to."""
    clientTransport: MemoryTransport
    """What the client writes to."""

    def __init__(self, serverTransport: MemoryTransport, clientTransport: MemoryTransport) -> None:
        self.serverTransport, self.clientTransport = serverTransport, clientTransport
        self.server, self.client = serverTransport.protocol, clientTransport.protocol

    def pump(self) -> bool:
        """Carry over what each side has written so far: first the client's, then the server's; then closes and resets.

        Returns: whether anything moved.
        Raises: what a protocol raised in ``dataReceived``, or in ``readConnectionLost`` or ``writeConnectionLost``,
            after that side was ended with it, as on TCP.
        """
        ways = (self.clientTransport, self.serverTransport), (self.serverTransport, self.clientTransport)
        # Taken on both sides before anything is delivered: an answer travels with the next pump.
        taken = [(source, sink, self._take(source, sink)) for source, sink in ways]
        moved = False
        errors: list[Exception] = []
        for source, sink, data in taken:
            if data:
                moved = True
                try:
                    self._carry(source, sink, data)
                except Exception as error:
                    errors.append(error)
        for source, sink in ways:
            for step in (self._finish, self._finish_direction):
                try:
                    moved = step(source, sink) or moved
                except Exception as error:
                    moved = True
                    errors.append(error)
        if errors:
            raise errors[0]
        return moved

    def flush(self, rounds: int = 1000) -> None:
        """Pump until nothing moves.

        Raises: RuntimeError: something still moved after *rounds*: the two would talk for ever.
        """
        for _ in range(rounds):
            if not self.pump():
                return
        raise RuntimeError(f"{self.server!r} and {self.client!r} still talk after {rounds} rounds")

    @staticmethod
    def _take(source: MemoryTransport, sink: MemoryTransport) -> bytes:
        """What *source* queued, unless *sink* does not read."""
        if not sink._reading and sink._state is _State.OPEN:
            return b""
        data = bytes(source._queue)
        source._queue.clear()
        return data

    @staticmethod
    def _carry(source: MemoryTransport, sink: MemoryTransport, data: bytes) -> None:
        if source._read_ended and sink._state is _State.CLOSED and source._state is _State.OPEN:
            source._end(Failure(ConnectionLost()))  # nobody is there any more, and now it is noticed
            return
        source._sent()
        sink._deliver(data)

    @staticmethod
    def _finish(source: MemoryTransport, sink: MemoryTransport) -> bool:
        """End *source*, and with a reset *sink* too, if it is ready to. Returns whether it was."""
        failure, source._failure = source._failure, None
        if failure is not None and source._state is not _State.CLOSED:
            source._end(failure)
        elif source._state is _State.ABORTING:
            source._end(Failure(source._aborted))
            sink._end(Failure(ConnectionLost()))
        elif source._state is _State.CLOSING and not source._queue and source._producer is None:
            source._end(Failure(ConnectionDone()))
        else:
            return False
        return True

    @staticmethod
    def _finish_direction(source: MemoryTransport, sink: MemoryTransport) -> bool:
        """End what *source* sends to *sink*, if it is ready to. Returns whether it was."""
        moved = False
        if source._ready_to_end_writing():
            moved = True
            source._end_writing()
        if source._state is _State.CLOSED:
            ended = sink._state is not _State.CLOSED
        else:
            ended = source._write_ended and sink._state is _State.OPEN
        if ended and sink._reading and not sink._read_ended:
            moved = True
            sink._end_reading()
        return moved


def connectedPair(serverProtocol: IProtocol, clientProtocol: IProtocol) -> IOPump:
    """Connect two protocols in memory; both have had their ``connectionMade`` when this returns, the server's first.

    >>> from netcore.protocol import Protocol
    >>> class Echo(Protocol):
    ...     def dataReceived(self, data):
    ...         self.transport.write(data)
    >>> class Client(Protocol):
    ...     def dataReceived(self, data):
    ...         print(data)
    >>> pair = connectedPair(Echo(), Client())
    >>> pair.client.transport.write(b"hello")
    >>> pair.flush()
    b'hello'
    """
    serverAddress, clientAddress = IPv4Address("TCP", "10.0.0.1", 7979), IPv4Address("TCP", "10.0.0.2", 50000)
    serverTransport = MemoryTransport(serverProtocol, host=serverAddress, peer=clientAddress)
    clientTransport = MemoryTransport(clientProtocol, host=clientAddress, peer=serverAddress)
    serverProtocol.makeConnection(serverTransport)
    clientProtocol.makeConnection(clientTransport)
    return IOPump(serverTransport, clientTransport)
