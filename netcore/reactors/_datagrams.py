"""The part of a reactor that has to do with datagrams."""

from __future__ import annotations

from typing import Any

from netcore.reactors._part import Part
from netcore.transports._unix_datagram import ConnectedDatagramPort, DatagramPort
from netcore.transports.udp import MulticastPort, Port

__all__ = ["Datagrams"]


class Datagrams(Part):
    """`IReactorUDP`, `IReactorMulticast`, `IReactorUNIXDatagram`; and of `IReactorSocket` what has to do with
    datagrams."""

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Port:
        """Receive the datagrams that come to *port* (0: any free one), and send some, through *protocol*.

        Args:
            protocol: a `netcore.protocol.DatagramProtocol`; not one that another port has.
            interface: a local IPv4 or IPv6 address; "" is every IPv4 address, "::" every IPv6 one, and the IPv4 ones
                too where the system says so (Linux does, ipv6(7)).
            maxPacketSize: bytes; what is longer arrives cut off.
        Returns: the port, *protocol*'s transport.
        Raises: netcore.error.CannotListenError. netcore.error.InvalidAddressError: *interface* is no address.
            ValueError: *port* is not from 0 to 65535, or *maxPacketSize* less than 1. What ``startProtocol`` raises.
        """
        self._require_usable()
        listening = Port(self._whole, port, protocol, interface, maxPacketSize)
        listening.startListening()
        return listening

    def listenMulticast(
        self,
        port: int,
        protocol: Any,
        interface: str = "",
        maxPacketSize: int = 8192,
        listenMultiple: bool = False,
    ) -> MulticastPort:
        """As `listenUDP`, with a transport that can join groups.

        Args:
            listenMultiple: let other sockets on this machine listen on the same port (SO_REUSEADDR, and SO_REUSEPORT
                where there is one).
        Raises: as `listenUDP`.
        """
        self._require_usable()
        listening = MulticastPort(self._whole, port, protocol, interface, maxPacketSize, listenMultiple)
        listening.startListening()
        return listening

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192
    ) -> Port:
        """Receive datagrams from a UDP socket that somebody else has opened and bound, for *protocol*.

        The descriptor is duplicated: the caller's stays open, and is the caller's to close. Both are one socket,
        though, which does not block from now on.

        Args:
            addressFamily: `socket.AF_INET` or `socket.AF_INET6`: the socket's.
            protocol, maxPacketSize: see `listenUDP`.
        Raises: netcore.error.UnsupportedAddressFamily: another family, or not the socket's.
            netcore.error.UnsupportedSocketType: it is not for datagrams. OSError: it is no socket.
        """
        self._require_usable()
        listening = Port._adopt(self._whole, fileDescriptor, addressFamily, protocol, maxPacketSize)
        listening.startListening()
        return listening

    def listenUNIXDatagram(
        self, address: str | bytes | None, protocol: Any, maxPacketSize: int = 8192, mode: int = 0o666
    ) -> DatagramPort:
        """Receive the datagrams that come to the path *address*, for *protocol*.

        Args:
            address: a path where there is no file yet, and which is taken away when the port closes; on Linux, what
                begins with a NUL is an abstract name; None or "": none, to send only.
            protocol: a `netcore.protocol.DatagramProtocol`; it is given paths for addresses, as str; abstract names, as
                bytes; or None, for senders without one.
            maxPacketSize: bytes; what is longer arrives cut off.
            mode: of the file, for chmod(2): who may send.
        Raises: netcore.error.CannotListenError: also if there is a file already, even a socket that nobody has any
            more. ValueError: *maxPacketSize* is less than 1, or *address* has a NUL inside. What ``startProtocol``
            raises.
        """
        self._require_usable()
        listening = DatagramPort(self._whole, address, protocol, maxPacketSize, mode)
        listening.startListening()
        return listening

    def connectUNIXDatagram(
        self,
        address: str | bytes,
        protocol: Any,
        maxPacketSize: int = 8192,
        mode: int = 0o666,
        bindAddress: str | bytes | None = None,
    ) -> ConnectedDatagramPort:
        """Send datagrams to the path *address*, and receive those that come from there.

        If that fails, *protocol*'s ``connectionFailed`` is called before this returns, with a
        `netcore.error.ConnectError` (nobody is there) or a `netcore.error.CannotListenError` (*bindAddress* is taken).

        Args:
            protocol: a `netcore.protocol.ConnectedDatagramProtocol`.
            maxPacketSize: bytes; what is longer arrives cut off.
            mode: of the file at *bindAddress*, for chmod(2).
            bindAddress: a path, or abstract name, of one's own, without which nobody can answer.
        Raises: TypeError: *protocol* is none. ValueError: *maxPacketSize* is less than 1, or an address has a NUL
            inside, or *address* is empty. What ``startProtocol`` raises.
        """
        self._require_usable()
        connected = ConnectedDatagramPort(self._whole, address, protocol, maxPacketSize, mode, bindAddress)
        connected.startListening()
        return connected
