"""What this package knows about the socket API: addresses, and what its errors mean."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Collection
from typing import Any

from netcore.address import IPv4Address, IPv6Address
from netcore.error import UnsupportedAddressFamily, UnsupportedSocketType

__all__ = [
    "OUT_OF_DESCRIPTORS",
    "OUT_OF_RESOURCES",
    "TRY_LATER",
    "address_of",
    "adopt",
    "check_listens",
    "check_port",
    "family_of",
    "literal_addresses",
    "set_reset_on_close",
    "set_reuse_port",
    "unacknowledged",
]

# send(2): the kernel has no room just now. ENOBUFS: BSD says so of the network interface's queue.
TRY_LATER = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOBUFS})

# accept(2): the process or the system has no more descriptors, buffers or memory. The connection stays queued, so the
# listening socket stays readable: going on at once would spin.
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
OUT_OF_RESOURCES = OUT_OF_DESCRIPTORS | {errno.ENOBUFS, errno.ENOMEM}

_SIOCOUTQ = 0x5411  # linux/sockios.h; tcp(7), unix(7)

SocketAddress = tuple[Any, ...]


def address_of(name: SocketAddress) -> IPv4Address | IPv6Address:
    """The address that ``getsockname()``, ``getpeername()`` or ``accept()`` of a TCP socket gave."""
    if len(name) == 4:
        return IPv6Address("TCP", *name)
    return IPv4Address("TCP", *name)


def adopt(descriptor: int, family: int, families: Collection[int], kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket on a duplicate of *descriptor* (which becomes non-blocking with it: they share the flag).

    Raises: UnsupportedAddressFamily: *family* is none of *families*, or not the socket's. UnsupportedSocketType: it is
        not of *kind*. OSError: it is no socket.
    """
    if family not in families:
        wanted = ", ".join(socket.AddressFamily(each).name for each in families)
        raise UnsupportedAddressFamily(f"sockets of {wanted} can be adopted here, not of {family!r}")
    duplicate = socket.dup(descriptor)
    try:
        sock = socket.socket(fileno=duplicate)
    except BaseException:
        socket.close(duplicate)
        raise
    try:
        if sock.family != family:
            raise UnsupportedAddressFamily(f"the socket is of {sock.family!r}, not of {family!r}")
        if sock.type != kind:
            raise UnsupportedSocketType(f"the socket is of {sock.type!r}, and {kind!r} is wanted")
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def check_listens(sock: socket.socket) -> None:
    """Raises: OSError: *sock* does not listen."""
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise OSError(errno.EINVAL, "the socket does not listen: bind it and call its listen() first")


def check_port(port: int) -> None:
    """Refuse what is no port number: getaddrinfo(3) would take its last 16 bits (RFC 9293, 3.1), another port's.

    Raises: ValueError. TypeError: it is no number, but the name of a service, say, which is for
        `socket.getservbyname`.
    """
    if not isinstance(port, int):
        raise TypeError(f"a port is a number from 0 to 65535, not {port!r}")
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is a number from 0 to 65535, not {port!r}")


def family_of(interface: str) -> socket.AddressFamily:
    """AF_INET6 for a literal IPv6 address (which alone has colons), else AF_INET."""
    return socket.AF_INET6 if ":" in interface else socket.AF_INET


def literal_addresses(host: str, port: int) -> list[tuple[int, SocketAddress]] | None:
    """Family and address for connect(2) if *host* is an address, None if it is a name. Never blocks."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, ValueError):  # ValueError: it cannot be encoded, or has a NUL in it
        return None
    return [(family, address) for family, _, _, _, address in found]


def set_reset_on_close(sock: socket.socket) -> None:
    """Have close(2) drop what was not sent and reset the connection (socket(7), SO_LINGER with no time)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def set_reuse_port(sock: socket.socket) -> None:
    """Let others that do the same listen at the same address; the kernel deals connections out (socket(7)).

    Raises: OSError: this platform has no such thing.
    """
    option = getattr(socket, "SO_REUSEPORT", None)
    if option is None:
        raise OSError(errno.ENOPROTOOPT, "this platform has no SO_REUSEPORT")
    sock.setsockopt(socket.SOL_SOCKET, option, 1)


def unacknowledged(descriptor: int) -> int:
    """How many bytes the kernel has taken that the peer's has not acknowledged; 0 where it does not say."""
    if sys.platform != "linux":
        return 0
    from fcntl import ioctl

    try:
        return int.from_bytes(ioctl(descriptor, _SIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0
