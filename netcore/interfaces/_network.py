"""What leads a reactor to its peers, by family: TCP, sockets made elsewhere, UDP, UNIX.

Threading: everything here is called in the reactor's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netcore._interface import Interface
from netcore.interfaces._protocol import IProtocolFactory
from netcore.interfaces._transport import IAddress

if TYPE_CHECKING:
    from netcore.defer import Deferred

__all__ = [
    "IConnector",
    "IListeningPort",
    "IReactorMulticast",
    "IReactorSocket",
    "IReactorTCP",
    "IReactorUDP",
    "IReactorUNIX",
    "IReactorUNIXDatagram",
]


class IListeningPort(Interface):
    """A place that is listened on."""

    def startListening(self) -> None:
        """Listen.

        Raises: netcore.error.CannotListenError.
        """

    def stopListening(self) -> Deferred[None] | None:
        """Listen no more; connections already made stay.

        Returns: a Deferred that fires when the port is closed, or None if it was.
        """
        ...

    def getHost(self) -> IAddress:
        """The address listened on, with the port number that was given if 0 was asked for."""
        ...


class IConnector(Interface):
    """One outgoing connection, being made or standing."""

    def connect(self) -> None:
        """Try (again) to connect.

        Raises: RuntimeError: it is connecting or connected.
        """

    def disconnect(self) -> None:
        """Close the connection, or stop trying."""

    def stopConnecting(self) -> None:
        """Stop trying; the reason is `netcore.error.UserError`.

        Raises: netcore.error.NotConnectingError.
        """

    def getDestination(self) -> IAddress:
        """The address it connects to, as asked for."""
        ...


class IReactorTCP(Interface):
    """TCP."""

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Accept connections on *port* (0: any free one).

        Args:
            backlog: how many connections the kernel keeps until they are accepted (listen(2)).
            interface: a local IPv4 or IPv6 address; "" is every IPv4 address, "::" every IPv6 one, and the IPv4 ones
                too where the system says so (Linux does, ipv6(7)).
        Raises: netcore.error.CannotListenError. ValueError: *port* is not from 0 to 65535.
        """
        ...

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: IProtocolFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """Connect to *host* (a name or an address) on *port*.

        A name is looked up by the reactor's resolver (`IReactorPluggableNameResolver`). Its addresses are tried as RFC
        8305 has it ("happy eyeballs"): one after the other, IPv6 and IPv4 by turns, the next as soon as one fails, and
        250 ms after the last in any case; the first that answers is taken.

        The factory hears of it: ``startedConnecting``, then ``buildProtocol`` or ``clientConnectionFailed``, and
        ``clientConnectionLost`` in the end.

        Args:
            timeout: seconds for the whole attempt, looking up the name included; None waits as long as the kernel does.
            bindAddress: local (host, port) to connect from; if that is an address, only addresses of its family are
                tried.
        Raises: ValueError: a port is not from 0 to 65535. TypeError: *host* is no str.
        """
        ...


class IReactorSocket(Interface):
    """Sockets that somebody else has opened: a supervisor, a parent process, systemd.

    Each method duplicates the descriptor: the caller's stays open, and is the caller's to close. The socket becomes
    non-blocking.
    """

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> IListeningPort:
        """Accept connections on a stream socket that listens already.

        Args:
            addressFamily: `socket.AF_INET`, `socket.AF_INET6` or `socket.AF_UNIX`: the socket's.
        Raises: netcore.error.UnsupportedAddressFamily, UnsupportedSocketType. OSError: it is no socket, or does not
            listen.
        """
        ...

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> Any:
        """Go on with a stream connection that stands, with the protocol that *factory* builds for its peer.

        The factory's ``doStart`` and ``doStop`` are not called.

        Returns: the transport; None if the factory built no protocol, and the duplicate was closed.
        Raises: netcore.error.UnsupportedAddressFamily, UnsupportedSocketType. OSError: it is no socket, or not
            connected. What ``buildProtocol`` raised.
        """
        ...

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192
    ) -> IListeningPort:
        """Receive datagrams from a socket that is bound already, for *protocol*.

        Raises: as `adoptStreamPort`.
        """
        ...


class IReactorUDP(Interface):
    """UDP."""

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> IListeningPort:
        """Receive the datagrams that come to *port* (0: any free one), and send some, through *protocol*.

        Args:
            protocol: a `netcore.protocol.DatagramProtocol`.
            interface: a local IPv4 or IPv6 address; "" is every IPv4 address.
            maxPacketSize: bytes; what is longer arrives cut off.
        Raises: netcore.error.CannotListenError. netcore.error.InvalidAddressError: *interface* is no address.
            ValueError: *port* is not from 0 to 65535.
        """
        ...


class IReactorMulticast(Interface):
    """UDP to groups of hosts."""

    def listenMulticast(
        self,
        port: int,
        protocol: Any,
        interface: str = "",
        maxPacketSize: int = 8192,
        listenMultiple: bool = False,
    ) -> IListeningPort:
        """As `IReactorUDP.listenUDP`, with a transport that can join groups.

        Args:
            listenMultiple: let other sockets on this machine listen on the same port (SO_REUSEADDR, and SO_REUSEPORT
                where there is one).
        Raises: as `IReactorUDP.listenUDP`.
        """
        ...


class IReactorUNIX(Interface):
    """UNIX stream sockets."""

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> IListeningPort:
        """Accept connections at the path *address*; on Linux, one that begins with a NUL is an abstract name.

        Args:
            mode: of the file, for chmod(2): who may connect.
            wantPID: hold the lock file ``address + ".lock"`` while listening, and take over what a process that has
                ended left at *address*.
        Raises: netcore.error.CannotListenError.
        """
        ...

    def connectUNIX(
        self, address: str, factory: IProtocolFactory, timeout: float | None = 30, checkPID: bool = False
    ) -> IConnector:
        """Connect to the path, or abstract name, *address*.

        Args:
            timeout: seconds; None waits as long as the kernel does.
            checkPID: fail at once if nobody holds the lock file of *address*.
        """
        ...


class IReactorUNIXDatagram(Interface):
    """UNIX datagram sockets."""

    def listenUNIXDatagram(
        self, address: str | None, protocol: Any, maxPacketSize: int = 8192, mode: int = 0o666
    ) -> IListeningPort:
        """Receive the datagrams that come to the path *address*, for *protocol*.

        Raises: netcore.error.CannotListenError.
        """
        ...

    def connectUNIXDatagram(
        self,
        address: str,
        protocol: Any,
        maxPacketSize: int = 8192,
        mode: int = 0o666,
        bindAddress: str | None = None,
    ) -> IListeningPort:
        """Send datagrams to the path *address*, and receive those that come from there.

        Args:
            protocol: a `netcore.protocol.ConnectedDatagramProtocol`.
            bindAddress: a path of one's own, without which nobody can answer.
        Returns: the port, *protocol*'s transport. If it could not be opened or connected, the protocol's
            ``connectionFailed`` was called, with a `netcore.error.CannotListenError` or `netcore.error.ConnectError`.
        """
        ...
