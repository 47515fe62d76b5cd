"""One direction each: a descriptor that is read, `PipeReader`, and one that is written to, `PipeWriter`. A child's
pipes and a program's own standard streams are made of these.

What holds:

* A descriptor belongs to its reader or writer, is non-blocking, and is taken out of the loop before it is closed.
* Whoever owns one hears of the end (``on_end``) exactly once, from the loop, and not if it has called ``close`` itself.
* What cannot be waited for (a file on disk, ``/dev/null``: epoll refuses them) is always ready: it is read, or written,
  a piece in each turn.
* Of a pipe that is written to, the loop says "readable" when nobody reads it any more: the end is heard of at once, not
  when something is written the next time. Of a terminal or a socket it would say so when there is something to read.
* Nothing is bounded in time: who reads, a child or a pager, may take its time, and is ours, or the user's, to end.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
from asyncio import Handle
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from netcore._bytes import as_bytes
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.failure import Failure
from netcore.transports._limits import HIGH_WATER
from netcore.transports._sockets import TRY_LATER
from netcore.transports._states import PIPE_TRANSITIONS, PipeEvent, PipeState

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["PipeReader", "PipeWriter", "can_be_waited_for"]

logger = logging.getLogger("netcore.transports")

READ_SIZE = 64 * 1024  # what a pipe of Linux's holds, pipe(7)
# As many pieces are written at once: what writev(2) takes, IOV_MAX. Shorter ones are copied together first.
PIECES = 1024
SMALL = 512
# How often in one turn a producer is asked for more, if the kernel takes all it writes.
ROUNDS = 8

_OPEN, _ENDING, _CLOSED = PipeState


def can_be_waited_for(descriptor: int) -> bool:
    """Whether a loop can watch it. (Of a pipe one knows, without the three system calls.)"""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    if not hasattr(select, "epoll"):
        return True
    with select.epoll() as epoll:
        try:
            epoll.register(descriptor, 0)
        except PermissionError:  # epoll_ctl(2): a directory, or a device such as /dev/null
            return False
    return True


class PipeReader:
    """Reads *descriptor*, once `resume` was called.

    Args:
        on_data: called with what was read, and raises nothing.
        on_end: called with what reading raised, or None: there is no more.
        watchable: what `can_be_waited_for` says of it.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        descriptor: int,
        on_data: Callable[[bytes], object],
        on_end: Callable[[OSError | None], object],
        watchable: bool = True,
    ) -> None:
        self._loop = reactor.loop
        self._watcher = reactor._watcher
        self._descriptor = descriptor
        self._on_data = on_data
        self._on_end = on_end
        self._watchable = watchable
        self._reading = False
        self._turn: Handle | None = None
        self.closed = False

    def resume(self) -> None:
        """Read. Raises: OSError: the loop cannot watch it."""
        if self._reading or self.closed:
            return
        if self._watchable:
            self._watcher.add_reader(self._descriptor, self._read)
        else:
            self._turn = self._loop.call_soon(self._read_on)
        self._reading = True

    def pause(self) -> None:
        """Do so no more. Its end is not noticed either."""
        if self._reading:
            self._reading = False
            if self._turn is not None:
                self._turn.cancel()
                self._turn = None
            else:
                self._watcher.remove_reader(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back."""
        if not self.closed:
            self.pause()
            self.closed = True
            os.close(self._descriptor)

    def _read_on(self) -> None:
        self._turn = self._loop.call_soon(self._read_on)
        self._read()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            # EIO: whoever had the other side of a pseudo-terminal open has gone.
            self._ended(None if error.errno == errno.EIO else error)
            return
        if data:
            self._on_data(data)
        else:
            self._ended(None)

    def _ended(self, error: OSError | None) -> None:
        self.close()
        self._on_end(error)


class PipeWriter:
    """Writes to *descriptor*: a consumer.

    Args:
        context: the producer's callbacks run in it.
        on_end: called with what kept it from writing, or None: all is written, as `lose` wanted.
        owner: for what is logged.
        watchable: what `can_be_waited_for` says of it.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        descriptor: int,
        context: Context,
        on_end: Callable[[OSError | None], object],
        owner: object,
        watchable: bool = True,
    ) -> None:
        self._loop = reactor.loop
        self._watcher = reactor._watcher
        self._descriptor = descriptor
        self._context = context
        self._on_end = on_end
        self._owner = owner
        self._watchable = watchable
        self._state = _OPEN
        self._buffer: list[bytes | memoryview] = []
        self._size = 0
        self._armed = False  # somebody will call `_flush`: the loop, watching or asked to
        self._watching = False
        self._writable = True  # what is written will be sent
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._watching_reader = False

    @property
    def closed(self) -> bool:
        """Whether the descriptor is given back."""
        return self._state is _CLOSED

    @property
    def finished(self) -> bool:
        """Whether all is written that was to be."""
        return self._state is _ENDING and not self._buffer and self._producer is None

    def look_for_the_reader(self) -> None:
        """Have the end of a pipe heard of at once. Raises: OSError: the loop cannot watch it."""
        if stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
            self._watcher.add_reader(self._descriptor, self._reader_has_gone)
            self._watching_reader = True

    def write(self, data: bytes) -> None:
        """Write *data*, at the latest in the next turn. Dropped if the pipe is ending.

        Raises: TypeError: *data* is not bytes-like.
        """
        data = as_bytes(data)
        if not self._writable or not data:
            return
        self._buffer.append(data)
        self._size += len(data)
        self._flush_soon()
        if self._size > HIGH_WATER and self._streaming and not self._producer_paused:
            self._producer_paused = True
            producer = self._producer
            try:
                producer.pauseProducing()
            except BaseException as error:  # not the fault of whoever writes
                self._loop.call_soon(self._raised, error, "pauseProducing", producer)

    def lose(self) -> None:
        """Close it, once everything written so far is written, and a registered producer has finished."""
        if self._state is _OPEN:
            self._move(PipeEvent.LOSE)
            self._writable = self._producer is not None
            self._flush_soon()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._state is _CLOSED:
            return
        self._move(PipeEvent.END)
        if self._watching_reader:
            self._watcher.remove_reader(self._descriptor)
            self._watching_reader = False
        self._watch(False)
        os.close(self._descriptor)
        self._writable = False
        self._buffer.clear()
        self._size = 0
        producer, self._producer = self._producer, None
        self._streaming = self._producer_paused = False
        if producer is not None:
            # A copy, since the context itself may be entered: disposing of an attached reactor in a callback.
            _call(self._context.copy(), producer.stopProducing, "stopProducing", producer)

    def write_at_once(self) -> None:
        """The reactor ends: write what the kernel takes without waiting."""
        while self._buffer and self._state is not _CLOSED:
            left = self._size
            if self._write_some() is not None or self._size == left:
                break

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `IConsumer`."""
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
        """See `IConsumer`."""
        self._producer = None
        self._streaming = self._producer_paused = False
        if self._state is _ENDING:
            self._writable = False
            self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._flush)

    def _watch(self, wanted: bool) -> None:
        if wanted is self._watching:
            return
        self._watching = wanted
        if not wanted:
            self._watcher.remove_writer(self._descriptor)
        else:
            self._watcher.add_writer(self._descriptor, self._flush)

    def _flush(self) -> None:
        """Write what the kernel takes; if that is all, see what comes next."""
        if self._state is _CLOSED:
            return
        for _ in range(ROUNDS):
            if self._buffer:
                error = self._write_some()
                if error is not None:
                    self._end(error)
                    return
                if self._buffer:  # the kernel's is full
                    break
            producer = self._producer
            if producer is not None and (not self._streaming or self._producer_paused):
                self._producer_paused = False
                try:
                    self._context.run(producer.resumeProducing)
                except BaseException as raised:
                    self._raised(raised, "resumeProducing", producer)
                    return
            if not self._buffer:
                break
        if self._state is _CLOSED:
            return
        if self.finished:
            self._end(None)
            return
        more = bool(self._buffer)
        self._armed = more
        if more and not self._watchable:
            self._loop.call_soon(self._flush)
        else:
            self._watch(more)

    def _write_some(self) -> OSError | None:
        """Hand the kernel as much as it takes at once."""
        buffer = self._buffer
        try:
            if len(buffer) == 1:
                written = os.write(self._descriptor, buffer[0])
            elif self._size < SMALL * len(buffer):
                written = os.write(self._descriptor, b"".join(buffer[:PIECES]))
            else:
                written = os.writev(self._descriptor, buffer[:PIECES])
        except OSError as error:
            return None if error.errno in TRY_LATER else error
        self._size -= written
        whole = 0  # pieces
        for piece in buffer:
            if written < len(piece):
                break
            written -= len(piece)
            whole += 1
        del buffer[:whole]
        if written:
            buffer[0] = memoryview(buffer[0])[written:]
        return None

    def _reader_has_gone(self) -> None:
        poll = select.poll() if hasattr(select, "poll") else None
        if poll is not None:
            poll.register(self._descriptor, 0)
            if not poll.poll(0):  # it is open for reading as well, and there is something to read
                self._watcher.remove_reader(self._descriptor)
                self._watching_reader = False
                return
        self._end(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def _raised(self, error: BaseException, what: str, producer: Any) -> None:
        if isinstance(error, ENDS_THE_PROGRAM):
            self._armed = True
            self._loop.call_soon(self._flush)
            raise error
        told = (logger, Failure(error), "%s of %r raised: what it wrote to is closed, of %r")
        self._context.copy().run(log_failure, *told, what, producer, self._owner)
        self._end(OSError(errno.ECANCELED, f"its producer's {what} raised {error!r}"))

    def _end(self, error: OSError | None) -> None:
        if self._state is not _CLOSED:
            self.close()
            self._on_end(error)

    def _move(self, event: PipeEvent) -> None:
        self._state = PIPE_TRANSITIONS[self._state, event]


def _call(context: Context, callback: Callable[[], object], what: str, whose: object) -> None:
    try:
        context.run(callback)
    except ENDS_THE_PROGRAM:
        raise
    except BaseException:
        context.run(log_failure, logger, Failure(), "%s of %r raised", what, whose)
