"""UDP: ports as a reactor makes them, and those that can join groups of hosts."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from netcore.address import IPv4Address, IPv6Address
from netcore.defer import Deferred, fail, succeed
from netcore.error import (
    CannotListenError,
    InvalidAddressError,
    MulticastJoinError,
    UnsupportedAddressFamily,
    UnsupportedSocketType,
)
from netcore.interfaces import IListeningPort, IMulticastTransport, IUDPTransport, implementer
from netcore.transports._datagram_port import DatagramSocket
from netcore.transports._sockets import SocketAddress, check_port, family_of

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["MulticastPort", "Port"]

BROADCAST = "<broadcast>"  # the name that Python's sockets have for 255.255.255.255
_FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


@implementer(IListeningPort, IUDPTransport)
class Port(DatagramSocket):
    """A UDP port: what comes to it is *protocol*'s, which it is the transport of.

    Args:
        reactor: whose loop watches the socket.
        port, protocol, interface, maxPacketSize: see `IReactorUDP.listenUDP`.
    Attributes: *port* and *interface*, as asked for; *protocol*; *maxPacketSize*.
    Raises: InvalidAddressError: *interface* is no address. ValueError: *port* is not from 0 to 65535, or
        *maxPacketSize* less than 1.
    Threading: the reactor's thread only.
    """

    def __init__(
        self, reactor: Reactor, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192
    ) -> None:
        check_port(port)
        super().__init__(reactor, protocol, maxPacketSize)
        self._family = _literal_family(interface) if interface else socket.AF_INET
        self.port = port
        self.interface = interface
        self._adopted: socket.socket | None = None
        self._was_adopted = False
        self._peers: list[tuple[str, int]] = []  # of a connected port: as it was told, and as the kernel says it

    @classmethod
    def _adopt(
        cls, reactor: Reactor, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int
    ) -> Port:
        """A port on a duplicate of *fileDescriptor*; see `IReactorSocket.adoptDatagramPort`."""
        if addressFamily not in _FAMILIES:
            raise UnsupportedAddressFamily(f"{addressFamily!r} is neither AF_INET nor AF_INET6")
        sock = _duplicate(fileDescriptor)
        try:
            if sock.family != addressFamily:
                raise UnsupportedAddressFamily(f"descriptor {fileDescriptor} is of family {sock.family!r}")
            if sock.type != socket.SOCK_DGRAM:
                raise UnsupportedSocketType(f"descriptor {fileDescriptor} is of type {sock.type!r}, not SOCK_DGRAM")
            host, number, *_ = sock.getsockname()
            port = cls(reactor, number, protocol, host, maxPacketSize)
        except BaseException:
            sock.close()
            raise
        port._adopted = sock
        port._was_adopted = True
        return port

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address it is bound to, with the number that was given if port 0 was asked for; once connected, of the
        interface that leads to the peer.

        Raises: RuntimeError: it never listened.
        """
        host: IPv4Address | IPv6Address = super().getHost()
        return host

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send *packet* to *addr*, a literal address and a port; without one, to where `connect` said.

        If the kernel has no room for it, it is dropped: the network does the same, and a sender that must know has to
        be answered. (Twisted raises BlockingIOError then.)

        Args:
            addr: ``"<broadcast>"`` is the address of all hosts of the local network, if broadcast is allowed.
        Raises: InvalidAddressError: *addr* is no literal address, of the other family, missing, or not where the port
            is connected to. MessageLengthError: *packet* is too long for one datagram. NotListeningError: the port is
            closed. OSError: it cannot be sent there (no route, or a broadcast that is not allowed).
        """
        sock = self._bound()
        if self._connected:
            if addr is not None and tuple(addr) not in self._peers:
                raise InvalidAddressError(addr, f"is not where this port is connected to, which is {self._peers[0]}")
            # The error reported is an earlier datagram's, and cleared: this one can go.
            if self._send(sock.send, packet) is not None:
                self._send(sock.send, packet)
        elif addr is None:
            raise InvalidAddressError(addr, "is no address: say where to send to, or connect first")
        else:
            host, port = addr
            # A refusal, of who knows whose datagram, is not reported to sockets that are not connected; not on Linux.
            self._send(sock.sendto, packet, self._name_of(host, port, allow_broadcast=True))

    def writeSequence(self, seq: Iterable[bytes], addr: tuple[str, int] | None = None) -> None:
        """Send all pieces of *seq* as one datagram; see `write`."""
        self.write(b"".join(seq), addr)

    def connect(self, host: str, port: int) -> None:
        """Send to that literal address only, and receive from there only; once.

        From now on the protocol's ``connectionRefused`` hears when nobody receives there. What others sent before is
        dropped.

        Raises: InvalidAddressError: a name (look it up first), or an address of the other family. RuntimeError: it is
            connected already. NotListeningError: it is closed. OSError: there is no way there.
        """
        sock = self._bound()
        if self._connected:
            raise RuntimeError(f"{self!r} is connected already, to {self._peers[0]}")
        sock.connect(self._name_of(host, port))
        self._peers.append((host, port))
        self._learn_names(sock)

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Let broadcast addresses be sent to, or not (SO_BROADCAST, socket(7)); at first, not.

        Raises: NotListeningError: it is closed.
        """
        self._bound().setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, bool(enabled))

    def getBroadcastAllowed(self) -> bool:
        """Whether they may.

        Raises: NotListeningError: it is closed.
        """
        return bool(self._bound().getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))

    def _open(self) -> socket.socket:
        self._peers.clear()
        sock, self._adopted = self._adopted, None
        if sock is None and self._was_adopted:
            raise RuntimeError(f"{self!r} had a socket that was given to it: another must be adopted")
        try:
            if sock is None:
                sock = socket.socket(self._family, socket.SOCK_DGRAM)
                self._reactor._admit(sock)
                self._set_options(sock)
                sock.bind(_name_of(self._family, self.interface, self.port) if self.interface else ("", self.port))
            sock.setblocking(False)
            self._learn_names(sock)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError):
                raise CannotListenError(self.interface, self.port, error) from error
            raise
        return sock

    def _set_options(self, sock: socket.socket) -> None:
        """Of a new socket, before it is bound."""

    def _learn_names(self, sock: socket.socket) -> None:
        """Ask the kernel who *sock* and its peer are. An adopted one may be connected already."""
        name = sock.getsockname()
        self._host = IPv4Address("UDP", *name) if self._family == socket.AF_INET else IPv6Address("UDP", *name)
        try:
            self._peers.append(_address_of(sock.getpeername()))
        except OSError:
            return
        self._connected = True

    def _deliver(self, datagram: bytes, name: SocketAddress) -> None:
        addr = _address_of(name)
        if not self._connected or addr in self._peers:  # else it was in the queue before connect()
            self.protocol.datagramReceived(datagram, addr)

    def _name_of(self, host: str, port: int, allow_broadcast: bool = False) -> SocketAddress:
        """What sendto(2) and connect(2) take for *host*.

        Raises: InvalidAddressError. ValueError: *port* is not from 0 to 65535.
        """
        check_port(port)
        if allow_broadcast and host == BROADCAST and self._family == socket.AF_INET:
            return host, port
        if _literal_family(host) != self._family:
            raise InvalidAddressError(host, f"is of the other family: this port's addresses are {self._kind}")
        return _name_of(self._family, host, port)

    @property
    def _kind(self) -> str:
        return _FAMILIES[self._family]

    def __repr__(self) -> str:
        where = f"{self._host.host}:{self._host.port}" if self._host is not None else f"{self.interface}:{self.port}"
        state = "closed" if self._socket is None else "open"
        return f"<UDP port {where}, {state}, of {self.protocol!r}>"


@implementer(IMulticastTransport)
class MulticastPort(Port):
    """A UDP port that can join groups of hosts, and send to them.

    Args:
        reactor: whose loop watches the socket.
        port, protocol, interface, maxPacketSize, listenMultiple: see `IReactorMulticast.listenMulticast`.
    Attributes: those of `Port`; *listenMultiple*, as asked for.
    Raises: as `Port`.
    Threading: the reactor's thread only.
    """

    def __init__(
        self,
        reactor: Reactor,
        port: int,
        protocol: Any,
        interface: str = "",
        maxPacketSize: int = 8192,
        listenMultiple: bool = False,
    ) -> None:
        super().__init__(reactor, port, protocol, interface, maxPacketSize)
        self.listenMultiple = listenMultiple
        v4 = self._family == socket.AF_INET
        self._level = socket.IPPROTO_IP if v4 else socket.IPPROTO_IPV6
        self._outgoing = socket.IP_MULTICAST_IF if v4 else socket.IPV6_MULTICAST_IF
        self._loopback = socket.IP_MULTICAST_LOOP if v4 else socket.IPV6_MULTICAST_LOOP
        self._hops = socket.IP_MULTICAST_TTL if v4 else socket.IPV6_MULTICAST_HOPS
        self._join = socket.IP_ADD_MEMBERSHIP if v4 else socket.IPV6_JOIN_GROUP
        self._leave = socket.IP_DROP_MEMBERSHIP if v4 else socket.IPV6_LEAVE_GROUP

    def getOutgoingInterface(self) -> str | int:
        """From where datagrams to groups leave: an address (IPv4; ``"0.0.0.0"``: the system chooses) or an index (IPv6;
        0: it chooses).

        Raises: NotListeningError: the port is closed.
        """
        if self._family == socket.AF_INET:
            return socket.inet_ntoa(self._bound().getsockopt(self._level, self._outgoing, 4))
        return self._bound().getsockopt(self._level, self._outgoing)

    def setOutgoingInterface(self, addr: str | int) -> Deferred[int]:
        """Have datagrams to groups leave by the interface with that address (IPv4), or index or name (IPv6).

        Returns: Deferred firing with 1.
        Raises: InvalidAddressError: *addr* is neither. NotListeningError: the port is closed.
        Fails with: OSError: there is no such interface.
        """
        sock = self._bound()
        try:
            value = self._interface(addr)
        except OSError as error:  # an IPv6 one, of a name that does not exist
            return fail(error)
        try:
            sock.setsockopt(self._level, self._outgoing, value)
        except OSError as error:
            return fail(error)
        return succeed(1)

    def getLoopbackMode(self) -> bool:
        """Whether datagrams to groups come back to listeners on this machine.

        Raises: NotListeningError: the port is closed.
        """
        return bool(self._bound().getsockopt(self._level, self._loopback))

    def setLoopbackMode(self, mode: bool) -> None:
        """Have them come back, or not. At first they do.

        Raises: NotListeningError: the port is closed.
        """
        self._bound().setsockopt(self._level, self._loopback, bool(mode))

    def getTTL(self) -> int:
        """How many routers datagrams to groups may pass.

        Raises: NotListeningError: the port is closed.
        """
        return self._bound().getsockopt(self._level, self._hops)

    def setTTL(self, ttl: int) -> None:
        """Let them pass that many; at first 1: none.

        Raises: ValueError: *ttl* is not from 0 to 255. NotListeningError: the port is closed.
        """
        if not 0 <= ttl <= 255:
            raise ValueError(f"a time to live is a number from 0 to 255, not {ttl!r}")
        self._bound().setsockopt(self._level, self._hops, ttl)

    def joinGroup(self, addr: str, interface: str | int = "") -> Deferred[None]:
        """Receive what is sent to the group *addr*, a literal address.

        Args:
            interface: where it is received: an address of the interface (IPv4), or its name or index (IPv6); "" is the
                one that the system chooses.
        Raises: NotListeningError: the port is closed.
        Fails with: MulticastJoinError, with *addr*, *interface*, and why.
        """
        return self._set_membership(self._join, addr, interface)

    def leaveGroup(self, addr: str, interface: str | int = "") -> Deferred[None]:
        """Receive it no more, on the interface where it was joined. (Closing the port leaves all groups.)

        Raises: NotListeningError: the port is closed.
        Fails with: MulticastJoinError, also if the group was not joined there.
        """
        return self._set_membership(self._leave, addr, interface)

    def _set_membership(self, option: int, addr: str, interface: str | int) -> Deferred[None]:
        sock = self._bound()
        try:
            if _literal_family(addr) != self._family:
                raise InvalidAddressError(addr, f"is of the other family: this port's groups are {self._kind}")
            where = self._interface(interface) if interface != "" else self._interface(0)
            sock.setsockopt(self._level, option, socket.inet_pton(self._family, addr) + where)
        except (OSError, ValueError) as error:
            known = isinstance(error, OSError) and error.errno is not None
            why: tuple[Any, ...] = error.args if known else (str(error),)
            failure = MulticastJoinError(addr, interface, *why)
            failure.__cause__ = error
            return fail(failure)
        return succeed(None)

    def _interface(self, interface: str | int) -> bytes:
        """*interface* as ip(7) or ipv6(7) want it; 0 leaves the choice to the system.

        Raises: InvalidAddressError. OSError: there is none of that name.
        """
        if self._family == socket.AF_INET:
            address = "0.0.0.0" if interface == 0 else interface
            if not isinstance(address, str) or _literal_family(address) != socket.AF_INET:
                raise InvalidAddressError(interface, "is no IPv4 address: that is how an interface is named here")
            return socket.inet_pton(socket.AF_INET, address)
        if isinstance(interface, str) and not interface.isdecimal():
            if interface == "::":
                return struct.pack("@I", 0)
            if ":" in interface:
                raise InvalidAddressError(interface, "is neither the name of an interface nor its index")
            return struct.pack("@I", socket.if_nametoindex(interface))
        index = int(interface)
        if not 0 <= index < 1 << 31:
            raise InvalidAddressError(interface, "cannot be the index of an interface")
        return struct.pack("@I", index)

    def _set_options(self, sock: socket.socket) -> None:
        if not self.listenMultiple:
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            except OSError as error:
                if error.errno != errno.ENOPROTOOPT:  # the C library has it, and the kernel does not
                    raise


def _literal_family(host: str) -> socket.AddressFamily:
    """The family of a literal address; an IPv6 one may have a zone (RFC 4007, 11).

    Raises: InvalidAddressError: it is none.
    """
    family = family_of(host)
    try:
        socket.inet_pton(family, host.partition("%")[0] if family == socket.AF_INET6 else host)
    except (OSError, ValueError):
        raise InvalidAddressError(host, "is not an IPv4 or IPv6 address: look the name up first") from None
    return family


def _address_of(name: SocketAddress) -> tuple[str, int]:
    """What protocols are given, and give back: (host, port), where *name* is what the kernel said.

    The host of a link-local address has the zone, as a number: nobody could answer without it. (Twisted leaves it out.)
    """
    if len(name) == 4:
        host, port, _, zone = name
        return (f"{host}%{zone}", port) if zone else (host, port)
    host, port = name
    return host, port


def _name_of(family: socket.AddressFamily, host: str, port: int) -> SocketAddress:
    """What the socket API takes for a literal address: the zone of an IPv6 one is a number of its own there.

    Raises: InvalidAddressError: there is no such zone.
    """
    if "%" not in host:
        return host, port
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror as error:
        raise InvalidAddressError(host, "has a zone that this machine does not have") from error
    return found[0][4]


def _duplicate(descriptor: int) -> socket.socket:
    """A socket on a duplicate of *descriptor*.

    Raises: OSError: it is none.
    """
    duplicate = os.dup(descriptor)
    try:
        return socket.socket(fileno=duplicate)
    except BaseException:
        os.close(duplicate)
        raise
