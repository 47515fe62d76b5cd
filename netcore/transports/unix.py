"""UNIX stream sockets: listening ports and connectors, as a reactor makes them, and connections.

What holds of a port with a path:

* Nobody connects before the socket file has its mode: until listen(2), which comes after chmod(2), all are refused.
* The file is removed while the socket is still open: its number (inode) is given to no other file until then. So a file
  that has it is ours, and one that has not is somebody else's, and stays.
* The lock is taken before anything else, and given back last.
* Only the process that listened removes both. One that was forked from it has the port, too, and may close it.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from contextvars import Context
from typing import TYPE_CHECKING, Any

from netcore.address import UNIXAddress
from netcore.error import BadFileError, CannotListenError, ConnectError, getConnectError
from netcore.failure import Failure
from netcore.interfaces import IConnector, IDelayedCall, IListeningPort, IProtocolFactory, implementer
from netcore.lockfile import FilesystemLock, isLocked
from netcore.transports._sockets import check_listens
from netcore.transports._stream_connector import StreamConnector
from netcore.transports._stream_port import StreamPort
from netcore.transports._unix_connection import Connection
from netcore.transports._unix_names import SocketFile, checked_name, is_abstract, shown_name

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["Connection", "Connector", "Port"]

logger = logging.getLogger("netcore.transports")

# connect(2) of a non-blocking UNIX socket never goes on by itself on Linux. EAGAIN: as many wait to be accepted as the
# other side lets; nothing tells when there is room again. The others: POSIX allows them.
_NOT_YET = frozenset({errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY, errno.EINTR})
# Then it is tried again after so many seconds, each time twice as many, up to a limit.
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.25


@implementer(IListeningPort)
class Port(StreamPort):
    """A UNIX socket that accepts connections, each for a protocol that *factory* builds.

    Args:
        reactor: whose loop watches the socket.
        address, factory, backlog, mode, wantPID: see `IReactorUNIX.listenUNIX`.
    Attributes: *address*, *mode*, *wantPID* and *factory*, as asked for; *acceptPause*, seconds without accepting after
        the system ran out of descriptors or memory.
    Raises: ValueError: *address* can be none, or has no place for a lock file and *wantPID* was asked for.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        address: str | bytes,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> None:
        self._name = checked_name(address, wantPID and "wantPID")
        super().__init__(reactor, factory, backlog)
        self.address = address
        self.mode = mode
        self.wantPID = wantPID
        self._lock: FilesystemLock | None = None
        self._file: SocketFile | None = None
        self._listened_in: int | None = None

    @classmethod
    def _adopting(cls, reactor: Reactor, sock: socket.socket, factory: IProtocolFactory) -> Port:
        """A port for *sock*, as `tcp.Port._adopting`. Its file is whoever's who has made it: it stays.

        Raises: OSError: *sock* does not listen.
        """
        check_listens(sock)
        name = sock.getsockname()
        port = cls(reactor, name, factory)
        port._adopted, port._host = sock, UNIXAddress(name)
        return port

    def getHost(self) -> UNIXAddress:
        """The address listened on.

        Raises: RuntimeError: it never listened.
        """
        host: UNIXAddress = super().getHost()
        return host

    def _open(self) -> socket.socket:
        sock = None
        self._listened_in = os.getpid()
        try:
            stale = self._take_lock()
            if stale:
                _remove_socket(self._name)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._reactor._admit(sock)
            sock.setblocking(False)
            _bind(sock, self._name)
            if not is_abstract(self._name):
                self._file = SocketFile(os.path.abspath(self._name))
                os.chmod(self._file.path, self.mode)
            sock.listen(self._backlog)
            self._host = UNIXAddress(sock.getsockname())
        except BaseException as error:
            self._remove_file()
            if sock is not None:
                sock.close()
            self._give_lock_back()
            if isinstance(error, OSError):
                raise CannotListenError("", shown_name(self._name), error) from error
            raise
        return sock

    def _take_lock(self) -> bool:
        """Returns: whether it was taken over from a process that has ended. Raises: OSError: it cannot be had."""
        if not self.wantPID:
            return False
        lock = FilesystemLock(os.fsdecode(os.path.abspath(self._name)) + ".lock")
        try:
            locked = lock.lock()
        except ValueError as error:
            raise OSError(errno.EEXIST, str(error)) from error
        if not locked:
            raise OSError(errno.EADDRINUSE, f"another process, or this one, holds the lock {lock.name!r}")
        self._lock = lock
        return not lock.clean

    def _close(self) -> None:
        self._remove_file()
        super()._close()

    def _closed(self) -> None:
        self._give_lock_back()

    def _remove_file(self) -> None:
        file, self._file = self._file, None
        if file is None or self._listened_in != os.getpid():
            return
        try:
            if not file.remove():
                logger.warning("%r: %r is not the file it made: left alone", self, shown_name(file.path))
        except OSError as error:
            logger.warning("%r: its file stays behind: %s", self, error)

    def _give_lock_back(self) -> None:
        lock, self._lock = self._lock, None
        if lock is None or self._listened_in != os.getpid():
            return
        try:
            lock.unlock()
        except (OSError, ValueError) as error:
            logger.warning("%r: its lock stays as it is: %s", self, error)

    def _ends_of(self, sock: socket.socket, name: str | bytes) -> tuple[UNIXAddress, UNIXAddress]:
        return UNIXAddress(sock.getsockname()), UNIXAddress(name)

    def _connection(self, sock: socket.socket, host: Any, peer: Any, protocol: Any, context: Context) -> Connection:
        return Connection(self._reactor, sock, host, peer, protocol, context)

    def __repr__(self) -> str:
        state = "closed" if self._socket is None else "open"
        return f"<UNIX port {shown_name(self._name)!r}, {state}, of {self.factory!r}>"


@implementer(IConnector)
class Connector(StreamConnector):
    """One outgoing connection over a UNIX socket, being made or standing.

    Args:
        reactor: whose loop watches the socket.
        address, factory, timeout, checkPID: see `IReactorUNIX.connectUNIX`.
    Attributes: *address*, *factory*, *timeout*, *checkPID*, as asked for; *state*, "disconnected", "connecting" or
        "connected"; *transport*, the connection that stands, or None.
    Raises: ValueError: *address* can be none, or has no place for a lock file and *checkPID* was asked for.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        address: str | bytes,
        factory: IProtocolFactory,
        timeout: float | None,
        checkPID: bool,
    ) -> None:
        self._name = checked_name(address, checkPID and "checkPID")
        super().__init__(reactor, factory, timeout)
        self.address = address
        self.checkPID = checkPID
        self._dialling: socket.socket | None = None
        self._again: IDelayedCall | None = None
        self._wait = FIRST_PAUSE

    def getDestination(self) -> UNIXAddress:
        """The address it connects to."""
        return UNIXAddress(self._name)

    def _look(self) -> None:
        try:
            if self.checkPID and not isLocked(os.fsdecode(self._name) + ".lock"):
                self._fail(Failure(BadFileError(string=f"{self._target()}.lock")))
                return
            self._dialling = sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._reactor._admit(sock)
            sock.setblocking(False)
        except OSError as error:
            self._fail(self._explained(error))
        except ValueError as error:  # it is no lock file
            self._fail(Failure(BadFileError(string=str(error))))
        else:
            self._wait = FIRST_PAUSE
            self._try()

    def _try(self) -> None:
        self._again = None
        sock = self._dialling
        assert sock is not None
        try:
            number = sock.connect_ex(self._name)
        except OSError as error:  # not the kernel's
            self._fail(self._explained(_too_long(self._name, error)))
            return
        if number in _NOT_YET:
            self._again = self._reactor.callLater(self._wait, self._try)
            self._wait = min(2 * self._wait, LONGEST_PAUSE)
        elif number not in {0, errno.EISCONN}:
            self._fail(self._explained(OSError(number, os.strerror(number))))
        else:
            self._dialling = None
            # Not getpeername(2), which has the path that the other side gave, maybe from within another directory.
            self._made(sock, UNIXAddress(sock.getsockname()), UNIXAddress(self._name))

    def _explained(self, error: OSError) -> Failure:
        kind: type[ConnectError] = type(getConnectError(error))
        return Failure(kind(error, f"{self._target()}: {error.strerror or error}"))

    def _abandon(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._dialling is not None:
            self._dialling.close()
            self._dialling = None

    def _connection(self, sock: socket.socket, host: Any, peer: Any, protocol: Any, context: Context) -> Connection:
        return Connection(self._reactor, sock, host, peer, protocol, context, self._connection_lost)

    def _target(self) -> str:
        return shown_name(self._name)

    def __repr__(self) -> str:
        return f"<UNIX connector to {shown_name(self._name)!r}, {self._state.value}, of {self.factory!r}>"


def _bind(sock: socket.socket, name: bytes) -> None:
    try:
        sock.bind(name)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and not is_abstract(name):
            hint = "remove the file, if nobody listens there"
            raise OSError(error.errno, f"{error.strerror} ({hint})") from None
        raise _too_long(name, error) from None


def _too_long(name: bytes, error: OSError) -> OSError:
    """What Python says, without a number, of an address that is too long; or *error*, if that is another."""
    if error.errno is not None:
        return error
    return OSError(
        errno.ENAMETOOLONG,
        f"the address has {len(name)} bytes, and a UNIX socket's may have 107 on Linux (unix(7)), 103 elsewhere: use a "
        "directory nearer to the root, or a relative path",
    )


def _remove_socket(path: bytes) -> None:
    """Remove what a process that has ended left there; anything but a socket stays, and bind(2) will complain."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
