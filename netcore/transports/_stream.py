"""A stream connection over a non-blocking socket: reading, writing, producers, and the ways it can end.

States and events are the table in `_states`. What holds:

* A descriptor is taken out of the loop before it is closed: its number is reused at once, and a loop that still
  watches it never reports the new owner (uvloop aborts the process).
* ``connectionLost`` is called exactly once, last, and never from within a call that the protocol makes on the
  transport.
* ``_armed`` is True while somebody will call `_flush`: the loop (it watches for writability, or was asked to call it
  soon) or the caller of a protocol's callback, when that returns. So all that is written in one callback leaves in one
  send(2). Sending the first piece at once would be no faster for one piece, and for two it would leave the second
  waiting for the acknowledgement of the first (Nagle's algorithm, against delayed acknowledgements: 40 ms).
* ``_writable`` is True while what is written will be sent: until `loseConnection`, or, if a producer is registered
  then, until that is unregistered.
* Callbacks of the protocol and its producer run in the connection's own context (contextvars).

Closing politely. close(2) with unread data in the receive queue makes the kernel send a reset, upon which the peer may
throw away what we sent last. So after the last byte was handed over, the receive queue is looked at: if it is empty,
the socket is closed; if not, only our half is, and what comes is read and dropped until the peer closes too. From then
on nothing more can go wrong: a peer that resets what both had finished with (it may have closed politely, like us, with
our bytes unread) has ended a connection that was done, `ConnectionDone`.

Nothing of that may take for ever. ``lingerLimit`` bounds the time without progress while sending (a slow reader of a
large answer may take as long as it needs; one that stopped reading is cut off), and the whole time of reading what
nobody wants.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore._owner import ScopeOwner
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.transports._sockets import TRY_LATER, set_reset_on_close
from netcore.transports._states import STREAM_TRANSITIONS, StreamEvent, StreamState

if TYPE_CHECKING:
    from netcore.interfaces import IDelayedCall
    from netcore.reactors import Reactor

__all__ = ["StreamTransport"]

logger = logging.getLogger("netcore.transports")

# asyncio's own transports read 256 KiB, and every recv(2) allocates that much: measured, 64 KiB costs a third.
READ_SIZE = 64 * 1024
# A streaming producer is paused when more than this waits to be sent.
HIGH_WATER = 64 * 1024
# At most this much is copied together for one send(2); a longer first piece is sent as it is.
GATHER = 128 * 1024
# After a failed send, how many times what the peer sent before it broke off is read: 16 MiB, beyond any receive buffer.
LAST_READS = 256


_OPEN, _CLOSING, _DRAINING, _CLOSED = StreamState


class StreamTransport(ScopeOwner):
    """A connection: *protocol*'s transport.

    Args:
        reactor: whose loop watches the socket.
        sock: connected and non-blocking; the transport's from now on.
        protocol: hears of what happens; may be replaced at any time.
        context: the callbacks' own.
        on_lost: told the reason after the protocol was.
    Attributes: *protocol*; *connected*, from `start` until ``connectionLost``; *disconnecting*, whether
        `loseConnection` or `abortConnection` was called; *lingerLimit*, seconds, see the head of this file.
    Threading: the reactor's thread only.
    """

    lingerLimit = 30.0

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        protocol: Any,
        context: Context,
        on_lost: Callable[[Failure], object] | None = None,
    ) -> None:
        self.protocol: Any = protocol
        self.connected = False
        self.disconnecting = False
        self._reactor = reactor
        self._loop = reactor.loop
        self._watcher = reactor._watcher
        self._socket = sock
        self._descriptor = sock.fileno()
        self._recv = sock.recv
        self._send = sock.send
        self._context = context
        self._on_lost = on_lost
        self._state = _OPEN
        self._reading = False
        self._watching_writable = False
        self._buffer: deque[bytes | memoryview] = deque()
        self._size = 0
        self._armed = False
        self._writable = True
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._linger: IDelayedCall | None = None
        self._progress = False
        self._reason: Failure | None = None

    # Writing.

    def write(self, data: bytes) -> None:
        """Send *data*, at the latest in the next turn. Dropped once the connection is going.

        Raises: TypeError: *data* is not bytes-like.
        """
        if type(data) is not bytes:
            data = _as_bytes(data)
        if not self._writable or not data:
            return
        self._buffer.append(data)
        self._size = size = self._size + len(data)
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._flush)
        if size > HIGH_WATER and self._streaming and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*.

        Raises: TypeError: one is not bytes-like.
        """
        self.write(b"".join(data))

    def _flush(self) -> None:
        """Send what the kernel takes; if that is all, see what comes next."""
        state = self._state
        buffer = self._buffer
        # By far the most frequent, on its own (a third of what the transport adds to recv(2) and send(2)): one piece,
        # and the kernel takes all of it.
        if len(buffer) == 1 and state is _OPEN and self._producer is None and not self._watching_writable:
            data = buffer[0]
            try:
                sent = self._send(data)
            except OSError as refusal:
                if refusal.errno not in TRY_LATER:
                    self._write_failed(refusal)
                    return
                sent = 0
            if sent == len(data):
                buffer.clear()
                self._size = 0
                self._armed = False
                return
            if sent:
                buffer[0] = memoryview(data)[sent:]
                self._size -= sent
                self._progress = True
            self._watch_writable(True)
            return
        if state is not _OPEN and state is not _CLOSING:
            return
        if buffer:
            error = self._send_some()
            if error is not None:
                self._write_failed(error)
                return
            if buffer:
                self._watch_writable(True)
                if state is _CLOSING:
                    self._start_linger()
                return
        producer = self._producer
        if producer is None:
            if state is _CLOSING:
                self._flushed()
                return
        elif not self._streaming or self._producer_paused:
            self._producer_paused = False
            try:
                self._context.run(producer.resumeProducing)
            except BaseException as error:
                self._raised(error, "resumeProducing")
                return
            if self._state is _CLOSED:
                return
            if self._state is _CLOSING and self._producer is None and not self._buffer:
                self._flushed()
                return
        more = bool(self._buffer)
        if more is not self._watching_writable:
            self._watch_writable(more)
        self._armed = more

    def _send_some(self) -> OSError | None:
        """Hand the kernel as much as it takes at once."""
        buffer = self._buffer
        data: bytes | memoryview = buffer.popleft()
        if buffer and len(data) < GATHER:
            pieces = [data]
            room = GATHER - len(data)
            while buffer and room:
                piece = buffer.popleft()
                if len(piece) > room:
                    view = memoryview(piece)
                    buffer.appendleft(view[room:])
                    piece = view[:room]
                pieces.append(piece)
                room -= len(piece)
            data = b"".join(pieces)
        try:
            sent = self._send(data)
        except OSError as error:
            if error.errno not in TRY_LATER:
                return error
            sent = 0
        if sent:
            self._size -= sent
            self._progress = True
        if sent < len(data):
            buffer.appendleft(memoryview(data)[sent:])
        return None

    def _write_failed(self, error: OSError) -> None:
        """Sending failed: the connection is lost, but what the peer said before it broke off is still heard."""
        self._drop_buffer()
        if self._state is _OPEN and self._reading:
            self._watch_writable(False)
            for _ in range(LAST_READS):
                try:
                    data = self._recv(READ_SIZE)
                except OSError:
                    break
                if not data:
                    break
                try:
                    self._context.run(self.protocol.dataReceived, data)
                except BaseException as raised:
                    self._raised(raised, "dataReceived")
                    return
                if self._state is not _OPEN or not self._reading:
                    break
        self._lost(ConnectionLost(error))

    def _watch_writable(self, wanted: bool) -> None:
        if wanted is self._watching_writable:
            return
        self._watching_writable = wanted
        if wanted:
            self._watcher.add_writer(self._descriptor, self._flush)
        else:
            self._watcher.remove_writer(self._descriptor)

    def _drop_buffer(self) -> None:
        self._writable = False
        self._buffer.clear()
        self._size = 0

    # Producers that write to us.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*: an `IPushProducer` if *streaming*, else an `IPullProducer`.

        It is told to stop if the connection is going already, and when it is lost.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self._producer!r} is registered; unregister it first")
        if self._state is not _OPEN:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer has finished. A `loseConnection` that waited for it now takes effect."""
        self._producer = None
        self._streaming = self._producer_paused = False
        if self._state is _CLOSING:
            self._writable = False
            self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._flush)

    # Reading, of which we are the producer.

    def pauseProducing(self) -> None:
        """Stop reading: the peer will find that it cannot send."""
        if self._state is _OPEN:
            self._read_with(None)

    def resumeProducing(self) -> None:
        """Read again."""
        if self._state is _OPEN:
            self._read_with(self._on_readable)

    def stopProducing(self) -> None:
        """Close the connection, as `loseConnection`."""
        self.loseConnection()

    def _read_with(self, reader: Callable[[], None] | None) -> None:
        if (reader is not None) is self._reading:
            return
        if reader is not None:
            self._reading = True
            self._watcher.add_reader(self._descriptor, reader)
        else:
            self._reading = False
            self._watcher.remove_reader(self._descriptor)

    def _on_readable(self) -> None:
        try:
            data = self._recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(ConnectionLost(error))
            return
        if not data:
            self._lost(ConnectionDone())
            return
        armed = self._armed
        self._armed = True
        try:
            self._context.run(self.protocol.dataReceived, data)
        except BaseException as error:
            self._raised(error, "dataReceived")
            return
        if not armed:
            self._callback_returned()

    def _callback_returned(self) -> None:
        """Do what a callback left for its caller to do."""
        if self._buffer or self._state is not _OPEN:
            self._flush()
        else:
            self._armed = False

    def _raised(self, error: BaseException, what: str) -> None:
        """A callback raised *error*: the connection is lost for that, and nobody else notices."""
        if isinstance(error, ENDS_THE_PROGRAM):
            self._armed = True
            self._loop.call_soon(self._flush)
            raise error
        failure = Failure(error)
        # Those who handle what is logged may look at the context; and it may be entered, hence the copy.
        told = (logger, failure, "%s of %r raised: its connection is closed", what, self.protocol)
        self._context.copy().run(log_failure, *told)
        self._end(failure)

    # The beginning and the ends.

    def start(self) -> None:
        """Read from the socket, and tell the protocol that the connection stands."""
        self.connected = True
        self._reactor._keep(self)
        self._read_with(self._on_readable)
        self._armed = True
        try:
            self._context.run(self.protocol.makeConnection, self)
        except BaseException as error:
            self._raised(error, "makeConnection")
            return
        self._callback_returned()

    def loseConnection(self) -> None:
        """Close the connection once everything written so far has been sent, and a registered producer has finished."""
        if self._state is not _OPEN:
            return
        self._move(StreamEvent.LOSE)
        self.disconnecting = True
        self._writable = self._producer is not None
        self._read_with(None)
        if self._watching_writable:
            self._start_linger()
        self._flush_soon()

    def abortConnection(self) -> None:
        """Close at once with a reset, dropping what was not sent; ``connectionLost`` follows, with
        `ConnectionAborted`."""
        if self._state is _CLOSED:
            return
        self.disconnecting = True
        self._close(Failure(ConnectionAborted()), reset=True)
        self._loop.call_soon(self._report)

    def _shut_down(self) -> None:
        """Close now, because the reactor ends: what the kernel takes without waiting is still sent."""
        if self._state is _CLOSED:
            self._report()
            return
        while left := self._size:
            if self._send_some() is not None or self._size == left:
                break
        finished = self._state is not _OPEN and not self._size and self._producer is None
        self._lost(ConnectionDone() if finished else ConnectionLost("the reactor was shut down"))

    def _flushed(self) -> None:
        """All is sent: close the socket, or wait until the peer does."""
        try:
            unread = self._recv(READ_SIZE)
            if unread:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # nothing to read (yet), or the peer was quicker
            unread = b""
        if not unread:
            self._lost(ConnectionDone())
            return
        self._move(StreamEvent.FLUSHED)
        self._watch_writable(False)
        self._read_with(self._drain)
        self._stop_linger()
        self._start_linger()

    def _drain(self) -> None:
        try:
            unread = self._recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # a reset: all was sent, and nobody reads this
            unread = b""
        if not unread:
            self._lost(ConnectionDone())

    def _start_linger(self) -> None:
        if self._linger is None:
            self._progress = False
            self._linger = self._reactor.callLater(self.lingerLimit, self._lingered)

    def _stop_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _lingered(self) -> None:
        self._linger = None
        if self._state is _CLOSING and (self._progress or not self._buffer):
            self._start_linger()  # it is slow, or it is our producer that is
            return
        what = "did not read" if self._state is _CLOSING else "did not close"
        self._end(Failure(ConnectionAborted(f"the peer {what} for {self.lingerLimit:g} s")), reset=True)

    def _lost(self, error: Exception) -> None:
        self._end(Failure(error))

    def _end(self, reason: Failure, reset: bool = False) -> None:
        self._close(reason, reset)
        self._report()

    def _close(self, reason: Failure, reset: bool) -> None:
        """Give the descriptor back. Only the first reason counts."""
        if self._state is _CLOSED:
            return
        self._move(StreamEvent.END)
        self._reason = reason
        self._read_with(None)
        self._watch_writable(False)
        self._drop_buffer()
        self._stop_linger()
        try:
            if reset:
                set_reset_on_close(self._socket)
            else:
                self._socket.shutdown(socket.SHUT_RDWR)  # a forked child may hold the socket too
        except OSError:
            pass  # the peer was quicker
        self._socket.close()

    def _report(self) -> None:
        """Tell everybody that the connection is lost, once."""
        reason, self._reason = self._reason, None
        if reason is None:
            return
        self._reactor._drop(self)
        self.connected = False
        producer, self._producer = self._producer, None
        protocol, self.protocol = self.protocol, None  # lets go of each other, without the garbage collector
        # A copy, since the connection's own context may be entered: disposing of an attached reactor in a callback.
        context = self._context.copy()
        try:
            _call(context, self._end_scopes)
            if producer is not None:
                _call(context, producer.stopProducing)
            _call(context, protocol.connectionLost, reason)
        finally:
            if self._on_lost is not None:
                self._on_lost(reason)

    def _child_failed(self, failure: Failure) -> None:
        self._loop.call_soon(self._end, failure)  # the protocol may be making a call

    def _move(self, event: StreamEvent) -> None:
        state = STREAM_TRANSITIONS.get((self._state, event))
        if state is None:
            raise RuntimeError(f"{event.value} cannot happen to a connection that is {self._state.value}")
        self._state = state


def _call(context: Context, callback: Callable[..., object], *args: Any) -> None:
    try:
        context.run(callback, *args)
    except ENDS_THE_PROGRAM:
        raise
    except BaseException:
        context.run(log_failure, logger, Failure(), "%r raised", callback)


def _as_bytes(data: Any) -> bytes:
    """A copy of anything bytes-like: it may be changed after the call that gave it."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a transport sends bytes, not {type(data).__name__}: text must be encoded first")
