"""Datagrams between UNIX sockets: ports as a reactor makes them. Not on Windows."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from netcore.address import UNIXAddress
from netcore.error import CannotListenError, ConnectError, UnsupportedAddressFamily, getConnectError
from netcore.failure import Failure
from netcore.interfaces import (
    IListeningPort,
    IUNIXDatagramConnectedTransport,
    IUNIXDatagramTransport,
    implementer,
)
from netcore.protocol import ConnectedDatagramProtocol
from netcore.transports._datagram_port import DatagramSocket
from netcore.transports._unix_names import SocketFile, checked_name, is_abstract, shown_name

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["ConnectedDatagramPort", "DatagramPort"]

logger = logging.getLogger("netcore.transports")

# send(2) of a connected socket whose peer has gone: the first time, and from then on.
_GONE = frozenset({errno.ENOTCONN, errno.EPIPE})


class _UNIXDatagramSocket(DatagramSocket):
    """What both kinds of ports have in common: a path, or an abstract name, or none at all.

    A path is taken away when the port is closed, if the file is still the one that was made here, and by this process:
    a forked one may go on with the socket. It is never taken over from others: there is no way to know that nobody is
    about to receive there. Nor is it waited for: bind(2) says EADDRINUSE.
    """

    def __init__(
        self, reactor: Reactor, path: str | bytes | None, protocol: Any, maxPacketSize: int, mode: int
    ) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise UnsupportedAddressFamily("this platform has no UNIX sockets")
        super().__init__(reactor, protocol, maxPacketSize)
        self.mode = mode
        self._name = checked_name(path) if path else None
        self._file: SocketFile | None = None
        self._made_in: int | None = None

    def getHost(self) -> UNIXAddress:
        """The path, or abstract name, that it is bound to, if any.

        Raises: RuntimeError: it never listened.
        """
        host: UNIXAddress = super().getHost()
        return host

    def _open(self) -> socket.socket | None:
        sock = None
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._reactor._admit(sock)
            sock.setblocking(False)
            if self._name is not None:
                self._bind(sock, self._name)
            self._host = UNIXAddress(sock.getsockname())
        except BaseException as error:
            if sock is not None:
                self._before_close()
                sock.close()
            if isinstance(error, OSError):
                raise CannotListenError("", shown_name(self._name or b""), error) from error
            raise
        return sock

    def _bind(self, sock: socket.socket, name: bytes) -> None:
        if is_abstract(name):
            sock.bind(name)
            return
        # Linux gives the file the mode that the socket has, less the umask: at no time may more be allowed than asked
        # for. Others ignore or refuse this.
        with contextlib.suppress(OSError):
            os.fchmod(sock.fileno(), self.mode)
        sock.bind(name)
        self._file = SocketFile(os.path.abspath(name))
        self._made_in = os.getpid()
        os.chmod(self._file.path, self.mode)

    def _before_close(self) -> None:
        file, self._file = self._file, None
        if file is None or self._made_in != os.getpid():
            return
        try:
            file.remove()
        except OSError as error:
            logger.warning("%r: its file stays: %s", self, error)

    def _state(self) -> str:
        return "closed" if self._socket is None else "open"


@implementer(IListeningPort, IUNIXDatagramTransport)
class DatagramPort(_UNIXDatagramSocket):
    """A UNIX socket: the datagrams that come to it are *protocol*'s, which it is the transport of.

    Args:
        reactor: whose loop watches the socket.
        address, protocol, maxPacketSize, mode: see `IReactorUNIXDatagram.listenUNIXDatagram`.
    Attributes: *port*, the address as asked for; *mode*; *protocol*; *maxPacketSize*.
    Raises: ValueError: *maxPacketSize* is less than 1, or *address* has a NUL inside. UnsupportedAddressFamily: this
        platform has no UNIX sockets.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        address: str | bytes | None,
        protocol: Any,
        maxPacketSize: int = 8192,
        mode: int = 0o666,
    ) -> None:
        super().__init__(reactor, address, protocol, maxPacketSize, mode)
        self.port = address

    def write(self, packet: bytes, addr: str | bytes) -> None:
        """Send *packet* to the path, or abstract name, *addr*.

        If the receiver reads too slowly and its queue is full, it is dropped. (On Linux the queue has room for
        ``net.unix.max_dgram_qlen``, often 10 or 512.)

        Raises: MessageLengthError: *packet* is too long for one datagram. NotListeningError: the port is closed.
            OSError: it cannot be sent there: FileNotFoundError and ConnectionRefusedError say that nobody is there,
            PermissionError that it is not allowed, or that the receiver is connected to somebody else. ValueError:
            *addr* is empty or has a NUL inside.
        """
        refusal = self._send(self._bound().sendto, packet, checked_name(addr))
        if refusal is not None:
            raise refusal

    def _deliver(self, datagram: bytes, name: Any) -> None:
        self.protocol.datagramReceived(datagram, name)

    def __repr__(self) -> str:
        return f"<UNIX datagram port {self.port!r}, {self._state()}, of {self.protocol!r}>"


@implementer(IListeningPort, IUNIXDatagramConnectedTransport)
class ConnectedDatagramPort(_UNIXDatagramSocket):
    """A UNIX socket that sends datagrams to one other only, and receives from that one only.

    Args:
        reactor: whose loop watches the socket.
        address, protocol, maxPacketSize, mode, bindAddress: see `IReactorUNIXDatagram.connectUNIXDatagram`.
    Attributes: *remoteaddr* and *port*, *address* and *bindAddress* as asked for; *mode*; *protocol*; *maxPacketSize*.
    Raises: TypeError: *protocol* is no `ConnectedDatagramProtocol`. ValueError: *maxPacketSize* is less than 1, or an
        address has a NUL inside, or *address* is empty. UnsupportedAddressFamily: this platform has no UNIX sockets.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        address: str | bytes,
        protocol: Any,
        maxPacketSize: int = 8192,
        mode: int = 0o666,
        bindAddress: str | bytes | None = None,
    ) -> None:
        self.port = bindAddress
        self.remoteaddr = address
        if not isinstance(protocol, ConnectedDatagramProtocol):
            raise TypeError(f"a connected port needs a ConnectedDatagramProtocol, not {protocol!r}")
        super().__init__(reactor, bindAddress, protocol, maxPacketSize, mode)
        self._remote_name = checked_name(address)

    def getPeer(self) -> UNIXAddress:
        """The path, or abstract name, that it sends to."""
        return UNIXAddress(self.remoteaddr)

    def write(self, packet: bytes) -> None:
        """Send *packet* to the peer.

        If the peer has gone, the protocol's ``connectionRefused`` is called, in the next turn. If it reads too slowly
        and its queue is full, *packet* is dropped.

        Raises: MessageLengthError: *packet* is too long for one datagram. NotListeningError: the port is closed.
            OSError: it cannot be sent.
        """
        try:
            self._send(self._bound().send, packet)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self._refused_soon()

    def _open(self) -> socket.socket | None:
        """The protocol's ``connectionFailed`` is told of a failure."""
        sock = None
        try:
            sock = super()._open()
            assert sock is not None
            try:
                sock.connect(self._remote_name)
            except OSError as error:
                raise getConnectError(error) from error
        except BaseException as error:
            if sock is not None:
                self._before_close()
                sock.close()
            if not isinstance(error, (CannotListenError, ConnectError)):
                raise
            logger.info("%r: connecting failed: %s", self, error)
            failure = Failure(error)
            self._context.copy().run(self._call, "connectionFailed", self.protocol.connectionFailed, failure)
            return None
        self._connected = True
        return sock

    def _deliver(self, datagram: bytes, name: Any) -> None:
        self.protocol.datagramReceived(datagram)

    def __repr__(self) -> str:
        return f"<UNIX datagram port {self.port!r} to {self.remoteaddr!r}, {self._state()}, of {self.protocol!r}>"
