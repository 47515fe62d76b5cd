"""`FakeSocket`: a TCP socket of the fake network, with what transports, netcore's and asyncio's, ask of one.

``shutdown`` ends one direction after what was sent. ``close`` ends both; with unread data, or SO_LINGER with no time,
by a reset. All the rest is in `_tcp`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from typing import Any, Self

from netcore.testing.network._tcp import Name, State, TCPEnd, error_of
from netcore.testing.network._wire import Wire

__all__ = ["FakeSocket"]

_RESET_ON_CLOSE = b"\x01\0\0\0\0\0\0\0"


class FakeSocket(TCPEnd):
    """A non-blocking TCP socket on *host*.

    Attributes: *family*, *type* and *proto*, as of `socket.socket`.
    """

    # What sockets have.

    def setblocking(self, flag: bool) -> None:
        """It never blocks. Raises: NotImplementedError: *flag* is true."""
        if flag:
            raise NotImplementedError("a socket of the fake network does not block: time would stand still")

    def gettimeout(self) -> float:
        """0: it never blocks."""
        return 0.0

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> Any:
        """An option, as it was set; 0 before. SO_ERROR: what went wrong, once."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            number, self._error = self._error, 0
            return number
        if (level, option) == (socket.SOL_SOCKET, getattr(socket, "SO_ACCEPTCONN", -1)):
            return int(self._state is State.LISTENING)
        return self._options.get((level, option), 0)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Set an option. SO_LINGER has its meaning; the others have none here."""
        self._require_open()
        self._options[level, option] = value if isinstance(value, bytes) else int(value)

    def getsockname(self) -> Name:
        """The local address."""
        self._require_open()
        return self._name

    def getpeername(self) -> Name:
        """The other side's address. Raises: OSError: ENOTCONN."""
        self._require_open()
        if self._state is not State.CONNECTED or self._broken or self._peer is None:
            raise error_of(errno.ENOTCONN)
        return self._peer

    def bind(self, address: Name) -> None:
        """Have a local address. Raises: OSError: it is not one of the host's, or taken."""
        self._require_open()
        self._name = self._host._bind(self, address)

    def listen(self, backlog: int = 128) -> None:
        """Accept connections. Raises: OSError: the address is taken."""
        self._require_open()
        if self._state is State.LISTENING:  # asyncio says it twice
            self._backlog = backlog
            return
        if not self._name[1]:
            self._name = self._host._bind(self, self._name)
        self._host._listen(self)
        self._state = State.LISTENING
        self._backlog = backlog

    def accept(self) -> tuple[TCPEnd, Name]:
        """The next connection. Raises: BlockingIOError: there is none."""
        self._require_open()
        if not self._queue:
            raise BlockingIOError(errno.EAGAIN, "no connection waits")
        sock = self._queue.popleft()
        self._changed()
        assert sock._peer is not None
        return sock, sock._peer

    def connect(self, address: Name) -> None:
        """Begin to connect. Raises: BlockingIOError: it has begun. OSError: it cannot."""
        number = self.connect_ex(address)
        if number:
            raise OSError(number, os.strerror(number))  # EINPROGRESS: BlockingIOError

    def connect_ex(self, address: Name) -> int:
        """The same. Returns: the number of the error."""
        self._require_open()
        if self._state is not State.NEW:
            return errno.EISCONN if self._state is State.CONNECTED else errno.EALREADY
        try:
            name, peer = self._host._route(self, address)
        except OSError as error:
            return error.errno or errno.EINVAL
        self._name, self._peer = name, peer
        self._state = State.CONNECTING
        local = self._host._has(peer[0])
        link = None if local else self._fabric.link(name[0], peer[0])
        self._wire = Wire(self._fabric, link, self, peer)
        nobody = not local and peer[0] not in self._fabric.hosts
        self._wire.tell("begins to connect, to an address that no host has" if nobody else "begins to connect")
        self._try_to_connect(0, self._clock.now)
        return errno.EINPROGRESS

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What has come, *size* bytes at most; b"" at the end.

        Raises: BlockingIOError: nothing has. OSError: the connection broke.
        """
        self._require_open()
        if self._inbox:
            data = bytes(self._inbox[:size])
            del self._inbox[: len(data)]
            self._was_read(len(data))
            if not self._inbox:
                self._changed()
            return data
        self._raise_error()
        if self._peer_ended or self._broken:
            return b""
        if self._state is not State.CONNECTED:
            raise error_of(errno.ENOTCONN)
        raise BlockingIOError(errno.EAGAIN, "nothing has come")

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `recv`, into *buffer*."""
        view = memoryview(buffer).cast("B")
        data = self.recv(nbytes or len(view))
        view[: len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send as much of *data* as there is room for.

        Returns: how many bytes that were.
        Raises: BlockingIOError: there is no room. OSError: the connection broke, or was ended.
        """
        self._require_open()
        self._raise_error()
        if self._ended or self._broken:
            raise error_of(errno.EPIPE)
        if self._state is State.CONNECTING:
            raise BlockingIOError(errno.EAGAIN, "not connected yet")
        if self._state is not State.CONNECTED:
            raise error_of(errno.ENOTCONN)
        view = memoryview(data).cast("B")
        sent = min(len(view), self._room)
        if sent < len(view):
            self._starved = True
        if not sent and len(view):
            raise BlockingIOError(errno.EAGAIN, "the window is full")
        if sent:
            self._room -= sent
            self._send(TCPEnd._arrived, bytes(view[:sent]), size=sent)
            if not self._room:
                self._starved = True
                self._changed()
        return sent

    def sendmsg(self, buffers: Iterable[Any], *_: Any) -> int:
        """As `send`, with several pieces."""
        return self.send(b"".join(buffers))

    def shutdown(self, how: int) -> None:
        """End one direction, or both. Raises: OSError: ENOTCONN."""
        self._require_open()
        if self._state is not State.CONNECTED or self._broken:
            raise error_of(errno.ENOTCONN)
        if how != socket.SHUT_RD:
            self._end()
        if how != socket.SHUT_WR:
            self._peer_ended = True
        self._changed()

    def close(self) -> None:
        """Give it back."""
        state, self._state = self._state, State.CLOSED
        if state is State.CLOSED:
            return
        self._clock.forget(self._number)
        self._host._unbind(self)
        if self._attempt is not None:
            self._attempt.cancel()
        for waiting in self._queue:
            waiting._reset_peer()
            waiting._gone()
        if state is State.CONNECTED and not self._broken:
            linger = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER))
            if self._inbox or linger == _RESET_ON_CLOSE:
                self._reset_peer()
            else:
                self._end()
        if self._wire is not None:
            self._fabric.closed(self._wire)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        name = "{}:{}".format(*self._name)
        peer = " to {}:{}".format(*self._peer) if self._peer is not None else ""
        return f"<fake socket {name}{peer}, {self._state.value}>"
