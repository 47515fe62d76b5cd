"""One connection as a stream. The head of the package says what holds."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from netcore.defer import Deferred
from netcore.error import ConnectionAborted, ConnectionClosed, ConnectionDone
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol, INegotiated, implementer, provides
from netcore.protocol import Protocol, connectionDone

__all__ = ["LIMIT", "IncompleteReadError", "LimitOverrunError", "Stream"]

LIMIT = 64 * 1024  # as that of asyncio's streams


class IncompleteReadError(asyncio.IncompleteReadError):
    """The connection ended before all was there that was to be read. The cause is the error with which it broke; none:
    the peer has ended it cleanly.

    Attributes: *partial*, what there was, which will not be read again; *expected*, how many bytes it should have been,
        None if that is not known.
    """


class LimitOverrunError(asyncio.LimitOverrunError):
    """More came than may be read at once. It can still be read otherwise, with ``read(n)``.

    Attributes: *consumed*, how many bytes there are, at least, before what was looked for.
    """


@implementer(IHalfCloseableProtocol)
class Stream(Protocol):
    """One connection.

    ``async with`` closes it at the end, and waits until it is closed; after an exception it aborts it, so that the peer
    does not take for whole what is not. A producer (`netcore.protocols.basic.FileSender`) cannot be registered with its
    transport: the stream is registered itself.

    Args:
        limit: how many bytes may wait to be read; what `readline`, `readuntil`, and `read` without a size read may be
            so long. At least 1.
    Raises: ValueError: it is less.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 byte or more, not {limit!r}")
        self.limit = limit
        self._buffer = bytearray()
        self._searched = 0  # before that `_find`, under way, has nothing to look for
        self._more: Deferred[None] | None = None  # fires when there is more to read, or the end
        self._in_use = False  # somebody reads
        self._paused = False  # the transport, by us
        self._ended = False  # nothing more comes
        self._error: BaseException | None = None  # why, unless the peer has ended it cleanly
        self._closing = self._lost = False
        self._writing: _Writing | None = None
        self._writing_paused = False
        self._waiting: list[Deferred[None]] = []  # to write, or for the end
        self._serve: Callable[[Stream], object] = _nothing

    # Reading.

    async def read(self, n: int = -1) -> bytes:
        """Up to *n* bytes, as soon as there are some; b"" if the peer has ended the connection.

        Args:
            n: -1: everything until the end, up to *limit*.
        Raises: ValueError: *n* is negative otherwise. RuntimeError: somebody reads already. What the connection broke
            with, a `netcore.error.ConnectionClosed` as a rule; also once this side has closed it. With -1, instead of
            that, IncompleteReadError; and LimitOverrunError: more than *limit* bytes came.
        """
        if n < -1:
            raise ValueError(f"n must be -1, 0 or more, not {n}")
        with self._alone():
            if n == -1:
                return await self._read_all()
            while n and not self._buffer and not self._ended:
                await self._wait_for_more()
            if n and not self._buffer:
                self._raise_if_broken()
            return self._take(min(n, len(self._buffer)))

    async def _read_all(self) -> bytes:
        while not self._ended and len(self._buffer) <= self.limit:
            await self._wait_for_more()
        if len(self._buffer) > self.limit:
            raise LimitOverrunError(f"more than {self.limit} bytes came, and no end", len(self._buffer))
        if self._error is not None:
            raise self._incomplete(None)
        return self._take(len(self._buffer))

    async def readexactly(self, n: int) -> bytes:
        """*n* bytes.

        Raises: IncompleteReadError: the connection ended before. ValueError: *n* is negative. RuntimeError: somebody
            reads already.
        """
        if n < 0:
            raise ValueError(f"n must be 0 or more, not {n}")
        with self._alone():
            while len(self._buffer) < n:
                if self._ended:
                    raise self._incomplete(n)
                await self._wait_for_more()
            return self._take(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """All until *separator*, and that.

        Raises: IncompleteReadError: the connection ended before. LimitOverrunError: it would be more than *limit*
            bytes, without *separator*. ValueError: that is empty. RuntimeError: somebody reads already.
        """
        with self._alone():
            return self._take(await self._find(separator))

    async def readline(self) -> bytes:
        """All until a newline, and that; at the clean end of a connection what came after the last one, b"" at last.

        Raises: IncompleteReadError: the connection broke before. Otherwise as `readuntil`.
        """
        with self._alone():
            try:
                return self._take(await self._find(b"\n"))
            except IncompleteReadError as error:
                if self._error is not None:
                    raise
                return error.partial

    async def _find(self, separator: bytes) -> int:
        """How many bytes go up to the end of *separator*."""
        if not separator:
            raise ValueError("separator is empty")
        self._searched = 0
        longest = self.limit + len(separator)
        while True:
            buffer = self._buffer
            at = buffer.find(separator, self._searched, longest)
            if at >= 0:
                return at + len(separator)
            if len(buffer) >= longest:
                raise LimitOverrunError(f"there is no {separator!r} within {self.limit} bytes", self.limit)
            if self._ended:
                raise self._incomplete(None)
            self._searched = max(0, len(buffer) - len(separator) + 1)
            await self._wait_for_more()

    def __aiter__(self) -> Self:
        """What comes, piece by piece as it comes, until the peer has ended the connection."""
        return self

    async def __anext__(self) -> bytes:
        data = await self.read(self.limit)
        if not data:
            raise StopAsyncIteration
        return data

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._in_use:
            raise RuntimeError(f"somebody reads from {self!r} already: one can at a time")
        self._in_use = True
        try:
            yield
        finally:
            self._in_use = False

    async def _wait_for_more(self) -> None:
        more = self._more = Deferred()
        self._resume()
        try:
            await more
        finally:
            self._more = None

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._ended:
                self._producer().resumeProducing()

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        self._searched = 0
        if len(self._buffer) <= self.limit // 2:
            self._resume()
        return taken

    def clearLineBuffer(self) -> bytes:
        """Drop what was received and not read. ``startTLS`` calls it, as of a `netcore.protocols.basic.LineReceiver`:
        that came before TLS, or is its beginning.

        Returns: what was dropped.
        """
        return self._take(len(self._buffer))

    def _raise_if_broken(self) -> None:
        if self._error is not None:
            raise _copy(self._error)

    def _incomplete(self, expected: int | None) -> IncompleteReadError:
        """The error of a read that has found too little, which it takes."""
        error = IncompleteReadError(self._take(len(self._buffer)), expected)
        error.__cause__ = None if self._error is None else _copy(self._error)
        return error

    def _is_the_peers_doing(self, error: BaseException) -> bool:
        """Whether *error*, which came out of a handler, says no more than that the peer has gone, or sent too much."""
        if isinstance(error, BaseExceptionGroup):  # a scope's
            return all(self._is_the_peers_doing(each) for each in error.exceptions)
        if isinstance(error, LimitOverrunError):
            return len(self._buffer) >= self.limit
        of_the_end = isinstance(error, (IncompleteReadError, ConnectionClosed)) or type(error) is type(self._error)
        return of_the_end and self._ended and not self._closing

    # Writing.

    def write(self, data: bytes) -> None:
        """Send *data*, as a transport does. It takes any amount: ``await drain()`` in between keeps it from growing.

        Raises: TypeError: *data* is not bytes-like.
        """
        self.transport.write(data)

    def writelines(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*; otherwise as `write`."""
        self.transport.writeSequence(data)

    async def drain(self) -> None:
        """Wait until so little waits to be sent that it makes sense to write again.

        Raises: what the connection has ended with, a `netcore.error.ConnectionClosed` as a rule.
        """
        while self._writing_paused and not self._lost:
            await self._wait()
        if self._lost:
            self._raise_if_broken()
            raise ConnectionDone("the connection was closed")

    def endWriting(self) -> None:
        """Tell the peer, behind what was written, that no more comes; reading goes on. With TLS, as `close`."""
        if provides(self.transport, INegotiated):
            self.close()
        else:
            self._stop_writing()
            self._producer().loseWriteConnection()

    # The end.

    def close(self) -> None:
        """Close the connection once what was written is sent. Nothing can be read any more."""
        if not self._closing:
            self._end_with(ConnectionDone("this side has closed the connection"))
            self._stop_writing()
            if not self._lost:
                self.transport.loseConnection()

    def abort(self) -> None:
        """Close it at once, dropping what was not sent."""
        self._end_with(ConnectionAborted("this side has aborted the connection"))
        self._stop_writing()
        if not self._lost:
            getattr(self.transport, "abortConnection", self.transport.loseConnection)()  # pipes have none

    def _end_with(self, error: BaseException) -> None:
        self._closing = True
        self._buffer.clear()
        if self._error is None:
            self._error = error
        self._ended = True
        self._wake_reader()

    async def waitClosed(self) -> None:
        """Wait until the connection is closed; who does that is told by no error here."""
        while not self._lost:
            await self._wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
            return
        self.close()
        try:
            await self.waitClosed()
        except BaseException:  # cancelled: not even the linger limit is waited for
            self.abort()
            raise

    async def _wait(self) -> None:
        """Until writing goes on, or the end."""
        waiting = Deferred[None]()
        self._waiting.append(waiting)
        try:
            await waiting
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    # What the transport tells.

    def _producer(self) -> Any:
        """The transport, of which more is asked than `ITransport` has."""
        return self.transport

    def connectionMade(self) -> None:
        """The stream can be used."""
        self._writing = _Writing(self)
        self._producer().registerProducer(self._writing, True)
        self._serve(self)

    def dataReceived(self, data: bytes) -> None:
        """Wakes who reads."""
        if self._closing:
            return
        self._buffer += data
        self._wake_reader()
        if self._more is None and len(self._buffer) > self.limit and not self._paused and not self._closing:
            self._paused = True
            self._producer().pauseProducing()

    def readConnectionLost(self) -> None:
        """The peer sends no more; writing goes on."""
        self._ended = True
        self._wake_reader()

    def writeConnectionLost(self) -> None:
        """There is nobody to be told."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Wakes everybody."""
        self._lost = self._ended = True
        self._writing = None  # which has us
        if self._error is None and not reason.check(ConnectionDone):
            self._error = reason.value
        del reason
        self._wake_reader()
        self._wake_writers()

    def _wake_reader(self) -> None:
        more, self._more = self._more, None
        if more is not None:
            more.callback(None)

    def _wake_writers(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _pause_writing(self, paused: bool) -> None:
        self._writing_paused = paused
        if not paused:
            self._wake_writers()

    def _stop_writing(self) -> None:
        """The transport waits for its producer before it closes."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._writing_paused = False
            self._producer().unregisterProducer()
            self._wake_writers()


def _copy(error: BaseException) -> BaseException:
    """An error to be raised. *error* itself would have the frames in which it was raised, and they have the stream,
    which has it; and they would be more with each time."""
    try:
        copied = copy.copy(error)
    except Exception:  # it cannot be made out of its arguments
        return error.with_traceback(None)
    copied.__cause__ = error.__cause__
    return copied


def _nothing(stream: Stream) -> None:
    """A stream of which nobody is told."""


class _Writing:
    """Who writes to a stream, as the producer of its transport."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def pauseProducing(self) -> None:
        self._stream._pause_writing(True)

    def resumeProducing(self) -> None:
        self._stream._pause_writing(False)

    def stopProducing(self) -> None:
        pass  # ``connectionLost`` comes
