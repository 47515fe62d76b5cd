"""A protocol that talks with whoever is at this program's standard input and output.

What holds:

* The two descriptors may be pipes, terminals, sockets, files on disk, and one and the same. Ours are copies of them
  (dup(2)): the program's own stay open, are never given to anybody else, and are the program's to close. So nobody sees
  an end of file before they are closed, or the program has ended; a socket is shut down, however.
* A file description's blocking mode is shared by all who have it, copies or not: the shell's terminal, for one. It is
  put back as it was when the connection has ended, or the reactor.
* ``connectionLost`` is called once, last, and never from within a call that the protocol makes on the transport.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from netcore._bytes import as_bytes
from netcore._current import current_reactor
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.error import ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITransport,
    implementer,
)
from netcore.reactors._select import too_large
from netcore.transports._pipes import PipeReader, PipeWriter, can_be_waited_for

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["StandardIO"]

logger = logging.getLogger("netcore.transports")


@implementer(IAddress)
class _Address:
    """One end of a conversation over standard streams."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __repr__(self) -> str:
        return f"<descriptor {self._descriptor}>"


@implementer(ITransport, IConsumer, IPushProducer)
class StandardIO:
    """A connection over two descriptors of this program, by default its standard input and output.

    A protocol that provides `IHalfCloseableProtocol` goes on when one of the two has ended; for any other one that is
    the end of both: when there is nothing more to read, cleanly, once everything written so far is written; when nobody
    reads the output any more, not so.

    Args:
        proto: its ``makeConnection`` is called before this returns.
        stdin, stdout: the descriptors. They become non-blocking until the connection has ended, and are not closed.
        reactor: by default this thread's, else ``netcore.reactor``.
    Attributes: *disconnecting*, whether `loseConnection` was called; *disconnected*, whether the connection has ended;
        *protocol*.
    Raises: OSError: there is no such descriptor, or the loop cannot watch it. ReactorNotRunning: the reactor was
        disposed of.
    Threading: the reactor's thread only.
    """

    disconnecting = False
    disconnected = False

    def __init__(self, proto: IProtocol, stdin: int = 0, stdout: int = 1, reactor: Any = None) -> None:
        self._reactor: Reactor = current_reactor() if reactor is None else reactor
        self._reactor._require_usable()
        self._loop = self._reactor.loop
        self._context = copy_context()
        self._numbers = stdin, stdout
        blocking = [os.get_blocking(number) for number in self._numbers]
        self.protocol: Any = proto
        copies: list[int] = []
        self._kept: list[tuple[int, bool]] = []  # for what is left to be done when those are closed
        try:
            for number, blocks in zip(self._numbers, blocking, strict=True):
                self._kept.append((os.dup(number), blocks))
                copies.append(os.dup(number))
                if copies[-1] >= self._reactor._descriptors_below:
                    raise too_large(copies[-1])
            read, write = (can_be_waited_for(number) for number in copies)
            for number in self._numbers:
                os.set_blocking(number, False)
        except BaseException:
            for number in copies:
                os.close(number)
            self._put_back()
            raise
        self._reader = PipeReader(self._reactor, copies[0], self._received, self._read_ended, read)
        self._writer = PipeWriter(self._reactor, copies[1], self._context, self._write_ended, self, write)
        try:
            self._reader.resume()
            self._writer.look_for_the_reader()
        except BaseException:
            self._reader.close()
            self._writer.close()
            self._put_back()
            raise
        self._reactor._keep(self)
        self._tell(proto.makeConnection, self)

    # Writing

    def write(self, data: bytes) -> None:
        """Write *data*, at the latest in the next turn. Dropped once the output is going.

        Raises: TypeError: *data* is not bytes-like.
        """
        self._writer.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write all pieces of *data*.

        Raises: TypeError: one is not bytes-like.
        """
        self._writer.write(b"".join(map(as_bytes, data)))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*: an `IPushProducer` if *streaming*, else an `IPullProducer`. It is told to
        stop at once if the output is going.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        self._writer.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer has finished. A `loseConnection` or `loseWriteConnection` that waited for it takes effect."""
        self._writer.unregisterProducer()

    # Reading

    def pauseProducing(self) -> None:
        """Stop reading. The end of the input is not noticed either."""
        self._reader.pause()

    def resumeProducing(self) -> None:
        """Read again."""
        if not self.disconnecting:
            self._reader.resume()

    def stopProducing(self) -> None:
        """As `loseConnection`."""
        self.loseConnection()

    # Ending

    def loseWriteConnection(self) -> None:
        """Write no more than has been written so far, and by a registered producer; reading goes on. A protocol that
        provides `IHalfCloseableProtocol` hears ``writeConnectionLost`` then."""
        self._writer.lose()

    def loseConnection(self) -> None:
        """End the connection, once everything written so far is written, and a registered producer has finished."""
        if self.disconnecting or self.disconnected:
            return
        self.disconnecting = True
        self._reader.pause()
        if self._writer.closed:
            self._loop.call_soon(self._end, ConnectionDone())
        else:
            self._writer.lose()

    def getPeer(self) -> IAddress:
        """Whoever is at the input."""
        return _Address(self._numbers[0])

    def getHost(self) -> IAddress:
        """Where the output goes."""
        return _Address(self._numbers[1])

    def __repr__(self) -> str:
        state = "ended" if self.disconnected else "ending" if self.disconnecting else "open"
        return f"<standard streams {self._numbers[0]} and {self._numbers[1]}, {state}; protocol {self.protocol!r}>"

    # What happens

    def _received(self, data: bytes) -> None:
        self._tell(self.protocol.dataReceived, data)

    def _read_ended(self, error: OSError | None) -> None:
        if self.disconnecting:
            return
        half = self._half_closeable()
        if half is not None and error is None:
            if self._tell(half.readConnectionLost) and self._writer.closed:
                self._end(ConnectionDone())
        elif error is not None:
            self._end(ConnectionLost(error))
        else:
            self.loseConnection()

    def _write_ended(self, error: OSError | None) -> None:
        if error is None:
            self._shut_socket_down()
        half = self._half_closeable()
        if self.disconnecting:
            self._end(ConnectionDone() if error is None else ConnectionLost(error))
        elif half is not None:
            if self._tell(half.writeConnectionLost) and self._reader.closed:
                self._end(ConnectionDone() if error is None else ConnectionLost(error))
        elif error is not None:
            self._end(ConnectionLost(error))

    def _half_closeable(self) -> Any:
        """The protocol, or what adapts it, if it goes on with one direction; else None."""
        return cast("Any", IHalfCloseableProtocol)(self.protocol, None)

    def _shut_socket_down(self) -> None:
        """A socket is the same for everybody who has it: its peer hears that no more comes."""
        number = self._kept[1][0]
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            with socket.socket(fileno=os.dup(number)) as sock:
                try:
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # the peer was quicker

    def _tell(self, callback: Callable[..., object], *args: Any) -> bool:
        """Call the protocol; what it raises is logged, and ends the connection. Returns: whether it goes on."""
        try:
            self._context.run(callback, *args)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException as error:
            failure, name = Failure(error), getattr(callback, "__name__", callback)
            told = (logger, failure, "%s of %r raised: its connection is closed", name, self.protocol)
            self._reader.pause()
            self._context.copy().run(log_failure, *told)
            self._loop.call_soon(self._end, failure)
            return False
        return not self.disconnected

    def _shut_down(self) -> None:
        self._writer.write_at_once()
        finished = self.disconnecting and (self._writer.closed or self._writer.finished)
        self._context = self._context.copy()  # it may be entered: an attached reactor disposed of in a callback
        self._end(ConnectionDone() if finished else ConnectionLost("the reactor was shut down"))

    def _end(self, reason: Exception | Failure) -> None:
        if self.disconnected:
            return
        self.disconnected = True
        self._reactor._drop(self)
        self._reader.close()
        self._writer.close()
        self._put_back()
        protocol, self.protocol = self.protocol, None  # lets go of each other, without the garbage collector
        failure = reason if isinstance(reason, Failure) else Failure(reason)
        try:
            self._context.run(protocol.connectionLost, failure)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:
            told = (logger, Failure(), "connectionLost of %r raised", protocol)
            self._context.copy().run(log_failure, *told)

    def _put_back(self) -> None:
        """The blocking mode."""
        for number, blocking in self._kept:
            os.set_blocking(number, blocking)
        for number, _ in self._kept:
            os.close(number)
        self._kept.clear()
