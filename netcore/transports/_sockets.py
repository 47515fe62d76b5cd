"""What this package knows about the socket API: addresses, and what its errors mean."""

from __future__ import annotations

import errno
import socket
from typing import Any

from netcore.address import IPv4Address, IPv6Address

__all__ = [
    "OUT_OF_RESOURCES",
    "TRY_LATER",
    "address_of",
    "check_port",
    "family_of",
    "literal_addresses",
    "set_reset_on_close",
]

# send(2): the kernel has no room just now. ENOBUFS: BSD says so of the network interface's queue.
TRY_LATER = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOBUFS})

# accept(2): the process or the system has no more descriptors, buffers or memory. The connection stays queued, so the
# listening socket stays readable: going on at once would spin.
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

SocketAddress = tuple[Any, ...]


def address_of(name: SocketAddress) -> IPv4Address | IPv6Address:
    """The address that ``getsockname()``, ``getpeername()`` or ``accept()`` of a TCP socket gave."""
    if len(name) == 4:
        return IPv6Address("TCP", *name)
    return IPv4Address("TCP", *name)


def check_port(port: int) -> None:
    """Refuse what is no port number: getaddrinfo(3) would take its last 16 bits (RFC 9293, 3.1), another port's.

    Raises: ValueError.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is a number from 0 to 65535, not {port!r}")


def family_of(interface: str) -> socket.AddressFamily:
    """AF_INET6 for a literal IPv6 address (which alone has colons), else AF_INET."""
    return socket.AF_INET6 if ":" in interface else socket.AF_INET


def literal_addresses(host: str, port: int) -> list[tuple[int, SocketAddress]] | None:
    """Family and address for connect(2) if *host* is an address, None if it is a name. Never blocks."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None
    return [(family, address) for family, _, _, _, address in found]


def set_reset_on_close(sock: socket.socket) -> None:
    """Have close(2) drop what was not sent and reset the connection (socket(7), SO_LINGER with no time)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
