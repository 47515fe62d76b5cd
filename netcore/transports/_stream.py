"""A stream connection over a non-blocking socket: reading, writing, and producers. How it ends is in `_stream_ends`.

What holds, beside what is said there:

* ``_armed`` is True while somebody will call `_flush`: the loop (it watches for writability, or was asked to call it
  soon) or the caller of a protocol's callback, when that returns. So all that is written in one callback leaves in one
  send(2). Sending the first piece at once would be no faster for one piece, and for two it would leave the second
  waiting for the acknowledgement of the first (Nagle's algorithm, against delayed acknowledgements: 40 ms).
* ``_writable`` is True while what is written will be sent: until `loseConnection` or `loseWriteConnection`, or, if a
  producer is registered then, until that is unregistered.
* Callbacks of the protocol and its producer run in the connection's own context (contextvars), except for
  ``pauseProducing``: `write` calls it, often from within that context, which cannot be entered twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netcore._bytes import as_bytes
from netcore.error import ConnectionAborted, ConnectionLost
from netcore.transports._limits import HIGH_WATER, write_limits
from netcore.transports._sockets import TRY_LATER, unacknowledged
from netcore.transports._states import StreamState
from netcore.transports._stream_ends import READ_SIZE, StreamEnds

__all__ = ["HIGH_WATER", "READ_SIZE", "StreamTransport"]

# As many pieces are sent at once: what sendmsg(2) takes, IOV_MAX. Pieces that are shorter than SMALL, as a rule, are
# copied together first: that costs less than having the kernel gather them. (For longer ones it is the other way round:
# 16 KiB took 12 µs copied, and takes 7.)
PIECES = 1024
SMALL = 512
# What is read at once from where a read of READ_SIZE was filled: 100 KiB there and back take a tenth less. (Going back
# to less after a short read costs far more than it saves: the allocator gives back and takes anew.)
READ_MORE = 256 * 1024
# How often in one turn a producer is asked for more, if the kernel takes all it writes.
ROUNDS = 8
# After a failed send, how many times what the peer sent before it broke off is read: 16 MiB, beyond any receive buffer.
LAST_READS = 256

_OPEN, _READ_ENDED, _WRITE_ENDING, _WRITE_ENDED, _BOTH_ENDING, _CLOSING, _DRAINING, _CLOSED = StreamState
_READABLE = (_OPEN, _WRITE_ENDING, _WRITE_ENDED)
_SENDING_LAST = (_WRITE_ENDING, _BOTH_ENDING, _CLOSING)


class StreamTransport(StreamEnds):
    """A connection: *protocol*'s transport.

    Args:
        reactor: whose loop watches the socket.
        sock: connected and non-blocking; the transport's from now on.
        protocol: hears of what happens; may be replaced at any time.
        context: the callbacks' own.
        on_lost: told the reason after the protocol was.
    Attributes: *protocol*; *connected*, from `start` until ``connectionLost``; *disconnecting*, whether
        `loseConnection` was called or the connection aborted; *lingerLimit*, seconds, see the head of `_stream_ends`.
    Threading: the reactor's thread only.
    """

    # On the class, since few connections have other ones, and they are asked for beyond the high watermark only.
    _low = 0
    _read_size = READ_SIZE
    _maximum: int | None = None

    # Writing.

    def write(self, data: bytes) -> None:
        """Send *data*, at the latest in the next turn. Dropped once the connection, or our half of it, is going.

        Raises: TypeError: *data* is not bytes-like.
        """
        if type(data) is not bytes:
            data = as_bytes(data)
        if not self._writable or not data:
            return
        self._buffer.append(data)
        self._size = size = self._size + len(data)
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._flush)
        if size > self._high:
            self._much_waits(size)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*.

        Raises: TypeError: one is not bytes-like.
        """
        self.write(b"".join(data))

    def setWriteLimits(self, high: int | None = None, low: int | None = None, *, maximum: int | None = None) -> None:
        """Say how much may wait to be sent, in bytes; what is left out is as at first.

        Args:
            high: a streaming producer is paused when more waits, now or later; at first 64 KiB, or *low* if that is
                more.
            low: it is resumed when no more than this waits; at first 0.
            maximum: a write that makes more wait aborts the connection, with `ConnectionAborted` as the reason, so that
                nothing is left out in the middle. What one callback writes counts whole: it is sent when that returns.
                At first there is none.
        Raises: ValueError: they do not hold 0 <= low <= high < maximum.
        """
        self._high, self._low, self._maximum = write_limits(high, low, maximum)
        if self._size > self._high:
            self._pause_producer()

    def _waiting_to_be_sent(self) -> int | None:
        """How many bytes the kernel has not taken yet; None if it was dropped. TLS wants to know whether its last word
        is all there is."""
        return self._size if self._writable else None

    def _not_taken(self) -> int:
        """How many bytes the peer's system has not acknowledged, where ours says so, or else ours has not taken: a
        large buffer of the kernel's may take nothing for minutes while the peer reads steadily."""
        return 0 if self._state is _CLOSED else self._size + unacknowledged(self._descriptor)

    def _much_waits(self, size: int) -> None:
        """More than the high watermark."""
        if self._maximum is not None and size > self._maximum:
            what = f"{size} bytes would wait to be sent, and at most {self._maximum} may (setWriteLimits)"
            self._abort(ConnectionAborted(f"{what}: the peer reads too slowly, or too much was written at once"))
        else:
            self._pause_producer()

    def _pause_producer(self) -> None:
        if self._streaming and not self._producer_paused:
            self._producer_paused = True
            producer = self._producer
            try:
                producer.pauseProducing()
            except BaseException as error:  # not the fault of whoever writes: it may be another's callback
                self._loop.call_soon(self._end, self._logged(error, "pauseProducing", producer))

    def _flush(self) -> None:
        """Send what the kernel takes; if that is all, see what comes next."""
        state = self._state
        buffer = self._buffer
        # By far the most frequent, on its own (a third of what the transport adds to recv(2) and send(2)): one piece,
        # and the kernel takes all of it.
        if len(buffer) == 1 and state is _OPEN and self._producer is None and not self._watching_writable:
            data = buffer[0]
            try:
                sent = self._socket.send(data)
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
        if state is _DRAINING or state is _CLOSED:
            return
        full = False  # the kernel's buffer
        for _ in range(ROUNDS):
            if buffer:
                error = self._send_some()
                if error is not None:
                    self._write_failed(error)
                    return
                if buffer:
                    full = True
                    self._watch_writable(True)
                    if state is _CLOSING or state is _BOTH_ENDING:
                        self._start_linger()
                    if not self._producer_paused or self._size > self._low:
                        return
            producer = self._producer
            if producer is not None and (not self._streaming or self._producer_paused):
                self._producer_paused = False
                try:
                    self._context.run(producer.resumeProducing)
                except BaseException as error:
                    self._raised(error, "resumeProducing", producer)
                    return
            state = self._state
            if state is _CLOSED:
                return
            if full or not buffer:
                break
        if state in _SENDING_LAST and self._producer is None and not buffer:
            if state is _CLOSING:
                self._flushed()
            else:
                self._end_writing()
            return
        more = bool(buffer)
        if more is not self._watching_writable:
            self._watch_writable(more)
        self._armed = more

    def _send_some(self) -> OSError | None:
        """Hand the kernel as much as it takes at once."""
        buffer = self._buffer
        try:
            if len(buffer) == 1:
                sent = self._socket.send(buffer[0])
            elif self._size < SMALL * len(buffer):
                sent = self._socket.send(b"".join(buffer[:PIECES]))
            else:
                sent = self._socket.sendmsg(buffer[:PIECES])
        except OSError as error:
            return None if error.errno in TRY_LATER else error
        if sent:
            self._size -= sent
            self._progress = True
            whole = 0  # pieces
            for piece in buffer:
                if sent < len(piece):
                    break
                sent -= len(piece)
                whole += 1
            del buffer[:whole]
            if sent:
                buffer[0] = memoryview(buffer[0])[sent:]
        return None

    def _write_failed(self, error: OSError) -> None:
        """Sending failed: the connection is lost, but what the peer said before it broke off is still heard."""
        self._drop_buffer()
        self._watch_writable(False)
        for _ in range(LAST_READS):
            if not self._reading:
                break
            try:
                data = self._socket.recv(READ_SIZE)
            except OSError:
                break
            if not data:
                break
            try:
                self._context.run(self.protocol.dataReceived, data)
            except BaseException as raised:
                self._raised(raised, "dataReceived")
                return
        self._lost(ConnectionLost(error))

    # Producers that write to us.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*: an `IPushProducer` if *streaming*, else an `IPullProducer`.

        It is told to stop if the connection, or our half of it, is going already, and when the connection is lost.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self._producer!r} is registered; unregister it first")
        if self._state is not _OPEN and self._state is not _READ_ENDED:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer has finished. A `loseConnection` or `loseWriteConnection` that waited for it takes effect."""
        self._producer = None
        self._streaming = self._producer_paused = False
        if self._state in _SENDING_LAST:
            self._writable = False
            self._flush_soon()

    # Reading, of which we are the producer.

    def pauseProducing(self) -> None:
        """Stop reading: the peer will find that it cannot send. Its end is not noticed either."""
        if self._state in _READABLE:
            self._read_with(None)

    def resumeProducing(self) -> None:
        """Read again."""
        if self._state in _READABLE:
            self._read_with(self._on_readable)

    def stopProducing(self) -> None:
        """Close the connection, as `loseConnection`."""
        self.loseConnection()

    def _on_readable(self) -> None:
        size = self._read_size
        try:
            data = self._socket.recv(size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(ConnectionLost(error))
            return
        if not data:
            self._read_ended()
            return
        if len(data) == size:
            self._read_size = READ_MORE
        armed = self._armed
        self._armed = True
        try:
            self._context.run(self.protocol.dataReceived, data)
        except BaseException as error:
            self._raised(error, "dataReceived")
            return
        if not armed:
            self._callback_returned()

    def _call_soon(self, callback: Callable[[], None]) -> None:
        """In the next turn, call *callback*, by which the protocol hears of data that came before: TLS has some."""
        self._loop.call_soon(self._call, callback)

    def _call(self, callback: Callable[[], None]) -> None:
        if self._state is _CLOSED:
            return
        armed = self._armed
        self._armed = True
        try:
            self._context.run(callback)
        except BaseException as error:
            self._raised(error, "dataReceived")
            return
        if not armed:
            self._callback_returned()

    def start(self) -> None:
        """Read from the socket, and tell the protocol that the connection stands."""
        self.connected = True
        self._reactor._keep(self)
        unwatchable = None
        try:
            self._read_with(self._on_readable)
        except OSError as error:  # epoll_ctl(2): no memory, or a user's limit
            unwatchable = error
        self._armed = True
        try:
            self._context.run(self.protocol.makeConnection, self)
        except BaseException as error:
            self._raised(error, "makeConnection")
            return
        if unwatchable is not None:
            self._lost(ConnectionLost(unwatchable))
            return
        self._callback_returned()
