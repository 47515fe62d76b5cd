"""How a stream connection ends: in one direction or both, politely or not. `StreamTransport` adds the rest.

States and events are the table in `_states`. What holds:

* A descriptor is taken out of the loop before it is closed: its number is reused at once, and a loop that still
  watches it never reports the new owner (uvloop aborts the process).
* ``connectionLost`` is called exactly once, last, and never from within a call that the protocol makes on the
  transport. ``readConnectionLost`` and ``writeConnectionLost`` are called once at most, and not from within either.
* When both directions have ended, the connection is closed: nothing would ever be heard of it again.

Closing politely. close(2) with unread data in the receive queue makes the kernel send a reset, upon which the peer may
throw away what we sent last. So after the last byte was handed over, the receive queue is looked at: if it is empty,
the socket is closed; if not, only our half is, and what comes is read and dropped until the peer closes too. From then
on nothing more can go wrong: a peer that resets what both had finished with (it may have closed politely, like us, with
our bytes unread) has ended a connection that was done, `ConnectionDone`.

Nothing of that may take for ever. ``lingerLimit`` bounds the time without progress while sending (a slow reader of a
large answer may take as long as it needs; one that stopped reading is cut off), and the whole time of reading what
nobody wants. It holds once the connection is closing: while one direction is open, the protocol has its own limits.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore._owner import ScopeOwner
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol
from netcore.transports._limits import HIGH_WATER
from netcore.transports._sockets import set_reset_on_close
from netcore.transports._states import STREAM_TRANSITIONS, StreamEvent, StreamState

if TYPE_CHECKING:
    from netcore.interfaces import IDelayedCall
    from netcore.reactors import Reactor

__all__ = ["READ_SIZE", "StreamEnds"]

logger = logging.getLogger("netcore.transports")

# asyncio's own transports read 256 KiB, and every recv(2) allocates that much: measured, 64 KiB costs a third.
READ_SIZE = 64 * 1024

_OPEN, _READ_ENDED, _WRITE_ENDING, _WRITE_ENDED, _BOTH_ENDING, _CLOSING, _DRAINING, _CLOSED = StreamState


class StreamEnds(ScopeOwner):
    """Base of `StreamTransport`, which has the arguments and attributes."""

    lingerLimit = 30.0

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        protocol: Any,
        context: Context,
        on_lost: Callable[[Failure], object] | None = None,
    ) -> None:
        # Up to 30 attributes, subclasses' included, share their names with all instances (CPython 3.11 to 3.13).
        self.protocol: Any = protocol
        self.connected = False
        self.disconnecting = False
        self._reactor = reactor
        self._loop = reactor.loop
        self._watcher = reactor._watcher
        self._socket = sock
        self._descriptor = sock.fileno()
        self._context = context
        self._on_lost = on_lost
        self._state = _OPEN
        self._reading = False
        self._watching_writable = False
        self._buffer: list[bytes | memoryview] = []
        self._size = 0
        self._high = HIGH_WATER
        self._armed = False
        self._writable = True
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._linger: IDelayedCall | None = None
        self._progress = False
        self._reason: Failure | None = None

    # What sends: `StreamTransport`.

    def _flush(self) -> None:
        """Send what the kernel takes; if that is all, see what comes next."""
        raise NotImplementedError

    def _send_some(self) -> OSError | None:
        """Hand the kernel as much as it takes at once."""
        raise NotImplementedError

    # What the loop watches.

    def _flush_soon(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._flush)

    def _watch_writable(self, wanted: bool) -> None:
        if wanted is self._watching_writable:
            return
        self._watching_writable = wanted
        if wanted:
            self._watcher.add_writer(self._descriptor, self._flush)
        else:
            self._watcher.remove_writer(self._descriptor)

    def _read_with(self, reader: Callable[[], None] | None) -> None:
        if (reader is not None) is self._reading:
            return
        if reader is not None:
            self._reading = True
            self._watcher.add_reader(self._descriptor, reader)
        else:
            self._reading = False
            self._watcher.remove_reader(self._descriptor)

    # Callbacks.

    def _callback_returned(self) -> None:
        """Do what a callback left for its caller to do."""
        if self._buffer or self._producer_paused or self._state is not _OPEN:
            self._flush()
        else:
            self._armed = False

    def _raised(self, error: BaseException, what: str, whose: Any = None) -> None:
        """A callback of the protocol, or of *whose*, raised *error*: the connection is lost for that, and nobody else
        notices."""
        self._end(self._logged(error, what, whose))

    def _logged(self, error: BaseException, what: str, whose: Any = None) -> Failure:
        """Log *error*, unless it is one that leaves the loop. Raises: *error*, in that case."""
        if isinstance(error, ENDS_THE_PROGRAM):
            self._armed = True
            self._loop.call_soon(self._flush)
            raise error
        failure = Failure(error)
        # Those who handle what is logged may look at the context; and it may be entered, hence the copy.
        whose = self.protocol if whose is None else whose
        told = (logger, failure, "%s of %r raised: its connection is closed", what, whose)
        self._context.copy().run(log_failure, *told)
        return failure

    # One direction.

    def loseWriteConnection(self) -> None:
        """Tell the peer that no more comes, once everything written so far has been sent and a registered producer has
        finished; reading goes on. A protocol that provides `IHalfCloseableProtocol` hears ``writeConnectionLost`` then.
        """
        if self._state is not _OPEN and self._state is not _READ_ENDED:
            return
        self._move(StreamEvent.LOSE_WRITE)
        self._writable = self._producer is not None
        self._linger_if_stuck()
        self._flush_soon()

    def _end_writing(self) -> None:
        """All is sent, and `loseWriteConnection` was called."""
        self._watch_writable(False)
        self._stop_linger()
        self._move(StreamEvent.SENT_LAST)
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer was quicker: reading will tell
        self._armed = True
        try:
            half = self._half_closeable()
            if half is not None:
                self._context.run(half.writeConnectionLost)
        except BaseException as error:
            self._raised(error, "writeConnectionLost")
            return
        self._callback_returned()

    def _read_ended(self) -> None:
        """The peer has sent its last."""
        armed = self._armed
        self._armed = True
        try:
            half = self._half_closeable()
            if half is not None:
                self._read_with(None)
                self._move(StreamEvent.PEER_ENDED)
                self._linger_if_stuck()
                self._context.run(half.readConnectionLost)
        except BaseException as error:
            self._raised(error, "readConnectionLost")
            return
        if half is None:
            self._lost(ConnectionDone())
        elif not armed:
            self._callback_returned()

    def _half_closeable(self) -> Any:
        """The protocol, or what adapts it, if it goes on with one direction; else None."""
        return cast("Any", IHalfCloseableProtocol)(self.protocol, None)

    # Both.

    def loseConnection(self) -> None:
        """Close the connection once everything written so far has been sent, and a registered producer has finished."""
        if self._state is _CLOSED:
            return
        self.disconnecting = True
        if self._state is _CLOSING or self._state is _DRAINING:
            return
        self._move(StreamEvent.LOSE)
        self._writable = self._producer is not None
        self._read_with(None)
        self._linger_if_stuck()
        self._flush_soon()

    def abortConnection(self) -> None:
        """Close at once with a reset, dropping what was not sent; ``connectionLost`` follows, with
        `ConnectionAborted`."""
        self._abort(ConnectionAborted())

    def _abort(self, error: Exception) -> None:
        if self._state is _CLOSED:
            return
        self.disconnecting = True
        self._close(Failure(error), reset=True)
        self._loop.call_soon(self._report)

    def _shut_down(self) -> None:
        """Close now, because the reactor ends: what the kernel takes without waiting is still sent."""
        if self._state is _CLOSED:
            self._report()
            return
        while left := self._size:
            if self._send_some() is not None or self._size == left:
                break
        closing = self._state in {_BOTH_ENDING, _CLOSING, _DRAINING}
        finished = closing and not self._size and self._producer is None
        self._lost(ConnectionDone() if finished else ConnectionLost("the reactor was shut down"))

    def _flushed(self) -> None:
        """All is sent: close the socket, or wait until the peer does."""
        try:
            unread = self._socket.recv(READ_SIZE)
        except OSError:  # nothing to read (yet), or the peer was quicker
            unread = b""
        if not unread:
            self._lost(ConnectionDone())
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer was quicker, or it was told before: reading will tell
        self._move(StreamEvent.FLUSHED)
        self._watch_writable(False)
        self._read_with(self._drain)
        self._stop_linger()
        self._start_linger()

    def _drain(self) -> None:
        try:
            unread = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # a reset: all was sent, and nobody reads this
            unread = b""
        if not unread:
            self._lost(ConnectionDone())

    def _linger_if_stuck(self) -> None:
        """The connection may be closing now, while the kernel takes no more: perhaps it never calls `_flush` again."""
        if self._watching_writable and (self._state is _CLOSING or self._state is _BOTH_ENDING):
            self._start_linger()

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
        sending = self._state is not _DRAINING
        if sending and (self._progress or not self._buffer):
            self._start_linger()  # it is slow, or it is our producer that is
            return
        what = "did not read" if sending else "did not close"
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

    def _drop_buffer(self) -> None:
        self._writable = False
        self._buffer.clear()
        self._size = 0

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
            _call(context, self, "_end_scopes")
            if producer is not None:
                _call(context, producer, "stopProducing")
            _call(context, protocol, "connectionLost", reason)
        finally:
            on_lost, self._on_lost = self._on_lost, None  # a connector, whose factory may have the protocol
            if on_lost is not None:
                on_lost(reason)

    def _child_failed(self, failure: Failure) -> None:
        self._loop.call_soon(self._end, failure)  # the protocol may be making a call

    def _move(self, event: StreamEvent) -> None:
        state = STREAM_TRANSITIONS.get((self._state, event))
        if state is None:
            raise RuntimeError(f"{event.value} cannot happen to a connection that is {self._state.value}")
        self._state = state


def _call(context: Context, whose: Any, method: str, *args: Any) -> None:
    """What it raises is logged, and that it has no such method: those that are to be called next are called."""
    try:
        context.run(getattr(whose, method), *args)
    except ENDS_THE_PROGRAM:
        raise
    except BaseException:
        context.run(log_failure, logger, Failure(), "%s of %r raised", method, whose)
