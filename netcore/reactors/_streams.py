"""The part of a reactor that has to do with stream connections."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from netcore.address import UNIXAddress
from netcore.interfaces import IProtocolFactory
from netcore.reactors._part import Part
from netcore.transports import unix
from netcore.transports._sockets import address_of, adopt
from netcore.transports._stream import StreamTransport
from netcore.transports._stream_port import StreamPort
from netcore.transports.tcp import Connection, Connector, Port

__all__ = ["Streams"]

# By address family, what is made of a socket that somebody else has opened; another family is one more entry in each.
# The first: (reactor, sock, factory); the second: of a socket or its peer, its name; the third as `Connection`.
_PORTS: dict[int, Callable[..., StreamPort]] = {
    socket.AF_INET: Port._adopting,
    socket.AF_INET6: Port._adopting,
}
_ADDRESSES: dict[int, Callable[[Any], Any]] = {
    socket.AF_INET: address_of,
    socket.AF_INET6: address_of,
}
_CONNECTIONS: dict[int, Callable[..., StreamTransport]] = {
    socket.AF_INET: Connection,
    socket.AF_INET6: Connection,
}
if hasattr(socket, "AF_UNIX"):
    _PORTS[socket.AF_UNIX] = unix.Port._adopting
    _ADDRESSES[socket.AF_UNIX] = UNIXAddress
    _CONNECTIONS[socket.AF_UNIX] = unix.Connection


class Streams(Part):
    """`IReactorTCP`, and what `IReactorSocket` has for streams."""

    def listenTCP(
        self,
        port: int,
        factory: IProtocolFactory,
        backlog: int = 50,
        interface: str = "",
        *,
        reusePort: bool = False,
    ) -> Port:
        """Accept connections on *port* (0: any free one), for protocols from *factory*.

        Args:
            backlog: how many connections the kernel keeps until they are accepted (listen(2)).
            interface: a local IPv4 or IPv6 address; "" is every IPv4 address, "::" every IPv6 one, and the IPv4 ones
                too where the system says so (Linux does, ipv6(7)).
            reusePort: let others of this user that say so too listen at the same address (SO_REUSEPORT): several
                processes, among which the kernel deals the connections out. netcore's own; Twisted has no such
                argument.
        Raises: netcore.error.CannotListenError. ValueError: *port* is not from 0 to 65535.
        """
        self._require_usable()
        listening = Port(self._whole, port, factory, backlog, interface, reusePort=reusePort)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: IProtocolFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """Connect to *host* (a name or an address) on *port*; *factory* (a ClientFactory) hears how it goes.

        A name is looked up by `nameResolver`. Its addresses are tried as RFC 8305 has it ("happy eyeballs"): one after
        the other, IPv6 and IPv4 by turns, the next as soon as one fails, and 250 ms after the last in any case; the
        first that answers is taken. "" is "0.0.0.0".

        Args:
            timeout: seconds for the whole attempt, looking up the name included; None waits as long as the kernel does.
            bindAddress: local (host, port) to connect from; if that is an address, only addresses of its family are
                tried.
        Raises: ValueError: a port is not from 0 to 65535, or *timeout* is negative or NaN. TypeError: *host* is no str,
            or a port no number. What *factory*'s ``doStart`` or ``startedConnecting`` raised.
        """
        self._require_usable()
        connector = Connector(self._whole, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> StreamPort:
        """Accept connections on a stream socket that listens already, for protocols from *factory*.

        The descriptor is duplicated: the caller's stays open, and is the caller's to close. The socket becomes
        non-blocking.

        Args:
            addressFamily: `socket.AF_INET`, `socket.AF_INET6` or `socket.AF_UNIX`: the socket's.
        Raises: netcore.error.UnsupportedAddressFamily, UnsupportedSocketType. OSError: it is no socket, or does not
            listen.
        """
        self._require_usable()
        sock = adopt(fileDescriptor, addressFamily, _PORTS, socket.SOCK_STREAM)
        try:
            listening = _PORTS[addressFamily](self._whole, sock, factory)
            listening.startListening()
        except BaseException:
            sock.close()
            raise
        return listening

    def adoptStreamConnection(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> StreamTransport | None:
        """Go on with a stream connection that stands, with the protocol that *factory* builds for its peer.

        The descriptor is duplicated: the caller's stays open, and is the caller's to close. The socket becomes
        non-blocking. The factory's ``doStart`` and ``doStop`` are not called.

        Args:
            addressFamily: `socket.AF_INET`, `socket.AF_INET6` or `socket.AF_UNIX`: the socket's.
        Returns: the transport; None if the factory built no protocol, and the duplicate was closed.
        Raises: netcore.error.UnsupportedAddressFamily, UnsupportedSocketType. OSError: it is no socket, or not
            connected. What ``buildProtocol`` raised.
        """
        self._require_usable()
        sock = adopt(fileDescriptor, addressFamily, _CONNECTIONS, socket.SOCK_STREAM)
        context = copy_context()
        try:
            address = _ADDRESSES[addressFamily]
            host, peer = address(sock.getsockname()), address(sock.getpeername())
            protocol = context.run(factory.buildProtocol, peer)
        except BaseException:
            sock.close()
            raise
        if protocol is None:
            sock.close()
            return None
        connection = _CONNECTIONS[addressFamily](self._whole, sock, host, peer, protocol, context)
        connection.start()
        return connection
