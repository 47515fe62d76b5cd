"""A connection over a UNIX socket, accepted or made: a stream that carries descriptors beside its bytes.

What holds:

* What a stream transport takes for its socket is a `_Carrier` here, which has the descriptors travel with the bytes.
* It takes descriptors out before it returns the bytes that came with them. By then the protocol has them, or they are
  closed; so whoever reads need not know of them.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from netcore._log import ENDS_THE_PROGRAM
from netcore.address import PeerCredentials, UNIXAddress
from netcore.error import ConnectionLost, FileDescriptorOverrun
from netcore.failure import Failure
from netcore.interfaces import (
    IConsumer,
    IFileDescriptorReceiver,
    IPushProducer,
    IUNIXTransport,
    implementer,
    provides,
)
from netcore.transports._credentials import peer_credentials
from netcore.transports._descriptors import Outgoing, close_all, receive
from netcore.transports._states import StreamState
from netcore.transports._stream import StreamTransport

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Connection"]

logger = logging.getLogger("netcore.transports")

# A streaming producer is paused when more descriptors than this wait to be sent: each is an open file of ours.
HIGH_WATER = 64

# From then on the protocol hears of nothing that arrives.
_DEAF = frozenset({StreamState.CLOSING, StreamState.DRAINING, StreamState.CLOSED})


class _Carrier:
    """In place of *sock*: sends and receives for *connection*; in all else it is *sock*."""

    __slots__ = ("connection", "sock")

    def __init__(self, connection: Connection, sock: socket.socket) -> None:
        self.connection = connection
        self.sock = sock

    def recv(self, size: int) -> bytes:
        return self.connection._receive(size)

    def send(self, data: bytes | memoryview) -> int:
        if self.connection._outgoing is None:
            return self.sock.send(data)
        return self.connection._send_with_descriptors(data)

    def sendmsg(self, pieces: list[bytes | memoryview]) -> int:
        if self.connection._outgoing is None:
            return self.sock.sendmsg(pieces)
        return self.connection._send_with_descriptors(b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


@implementer(IUNIXTransport, IConsumer, IPushProducer)
class Connection(StreamTransport):
    """A connection over a UNIX socket; see `StreamTransport` for how it lives and ends.

    A protocol that provides `IFileDescriptorReceiver` is given the descriptors that arrive, before the bytes they came
    with, and these follow at once, even if it pauses the transport in between. They are not inherited by programs that
    this process starts. Descriptors that nobody takes are closed: if the protocol does not provide that, loses the
    connection, or raises. If the process can have no more descriptors and some are lost for that, the connection is,
    too.

    Args:
        host, peer: the addresses of this side and of the other.
    """

    _refused = False  # descriptors, and that was logged

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        host: UNIXAddress,
        peer: UNIXAddress,
        protocol: Any,
        context: Context,
        on_lost: Callable[[Failure], object] | None = None,
    ) -> None:
        super().__init__(reactor, sock, protocol, context, on_lost)
        self._host = host
        self._peer = peer
        self._outgoing: Outgoing | None = None
        self._raw = sock
        self._socket = cast("socket.socket", _Carrier(self, sock))

    def getPeer(self) -> UNIXAddress:
        """The address of the other side: without a name, as a rule, if that has connected."""
        return self._peer

    def getHost(self) -> UNIXAddress:
        """The address of this side."""
        return self._host

    def getPeerCredentials(self) -> PeerCredentials:
        """Which process is at the other end, as whom, as it was when the connection was made (on the side that has
        connected: when the other began to listen).

        Raises: RuntimeError: the connection is lost; ask while it stands. OSError: the system does not say; with
            ENOTSUP where netcore has no way to ask. (On macOS and FreeBSD it has, but untried.)
        """
        if self._state is StreamState.CLOSED:
            raise RuntimeError("the connection is lost, and its socket closed: ask for credentials while it stands")
        return peer_credentials(self._raw)

    # As on TCP connections, for protocols that were written for those.

    def getTcpNoDelay(self) -> bool:
        """False: there is no delay that could be asked for."""
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Does nothing."""

    def getTcpKeepAlive(self) -> bool:
        """False: the kernel knows when the other side has gone."""
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Does nothing."""

    # Descriptors out.

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Send a copy of *descriptor*, together with the next byte that is written, or, if none is written in this
        callback, with the last one before that has not been sent yet. Dropped once the connection is going.

        *descriptor* may be closed at once: a duplicate of it (dup(2)) waits. Up to 253 go with one byte (unix(7)), more
        with the bytes that follow. If there is still no byte when `loseConnection` has its turn, the connection ends
        with `FileDescriptorOverrun`.

        Raises: OSError: *descriptor* is none (EBADF), or this process can have no more of them (EMFILE). TypeError: it
            is no number.
        """
        if not self._writable:
            return
        outgoing = self._outgoing or Outgoing(self._raw)
        try:
            outgoing.add(descriptor, self._size)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            raise OSError(errno.EBADF, f"{descriptor} is no open descriptor, and cannot be sent") from None
        self._outgoing = outgoing
        if len(outgoing) > HIGH_WATER:
            self._pause_producer()
        if self._producer_paused:  # it is resumed from there, even if it has written nothing
            self._flush_soon()

    def _send_with_descriptors(self, data: bytes | memoryview) -> int:
        outgoing = self._outgoing
        assert outgoing is not None
        try:
            return outgoing.send(data, self._size)
        finally:
            if not outgoing:
                self._outgoing = None

    def _flushed(self) -> None:
        if self._outgoing is not None:
            self._lost(FileDescriptorOverrun())
        else:
            super()._flushed()

    def _end_writing(self) -> None:
        if self._outgoing is not None:
            self._lost(FileDescriptorOverrun())
        else:
            super()._end_writing()

    # Descriptors in.

    def _receive(self, size: int) -> bytes:
        data, descriptors, some_lost = receive(self._raw, size)
        if descriptors or some_lost:
            if self._state in _DEAF:
                close_all(descriptors)
                return data
            self._take(list(descriptors), some_lost)
            if self._state in _DEAF:
                raise BlockingIOError(errno.EAGAIN, "nobody wants what came with the descriptors")
        return data

    def _take(self, descriptors: list[int], some_lost: bool) -> None:
        """Hand them to the protocol, or close them."""
        descriptors.reverse()
        try:
            if not provides(self.protocol, IFileDescriptorReceiver):
                if not self._refused:
                    self._refused = True
                    logger.warning("%r was sent descriptors, and its protocol takes none: they are closed", self)
            elif some_lost:
                # Handing over the rest would put the protocol out of step with what the bytes say of them.
                self._lost(ConnectionLost(OSError(errno.EMFILE, f"descriptors were lost: {os.strerror(errno.EMFILE)}")))
            else:
                while descriptors and self._state not in _DEAF:
                    self._context.run(self.protocol.fileDescriptorReceived, descriptors.pop())
        except ENDS_THE_PROGRAM as error:
            self._loop.call_soon(self._end, Failure(error))  # what came along is lost
            raise
        except BaseException as error:
            self._raised(error, "fileDescriptorReceived")
        finally:
            close_all(descriptors)

    # The end.

    def _close(self, reason: Failure, reset: bool) -> None:
        super()._close(reason, reset)
        if self._outgoing is not None:
            self._outgoing.close()
            self._outgoing = None
        self._socket = self._raw  # the carrier refers to this object

    def __repr__(self) -> str:
        ends = (("at", self._host), ("to", self._peer))
        named = " ".join(f"{word} {os.fsdecode(end.name)!r}" for word, end in ends if end.name is not None)
        return (
            f"<UNIX connection {named or 'without names'}, {self._state.value}; "
            f"{self._size} bytes to send; protocol {self.protocol!r}>"
        )
