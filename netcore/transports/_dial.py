"""One socket that is being connected to one address."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextvars import Context
from typing import Any

from netcore.error import ConnectBindError, ConnectError, getConnectError
from netcore.reactors._selector import Watcher
from netcore.transports._sockets import SocketAddress

__all__ = ["Dial"]

# connect(2) of a non-blocking socket; EINTR: it goes on all the same; EWOULDBLOCK is what Windows says.
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})


class Dial:
    """An attempt that is under way: *done* is called once, from the loop, unless it is given up.

    Args:
        watcher: looks after the socket meanwhile.
        new_socket: makes it, of the family it is given.
        family, address: what to connect to.
        bind: a local address to connect from, or None.
        context: what *done* is called in, a copy of it.
        done: called with this object, and the `ConnectError` it failed with, or None: then `take` gives the socket.
    Attributes: *address*; *names*, of the connected socket: what getsockname(2) and getpeername(2) gave.
    Raises: ConnectError: it failed at once.
    """

    __slots__ = ("_context", "_done", "_socket", "_watcher", "address", "names")

    def __init__(
        self,
        watcher: Watcher,
        new_socket: Callable[[int], socket.socket],
        family: int,
        address: SocketAddress | str | bytes,
        bind: SocketAddress | None,
        context: Context,
        done: Callable[[Dial, ConnectError | None], object],
    ) -> None:
        self.address = address
        self.names: tuple[Any, Any] = (None, None)
        self._watcher = watcher
        self._done = done
        self._context = context.copy()  # what is logged there is logged in the asker's context
        sock = None
        try:
            sock = new_socket(family)
            sock.setblocking(False)
            if bind is not None:
                _bind(sock, bind)
            number = sock.connect_ex(address)
            if number not in _UNDER_WAY and number != 0:
                raise OSError(number, os.strerror(number))
            watcher.add_writer(sock.fileno(), self._decided)
        except Exception as error:
            if sock is not None:
                sock.close()
            raise _explained(error) from error
        self._socket: socket.socket | None = sock

    def take(self) -> socket.socket:
        """The socket, which is connected: the caller's from now on."""
        sock, self._socket = self._socket, None
        assert sock is not None
        return sock

    def give_up(self) -> None:
        """Close the socket; *done* is not called."""
        if self._socket is not None:
            self._watcher.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _decided(self) -> None:
        """The kernel has connected the socket, or has given up."""
        sock = self._socket
        assert sock is not None
        self._watcher.remove_writer(sock.fileno())
        error: Any = None
        try:
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))
            self.names = sock.getsockname(), sock.getpeername()  # fails if it was reset meanwhile
        except OSError as refusal:
            error = getConnectError(refusal.with_traceback(None))  # that holds this frame, which holds *error*
            self.take().close()
        self._context.run(self._done, self, error)


def _bind(sock: socket.socket, address: SocketAddress) -> None:
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        raise ConnectBindError(error, f"{address[0]}:{address[1]}: {error}") from error


def _explained(error: Exception) -> ConnectError:
    if isinstance(error, ConnectError):
        return error
    if isinstance(error, OSError):
        return getConnectError(error)
    return ConnectError(string=str(error))  # a local name that cannot be one: UnicodeError
